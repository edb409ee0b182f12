// UNTRUSTED SIDE. A moment as clients write it in `since` and `until`: seconds since the epoch with a fraction, as
// dockerd takes it, or a date and time of RFC 3339, which dockerd leaves to its own client to turn into seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sallyport::gate {

// Nanoseconds since the epoch, at most what 64 bits hold; a moment before it is negative. Total over all bytes.
//   [+-]SECONDS[.FRACTION]
//   YYYY-MM-DD[THH:MM[:SS[.FRACTION]]][Z|+HH:MM|-HH:MM]     without a zone: UTC
std::optional<std::int64_t> timestamp_of(std::string_view text);

}  // namespace sallyport::gate
