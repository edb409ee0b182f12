#include <linux/capability.h>
#include <sys/prctl.h>

#include "broker/privileges.hpp"
#include "broker/spawner/spawner.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/log.hpp"

namespace sallyport::spawner {

// What each is for: SYS_ADMIN namespaces and mounts of gates; SETUID, SETGID, SETPCAP their identity and empty sets;
// KILL signals to the uids of sessions; SYS_PTRACE init's network namespace in /proc (init is not dumpable); NET_ADMIN
// the network namespace of a listener (SIOCGSKNS); DAC_OVERRIDE cgroups below the root of a hierarchy, which nobody may
// write.
Result<> lock_down_spawner() {
  if (const int error = leave_no_core(); error != 0) return fail_errno("limit core files", error);
  if (const std::string what = core_warning(); !what.empty()) log::warning(what);
  const int error = keep_only_capabilities(
      {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL, CAP_SYS_PTRACE, CAP_NET_ADMIN, CAP_DAC_OVERRIDE});
  if (error != 0)
    return fail_errno(
        "keep only the spawner's capabilities; a unit or container must leave the broker CAP_SYS_ADMIN, "
        "CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL, CAP_SYS_PTRACE, CAP_NET_ADMIN and CAP_DAC_OVERRIDE",
        error);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("make the spawner non-dumpable");
  return {};
}

}  // namespace sallyport::spawner
