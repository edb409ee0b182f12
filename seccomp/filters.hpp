// BOTH SIDES. The seccomp filters of every process, compiled at build time from the *_profile.hpp tables.
// No program links libseccomp: these are constant arrays. In SALLYPORT_ASAN builds unlisted calls answer EPERM instead
// of killing, so that a sanitizer can still write its report.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::seccomp {

enum class Filter : std::uint8_t { Worker, LoopbackWorker, Init, Gate, Relay, Keeper };

std::span<const sock_filter> program(Filter filter) noexcept;

// Sets no_new_privs and installs the filter on the calling thread, for good. 0 or errno. Async-signal-safe.
[[nodiscard]] int install(Filter filter) noexcept;

// The profile of every container, in the form of dockerd's SecurityOpt "seccomp=" (one line of JSON).
std::string_view container_profile_json() noexcept;

}  // namespace sallyport::seccomp
