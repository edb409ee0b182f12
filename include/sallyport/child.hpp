// BOTH SIDES. A process that we started or were given, held by pidfd so that its pid cannot be mistaken for another's.
// Child (ours) kills and reaps on destruction; ProcessHandle (anybody's) only signals and watches.
#pragma once

#include <poll.h>
#include <sys/wait.h>

#include <optional>

#include "sallyport/result.hpp"
#include "sallyport/syscalls.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport {

class ProcessHandle {
 public:
  ProcessHandle() = default;
  explicit ProcessHandle(UniqueFd pidfd) : pidfd_(std::move(pidfd)) {}

  Result<> send_signal(int signal) const {
    if (pidfd_send_signal(pidfd_.get(), signal) != 0 && errno != ESRCH) return fail_errno("signal a process by pidfd");
    return {};
  }
  // A pidfd is readable once its process has ended (pidfd_open(2)).
  bool has_ended(int wait_milliseconds = 0) const {
    pollfd poll_entry{pidfd_.get(), POLLIN, 0};
    return ::poll(&poll_entry, 1, wait_milliseconds) == 1;
  }
  int fd() const { return pidfd_.get(); }
  explicit operator bool() const { return static_cast<bool>(pidfd_); }

 private:
  UniqueFd pidfd_;
};

struct ExitStatus {
  bool signalled = false;
  int value = 0;  // exit code, or signal number
  int shell_code() const { return signalled ? 128 + value : value; }
};

class Child {
 public:
  Child() = default;
  // Call at once after the fork, while the pid cannot be reused (we have not reaped it).
  static Result<Child> from_pid(pid_t pid) {
    UniqueFd pidfd = UniqueFd::adopt(pidfd_open(pid));
    if (!pidfd) return fail_errno("open a pidfd of a child");
    return Child(ProcessHandle(std::move(pidfd)));
  }
  static Child from_pidfd(UniqueFd pidfd) { return Child(ProcessHandle(std::move(pidfd))); }
  Child(Child&&) noexcept = default;
  Child& operator=(Child&& other) noexcept {
    if (this != &other) {
      kill_and_reap();
      handle_ = std::move(other.handle_);
    }
    return *this;
  }
  ~Child() { kill_and_reap(); }

  const ProcessHandle& handle() const { return handle_; }
  explicit operator bool() const { return static_cast<bool>(handle_); }

  // Empty while it runs. Reaps it otherwise; afterwards this object holds nothing.
  Result<std::optional<ExitStatus>> try_reap() {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(handle_.fd()), &info, WEXITED | WNOHANG) != 0)
      return fail_errno("wait for a child");
    if (info.si_pid == 0) return std::optional<ExitStatus>{};
    handle_ = ProcessHandle();
    return std::optional(ExitStatus{info.si_code != CLD_EXITED, info.si_status});
  }

 private:
  explicit Child(ProcessHandle handle) : handle_(std::move(handle)) {}
  void kill_and_reap() {
    if (!handle_) return;
    (void)handle_.send_signal(SIGKILL);
    siginfo_t info{};
    // EAGAIN: who else holds this pidfd has made it non-blocking, and the flag is shared. poll(2) waits all the same.
    while (::waitid(P_PIDFD, static_cast<id_t>(handle_.fd()), &info, WEXITED) != 0 &&
           (errno == EINTR || errno == EAGAIN))
      (void)handle_.has_ended(-1);
    handle_ = ProcessHandle();
  }
  ProcessHandle handle_;
};

}  // namespace sallyport
