#include "broker/audit/record.hpp"

#include <boost/json.hpp>

namespace sallyport::audit {
namespace {

constexpr std::size_t kMaxDepth = 4;  // the keeper writes flat objects

std::string text_of(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  const boost::json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string() : std::string(*text);
}

std::int64_t number_of(const boost::json::object& object, std::string_view key, std::int64_t otherwise) {
  const boost::json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() ? value->get_int64() : otherwise;
}

}  // namespace

std::optional<AuditRecord> parse_record(std::string_view line) {
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code failed;
  const boost::json::value value = boost::json::parse(line, failed, {}, options);
  const boost::json::object* object = failed ? nullptr : value.if_object();
  if (object == nullptr) return {};
  AuditRecord record;
  record.time = text_of(*object, "time");
  record.session = text_of(*object, "session");
  record.profile = text_of(*object, "profile");
  record.event = text_of(*object, "event");
  record.decision = text_of(*object, "decision");
  record.source = text_of(*object, "source");
  record.method = text_of(*object, "method");
  record.endpoint = text_of(*object, "endpoint");
  record.object = text_of(*object, "object");
  record.rule = text_of(*object, "rule");
  record.reason = text_of(*object, "reason");
  record.count = number_of(*object, "count", record.count);
  record.seq = number_of(*object, "seq", record.seq);
  return record;
}

}  // namespace sallyport::audit
