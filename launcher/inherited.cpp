// TRUSTED SIDE. What a process inherits through clone and exec and a worker must not have of whoever called the
// launcher: a place before others at the processor and the disk, a weaker address space, pages merged with others'.
// What only restricts (nice above 0, SCHED_IDLE, affinity, memory policy, lower limits) stays as what the worker starts
// with. The list is from execve(2), clone(2), sched(7), ioprio_set(2), personality(2) and prctl(2).
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

}  // namespace

// Writes that go before others' and into the last of the memory. CAP_SYS_RESOURCE of the host is wanted to see it, too:
// where we have none nothing can be told of it.
int leave_the_callers_flushing() noexcept {
  if (::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1) return 0;
  return outcome(::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
}

int leave_what_the_caller_gave() noexcept {
  for (const auto leave : {leave_the_callers_schedule, leave_the_callers_disk_class, leave_the_callers_personality,
                           leave_the_callers_timers, leave_merged_memory})
    if (const int error = leave()) return error;
  return 0;
}

}  // namespace sallyport::launcher
