// FOR PEOPLE, HOSTILE INPUT: lines of the audit trail hold strings that workers chose. One line of JSON -> AuditRecord.
// Total and bounded: any bytes give a record or nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::audit {

// As the keeper writes it; a field that is absent, or of another type, is empty.
struct AuditRecord {
  std::string time;  // 2026-03-14T10:23:45.123Z
  std::string session;
  std::string profile;
  std::string event;     // request, session-open, session-end, forward, reap
  std::string decision;  // ALLOW, DENY
  std::string source;    // keeper, gate
  std::string method;
  std::string endpoint;
  std::string object;
  std::string rule;
  std::string reason;
  std::int64_t count = 1;
  std::int64_t seq = 0;  // of its broker's run, over all files
};

std::optional<AuditRecord> parse_record(std::string_view line);

}  // namespace sallyport::audit
