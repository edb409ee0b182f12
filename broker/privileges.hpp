// TRUSTED SIDE. How the broker's processes give up what they do not need. Async-signal-safe and noexcept, because
// gates, relays and dialers call it between fork and exec; each function answers 0 or the errno of the step that
// failed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>

namespace sallyport {

// Drops every other capability from the permitted, effective, inheritable and bounding sets, locks the securebits (root
// stays an ordinary uid over an exec), and forbids new privileges. The uid stays.
[[nodiscard]] int keep_only_capabilities(std::initializer_list<int> kept) noexcept;

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::int64_t extra_group = -1;  // the only supplementary group, or none
};

// Becomes `identity` for good: no capability in any set, securebits locked, no new privileges, not dumpable.
[[nodiscard]] int become(const Identity& identity) noexcept;

}  // namespace sallyport
