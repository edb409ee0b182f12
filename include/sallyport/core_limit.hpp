// BOTH SIDES. That a crash leaves no core, and runs no handler of the host's.
//
// With a pipe in kernel.core_pattern the kernel runs the handler as root, outside of every namespace, and looks at the
// limit for one thing only: 1 stops it, 0 does not (core(5); Linux, fs/coredump.c). A file is written with neither: a
// core below a page is none.
#pragma once

#include <sys/resource.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <string_view>

namespace sallyport {

// Of this process and what it starts; 0, or an errno. A hard limit of 0 stays where there is no CAP_SYS_RESOURCE.
inline int leave_no_core() noexcept {
  const rlimit one{1, 1};
  if (::setrlimit(RLIMIT_CORE, &one) == 0) return 0;
  const int error = errno;
  rlimit now{};
  return error == EPERM && ::getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max == 0 ? 0 : error;
}

inline std::string core_pattern() {
  std::string pattern;
  std::getline(std::ifstream("/proc/sys/kernel/core_pattern"), pattern);
  return pattern;
}
inline bool names_a_handler(std::string_view core_pattern) { return core_pattern.starts_with('|'); }

// After leave_no_core(): "", or what whoever has started this process is to be told.
inline std::string core_warning() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) return "";
  if (!names_a_handler(core_pattern())) return "";
  return "the hard limit of core files is 0, and the kernel runs the host's core handler (kernel.core_pattern) as root "
         "at 0, too: a program of a worker that crashes reaches it; start this with a hard limit of 1 (ulimit -Hc 1, "
         "LimitCORE=1)";
}

}  // namespace sallyport
