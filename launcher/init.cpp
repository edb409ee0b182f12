// HOSTILE INPUT. PID 1 of the sandbox. It has a uid that the worker has not, no capabilities, no memory that others can
// read, and a filter. It reaps, says how the worker ended, and takes the sandbox with it when it ends.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "launcher/child_setup.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/syscalls.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::launcher {
namespace {

int start_worker(StepContext&) noexcept { return 0; }  // named for the report: run_child does it

int close_the_rest(StepContext& context) noexcept {
  for (int standard = 0; standard < 3; ++standard) ::close(standard);  // the caller's, inherited
  std::array<int, 8> keep{};
  const std::span<const int> planned = context.plan.keep_as_init;
  if (planned.size() + 2 > keep.size()) return E2BIG;
  auto end = std::ranges::copy(planned, keep.begin()).out;
  *end++ = context.plan.go;
  *end++ = context.plan.signals;
  std::sort(keep.begin(), end);
  return close_all_but({keep.begin(), end});
}

int drop_capabilities(StepContext&) noexcept { return empty_capabilities(); }

int leave_none_of_init(StepContext&) noexcept { return leave_no_core(); }

int follow_the_launcher(StepContext& context) noexcept { return die_with_the_launcher(context.plan.control); }

int install_filter(StepContext&) noexcept { return seccomp::install(seccomp::Filter::Init); }

constexpr std::array kInitSteps = {
    Step{"start the worker's process", start_worker},
    Step{"close all but the launcher's socket", close_the_rest},
    Step{"empty init's capability sets", drop_capabilities},
    Step{"leave no core of init", leave_none_of_init},
    Step{"follow the launcher's death again", follow_the_launcher},
    Step{"install init's filter", install_filter},
};

void say_that_it_runs(const ChildPlan& plan) noexcept {
  constexpr InitMessage kRunning{.word = InitWord::Running};
  (void)!::write(plan.control, &kRunning, sizeof kRunning);  // a worker that failed instead has said so before
}

// True once the worker has ended; everybody else is reaped without a word.
bool reap(pid_t worker, InitMessage& ended) noexcept {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return false;
    if (info.si_pid != worker) continue;
    ended = {.word = InitWord::Ended, .signalled = info.si_code != CLD_EXITED, .code = info.si_status};
    return true;
  }
}

}  // namespace

std::span<const Step> init_steps() noexcept { return kInitSteps; }

void run_init(const ChildPlan& plan, int worker) noexcept {
  const char go = kInitIsLocked;
  (void)!::write(plan.go, &go, 1);  // a worker that has failed meanwhile has said so
  int running = plan.says_running ? plan.go : -1;
  if (running < 0) ::close(plan.go);
  for (;;) {
    InitMessage ended;
    if (reap(worker, ended)) {
      if (running >= 0 && !ended.signalled) say_that_it_runs(plan);  // and has ended before we have looked
      (void)!::write(plan.control, &ended, sizeof ended);
      // Init's end is the session's end: first the launcher tells the keeper how the worker ended, then it kills us.
      if (plan.opens_session) (void)!::read(plan.control, &ended, sizeof ended);
      ::_exit(0);
    }
    // The worker alone could read there, and its exec closes that end.
    std::array<pollfd, 3> events = {pollfd{plan.signals, POLLIN, 0}, pollfd{plan.control, POLLIN | POLLRDHUP, 0},
                                    pollfd{running, 0, 0}};
    if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) ::_exit(125);
    if (events[1].revents != 0) ::_exit(125);  // the launcher has nothing more to say: this is its end
    if (events[2].revents != 0) {
      say_that_it_runs(plan);
      ::close(std::exchange(running, -1));
    }
    signalfd_siginfo signal;
    if (events[0].revents != 0 && ::read(plan.signals, &signal, sizeof signal) < 0) ::_exit(125);
  }
}

}  // namespace sallyport::launcher
