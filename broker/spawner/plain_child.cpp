#include "broker/spawner/plain_child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

Result<Forked> fork_with_pidfd() {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const pid_t pid = clone3(arguments);
  if (pid < 0) return fail_errno("fork");
  if (pid > 0) return Forked{false, Child::from_pidfd(UniqueFd::adopt(pidfd))};
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  return Forked{true, Child()};
}

Result<Child> start_plain(int executable, char* const argv[], int null_device) {
  Forked forked = TRY(fork_with_pidfd());
  if (!forked.in_child) return std::move(forked.child);
  char* const envp[] = {nullptr};
  const int high = ::fcntl(executable, F_DUPFD_CLOEXEC, 8);
  if (high < 0 || ::dup2(null_device, 0) < 0 || ::dup2(null_device, 1) < 0 || ::dup2(null_device, 2) < 0) ::_exit(127);
  if (::dup3(high, 3, O_CLOEXEC) < 0 || close_range(4, ~0U, 0) != 0) ::_exit(127);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(127);
  execveat(3, "", argv, envp, AT_EMPTY_PATH);
  ::_exit(127);
}

}  // namespace sallyport::spawner
