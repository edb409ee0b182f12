#include "broker/audit/show.hpp"

#include <cstdint>

#include "sallyport/ids.hpp"

namespace sallyport::audit {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// "2026-03-14T10:23:45.123Z" -> "2026-03-14 10:23:45"; anything else is shown as it is.
std::string show_time(const std::string& time) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  if (time.size() < kForm.size()) return escaped(time.empty() ? "no time" : time);
  for (std::size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] == 'd' ? !detail::is_digit(time[i]) : time[i] != kForm[i]) return escaped(time);
  return time.substr(0, 10) + " " + time.substr(11, 8);
}

void add(std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; }

void append_unit(std::string& out, std::uint32_t unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(unit >> shift) & 0xf];
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      out += "\\\\";
    } else if (detail::is_printable_ascii(c) && c != '|') {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
  if (text.size() > kMaxShownBytes) out += "... (" + std::to_string(text.size()) + " bytes)";
  return out;
}

std::string show(const AuditRecord& record) {
  std::string what = record.method.empty() ? escaped(record.event) : escaped(record.method);
  if (!record.endpoint.empty()) what += (what.empty() ? "" : " ") + escaped(record.endpoint);
  std::string why = escaped(record.rule);
  if (!record.reason.empty() && record.reason.starts_with(record.rule))
    why.clear();  // a reason may begin with its rule: once is enough
  if (!record.reason.empty()) why += (why.empty() ? "" : " ") + escaped(record.reason);
  std::string about;
  if (!record.object.empty()) add(about, escaped(record.object));
  if (!record.profile.empty()) add(about, "profile " + escaped(record.profile));
  if (!record.session.empty()) add(about, "session " + escaped(record.session));
  if (record.count != 1) add(about, std::to_string(record.count) + " times");
  if (record.source == "gate") add(about, "as its gate says");
  if (!about.empty()) why += (why.empty() ? "(" : " (") + about + ")";

  std::string decision = escaped(record.decision);
  if (decision.size() < 5) decision.resize(5, ' ');
  return show_time(record.time) + " | " + decision + " | " + what + " | " + why;
}

std::string show_unreadable(std::string_view line, std::size_t size) {
  constexpr std::size_t kEnoughToRecognise = 200;
  return "no time             | ?     | not a record | " + escaped(line.substr(0, kEnoughToRecognise)) + " (" +
         std::to_string(size) + " bytes)";
}

std::string ascii_json(std::string_view json) {
  std::string out;
  for (std::size_t i = 0; i < json.size();) {
    const auto lead = static_cast<unsigned char>(json[i]);
    if (lead < 0x7f) {
      out += json[i++];
      continue;
    }
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t point = length == 1 ? lead : lead & (0xffU >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < json.size(); ++k)
      point = (point << 6) | (static_cast<unsigned char>(json[i + k]) & 0x3fU);
    if (point >= 0x10000) {
      append_unit(out, 0xd800 + ((point - 0x10000) >> 10));
      append_unit(out, 0xdc00 + ((point - 0x10000) & 0x3ff));
    } else {
      append_unit(out, point);
    }
    i += length;
  }
  return out;
}

}  // namespace sallyport::audit
