// TESTS ONLY. What a filter answers.
#pragma once

#include <linux/seccomp.h>

#include <cerrno>
#include <cstdint>

namespace sallyport::seccomp {

#ifdef SALLYPORT_ASAN
inline constexpr std::uint32_t kKilled = SECCOMP_RET_ERRNO | EPERM;  // so that a sanitizer can report
#else
inline constexpr std::uint32_t kKilled = SECCOMP_RET_KILL_PROCESS;
#endif
inline constexpr std::uint32_t kAllowed = SECCOMP_RET_ALLOW;
constexpr std::uint32_t refused(int error) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error); }

}  // namespace sallyport::seccomp
