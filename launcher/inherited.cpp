// TRUSTED SIDE. What a process inherits through clone and exec and a worker must not have of whoever called the
// launcher: a place before others at the processor and the disk, a weaker address space, pages merged with others'.
// The list is from execve(2), clone(2), credentials(7), sched(7), ioprio_set(2), personality(2) and prctl(2).
//
// What only restricts stays as what the worker starts with: nice above 0, SCHED_IDLE, affinity, memory policy, lower
// limits, filters and Landlock domains, PR_SET_THP_DISABLE, PR_SET_TSC, PR_SET_MDWE, speculation control (the usual
// state is the weakest). What a worker may ask for itself is not taken from it: utilisation clamps and slices
// (sched_setattr(2)), AMX. What is done elsewhere: groups, ids, securebits, capability sets, no_new_privs, keyring,
// signals, umask, descriptors, directory, session, oom score. What clone(2) or execve(2) ends: the subreaper's mark,
// timers, locks of memory, PR_SET_PTRACER, system call dispatch, registrations of rseq, robust lists and membarrier.
// What is of no use to it: a policy for broken memory (PR_MCE_KILL: who of those that have the page is told first) and
// a choice of dumped pages (no core is written); the keyring that request_key(2) fills (no key calls in its filter); a
// time namespace of the caller's (offsets of clocks). The audit login id stays, so that the trail names who began this;
// an unset one a worker can set once, to an id of its own range, no other is mapped.
#include <linux/ioprio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "launcher/child_setup.hpp"
#include "sallyport/syscalls.hpp"

#ifndef PR_SCHED_CORE_SCOPE_THREAD  // of headers before Linux 5.16
#define PR_SCHED_CORE_SCOPE_THREAD 0
#endif
#ifndef PR_SET_MEMORY_MERGE  // Linux 6.4
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

namespace sallyport::launcher {
namespace {

constexpr unsigned long kUsualTimerSlack = 50'000;  // ns; Linux's own, kernel/fork.c
constexpr unsigned kLevels = 7;                     // ioprio_set(2): 0, before all, to 7; hints above (Linux 6.5)
constexpr unsigned kUsualBestEffort = 4;

// sched_setattr(2). Its own header, linux/sched/types.h, cannot stand beside glibc's sched.h.
struct Schedule {
  std::uint32_t size = sizeof(Schedule);
  std::uint32_t policy = SCHED_NORMAL;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};
static_assert(sizeof(Schedule) == 48);  // SCHED_ATTR_SIZE_VER0

int outcome(long result) noexcept { return result < 0 ? errno : 0; }

int leave_the_callers_schedule() noexcept {
  Schedule now;
  if (::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0U) != 0) return errno;
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, 0);
  if (errno != 0) return errno;
  const bool before_all = now.policy != SCHED_NORMAL && now.policy != SCHED_BATCH && now.policy != SCHED_IDLE;
  if (!before_all && nice >= 0) return 0;
  const Schedule usual{.policy = before_all ? SCHED_NORMAL : now.policy, .nice = std::max(nice, 0)};
  return outcome(::syscall(SYS_sched_setattr, 0, &usual, 0U));
}

int leave_the_callers_disk_class() noexcept {
  const long now = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
  if (now < 0) return errno;
  const auto kind = IOPRIO_PRIO_CLASS(now);
  const bool before_others =
      kind == IOPRIO_CLASS_RT || (kind == IOPRIO_CLASS_BE && (IOPRIO_PRIO_DATA(now) & kLevels) < kUsualBestEffort);
  if (!before_others) return 0;
  return outcome(::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0));  // none: follows nice
}

// Without randomised addresses, or with readable pages that are executable, at the worker's exec. Not asked for first:
// a unit with LockPersonality= refuses all but plain Linux, the question too.
int leave_the_callers_personality() noexcept { return outcome(::personality(PER_LINUX)); }

int leave_the_callers_timers() noexcept {
  const long now = ::syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);  // prctl() would cut it to an int
  if (now < 0) return errno;
  if (static_cast<unsigned long>(now) >= kUsualTimerSlack) return 0;
  return outcome(::prctl(PR_SET_TIMERSLACK, kUsualTimerSlack, 0, 0, 0));
}

// Pages of ours that equal another's would be told by how long a write to them takes.
int leave_merged_memory() noexcept {
  const int now = ::prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
  if (now < 0) return errno == EINVAL ? 0 : errno;  // this kernel merges none
  return now == 0 ? 0 : outcome(::prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0));
}

// Of whoever groups its processes by cookies so that only they share a core (sched core scheduling, Linux 5.14): with
// the caller's the worker would be one of them. There is no way to give it up but one of its own, which keeps everybody
// else off the worker's core, too; so where the caller has none neither has the worker.
int leave_the_callers_core_group() noexcept {
  std::uint64_t cookie = 0;
  if (::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD, &cookie) != 0)
    return errno == EINVAL || errno == ENODEV ? 0 : errno;  // a kernel or a machine without
  if (cookie == 0) return 0;
  return outcome(::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD, 0));
}

}  // namespace

// Writes that go before others' and into the last of the memory. CAP_SYS_RESOURCE of the host is wanted to see it, too:
// where we have none nothing can be told of it.
int leave_the_callers_flushing() noexcept {
  if (::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1) return 0;
  return outcome(::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
}

int leave_what_the_caller_gave() noexcept {
  for (const auto leave : {leave_the_callers_schedule, leave_the_callers_disk_class, leave_the_callers_personality,
                           leave_the_callers_timers, leave_merged_memory, leave_the_callers_core_group})
    if (const int error = leave()) return error;
  return 0;
}

}  // namespace sallyport::launcher
