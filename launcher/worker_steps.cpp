// TRUSTED until its exec. The worker's way from a copy of init to the program: descriptors, directory, limits,
// privileges, and the filter last, because nothing after it may need a call that it refuses. No hostile code runs
// before init has given up what it could be made to do.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "launcher/child_setup.hpp"
#include "sallyport/syscalls.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::launcher {
namespace {

int outcome(long result) noexcept { return result < 0 ? errno : 0; }

int start_session(StepContext&) noexcept { return outcome(::setsid()); }

// Every source is above 2, so 0 to 2 come first; after that nothing but `stream` and the copies matters.
int arrange_descriptors(StepContext& context) noexcept {
  const ChildPlan& plan = context.plan;
  for (int target = 0; target < 3; ++target)
    if (::dup2(plan.stdio[target], target) < 0) return errno;
  std::array<int, 3> keep{};
  std::size_t count = 0;
  if (plan.stream == kWorkerStreamFd && ::fcntl(plan.stream, F_SETFD, 0) != 0) return errno;
  if (plan.stream >= 0 && plan.stream != kWorkerStreamFd && ::dup2(plan.stream, kWorkerStreamFd) < 0) return errno;
  if (plan.stream >= 0) keep[count++] = kWorkerStreamFd;
  keep[count++] = plan.control;
  keep[count++] = plan.go;
  return close_all_but({keep.data(), count});
}

// After the descriptors: a directory that was reached through one of them (CVE-2024-21626) is not in the new root.
int enter_directory(StepContext& context) noexcept {
  if (::chdir(context.plan.directory) != 0) return errno;
  char path[limits::kMaxPathBytes];
  if (::syscall(SYS_getcwd, path, sizeof path) < 0) return errno;
  return path[0] == '/' ? 0 : EXDEV;  // the kernel says "(unreachable)" of a directory outside the root
}

int set_limits(StepContext& context) noexcept {
  for (const ChildLimit& limit : context.plan.limits) {
    ++context.object;
    if (::setrlimit(limit.resource, &limit.value) != 0) return errno;
  }
  return 0;
}

int become_worker(StepContext&) noexcept {
  if (const int error = outcome(::syscall(SYS_setresgid, kWorkerIdInside, kWorkerIdInside, kWorkerIdInside)))
    return error;
  return outcome(::syscall(SYS_setresuid, kWorkerIdInside, kWorkerIdInside, kWorkerIdInside));
}

int drop_capabilities(StepContext&) noexcept { return empty_capabilities(); }

// Until the exec this process is a copy of the launcher; nobody may look into it.
int stay_hidden(StepContext&) noexcept { return outcome(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)); }

int reset_signals(StepContext&) noexcept {
  ::umask(022);
  return default_signals();
}

int install_filter(StepContext& context) noexcept {
  return seccomp::install(context.plan.has_loopback ? seccomp::Filter::LoopbackWorker : seccomp::Filter::Worker);
}

int wait_for_init(StepContext& context) noexcept { return hear(context.plan.go, kInitIsLocked); }

constexpr std::array kWorkerSteps = {
    Step{"start a session without a terminal", start_session},
    Step{"arrange the descriptors", arrange_descriptors},
    Step{"enter worker.directory", enter_directory},
    Step{"set the limits", set_limits},
    Step{"become the worker's user", become_worker},
    Step{"empty the capability sets", drop_capabilities},
    Step{"stay hidden until exec", stay_hidden},
    Step{"reset signals", reset_signals},
    Step{"install the worker's filter", install_filter},
    Step{"wait until init is locked", wait_for_init},
};

}  // namespace

int default_signals() noexcept {
  // What the caller ignored (a shell's background job, nohup) or we do would stay ignored through the exec. By the bare
  // call, because libc keeps two of the signals to itself.
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
  } const action{};
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    if (::syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof action.mask) != 0) return errno;
  }
  sigset_t none;
  ::sigemptyset(&none);
  return outcome(::sigprocmask(SIG_SETMASK, &none, nullptr));
}

std::span<const Step> worker_steps() noexcept { return kWorkerSteps; }

}  // namespace sallyport::launcher
