// BOTH SIDES. The calls that glibc 2.36 lacks or wraps incompletely, one thin wrapper each. Async-signal-safe,
// noexcept.
#pragma once

#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>

namespace sallyport {

inline int pidfd_open(pid_t pid) noexcept { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }

inline int pidfd_send_signal(int pidfd, int signal) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0U));
}

// Returns 0 in the child. The child has a copy of the caller's stack: the caller must not use CLONE_VM.
inline pid_t clone3(const clone_args& arguments) noexcept {
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

inline int openat2(int directory, const char* path, const open_how& how) noexcept {
  return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
}

inline int close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  return static_cast<int>(::syscall(SYS_close_range, first, last, flags));
}

inline int execveat(int directory, const char* path, char* const argv[], char* const envp[], int flags) noexcept {
  return static_cast<int>(::syscall(SYS_execveat, directory, path, argv, envp, flags));
}

inline int pivot_root(const char* new_root, const char* put_old) noexcept {
  return static_cast<int>(::syscall(SYS_pivot_root, new_root, put_old));
}

}  // namespace sallyport
