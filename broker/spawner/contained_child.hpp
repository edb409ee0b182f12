// TRUSTED SIDE. Starts a gate or a relay, the processes that read what hostile code sends: own pid, mount, network,
// ipc, uts and cgroup namespaces, an empty read-only root, a uid and gid of the session's range, no capabilities, no
// new privileges, resource limits, and exactly the descriptors given here. What it cannot set up it does not start.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string>

#include "sallyport/child.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

inline constexpr std::size_t kMaxGivenFds = 1 + limits::kMaxForwards;  // a relay's channel and its listeners

// In an AddressSanitizer build gates and relays are dynamic programs that need their libraries, much address space and
// stderr for the report: they keep the host's root, read-only for their uid. Such a build is for tests alone.
#ifdef SALLYPORT_ASAN
inline constexpr bool kEmptyRoot = false;
#else
inline constexpr bool kEmptyRoot = true;
#endif

struct ResourceLimits {
  rlim_t open_files = 0;
  rlim_t address_space = 0;  // bytes
};

// Plain data: the child reads it between clone3 and execveat, where nothing may be allocated.
struct ContainedPlan {
  const char* program = nullptr;   // argv[0] and host name
  const char* argument = nullptr;  // argv[1], or none
  int executable = -1;
  std::array<int, kMaxGivenFds> given_fds{};  // become 3, 4, 5, …
  std::size_t given_count = 0;
  int standard_error = -1;  // else /dev/null
  int null_device = -1;
  int cgroup = -1;                         // a cgroup2 directory to be born in, or none
  const char* root_mount_point = nullptr;  // an empty directory on which the new root is mounted
  uid_t uid = 0;                           // also the gid
  ResourceLimits limits;
};

// A process between clone3 and execveat. Two may be on their way at once.
struct StartingChild {
  Child child;
  UniqueFd report;  // ends without a byte when execveat has happened
};

Result<StartingChild> begin_contained(const ContainedPlan& plan);
// Waits for the exec. An error names the step that failed and its errno; the child is gone then.
Result<Child> finish_contained(StartingChild starting, const ContainedPlan& plan);

}  // namespace sallyport::spawner
