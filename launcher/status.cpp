#include "launcher/status.hpp"

#include <string_view>

#include "sallyport/callers_descriptor.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::launcher {
namespace {

std::string_view name_of(const Outcome& outcome) {
  switch (outcome.ended) {
    case Outcome::Ended::Worker: return outcome.worker->signalled ? "signalled" : "exited";
    case Outcome::Ended::NotBuilt: return "not-built";
    case Outcome::Ended::BrokerGone: return "broker-gone";
    case Outcome::Ended::InitGone: return "init-gone";
  }
  return "not-built";
}

// ASCII only: what is not printable, and every byte that is not ASCII, becomes \u00XX.
std::string json_text(std::string_view text) {
  constexpr const char* kHex = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += "\\u00";
      result += {kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return result + "\"";
}

std::string number_or_null(bool present, int number) { return present ? std::to_string(number) : "null"; }

}  // namespace

std::string status_line(const RunRecord& record) {
  const Outcome& outcome = record.outcome;
  const auto& worker = outcome.worker;
  std::string line = "{\"profile\":" + json_text(record.profile);
  line += ",\"instance\":" + (record.instance.empty() ? "null" : json_text(record.instance));
  line += ",\"session\":" + (record.session.empty() ? "null" : json_text(record.session));
  line += ",\"ended\":" + json_text(name_of(outcome));
  line += ",\"code\":" + number_or_null(worker && !worker->signalled, worker.value_or(ExitStatus{}).value);
  line += ",\"signal\":" + number_or_null(worker && worker->signalled, worker.value_or(ExitStatus{}).value);
  line += std::string(",\"time_up\":") + (outcome.time_up ? "true" : "false");
  line += ",\"dropped_output_bytes\":" + std::to_string(outcome.dropped_output_bytes);
  line += ",\"not_enforced\":[";
  for (std::size_t i = 0; i < record.not_enforced.size(); ++i)
    line += (i == 0 ? "" : ",") + json_text(record.not_enforced[i]);
  line += "],\"exit_code\":" + std::to_string(outcome.exit_code());
  return line + ",\"reason\":" + json_text(outcome.reason) + "}\n";
}

void write_status(int descriptor, const RunRecord& record) {
  const std::string line = status_line(record);
  (void)write_within(descriptor, line, limits::kSayWithin);  // else whoever asked for it has gone, or does not read
}

}  // namespace sallyport::launcher
