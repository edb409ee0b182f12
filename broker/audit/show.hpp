// FOR PEOPLE, HOSTILE INPUT. A record as one line that a terminal shows as it is: what is not printable ASCII is
// escaped, and so is the '|' that separates the columns, so that no worker can move the cursor, hide text or forge a
// column.
#pragma once

#include <string>
#include <string_view>

#include "broker/audit/record.hpp"

namespace sallyport::audit {

// 2026-03-14 10:23:45 | DENY  | POST /containers/create | HostConfig.Binds ...
std::string show(const AuditRecord& record);
// A line that is no record, for the same columns.
std::string show_unreadable(std::string_view line, std::size_t size);

// Bytes as \xNN, '\' as \\, '|' as \x7c; cut after kMaxShownBytes.
inline constexpr std::size_t kMaxShownBytes = 1024;
std::string escaped(std::string_view text);

// A JSON text (already checked to be one) in ASCII: what is not becomes \uXXXX, which JSON allows wherever it can
// stand.
std::string ascii_json(std::string_view json);

}  // namespace sallyport::audit
