// BOTH SIDES. Named sets of calls that several profiles share.
#pragma once

#include "seccomp/profile.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kEnding = {
    allow("exit", "a thread ends"),
    allow("exit_group", "the process ends"),
    allow("rt_sigreturn", "return from a signal handler"),
    allow("restart_syscall", "the kernel resumes an interrupted wait"),
#ifdef SALLYPORT_ASAN
    allow("sigaltstack", "AddressSanitizer asks for it before whatever does not return, _exit and throw among it"),
#endif
};

inline constexpr std::array kMemory = {
    allow("brk", "malloc"),
    allow("mmap", "malloc"),
    allow("munmap", "free"),
    allow("mremap", "realloc"),
    allow("madvise", "malloc gives memory back"),
};

inline constexpr std::array kClocks = {
    allow("clock_gettime", "where the vDSO cannot answer"),
    allow("clock_getres", "where the vDSO cannot answer"),
    allow("gettimeofday", "where the vDSO cannot answer"),
    allow("timerfd_settime", "Asio's timers share one timerfd"),
};

inline constexpr std::array kWaiting = {
    allow("epoll_wait", "Asio's reactor"), allow("epoll_pwait", "Asio's reactor"),
    allow("epoll_ctl", "Asio's reactor"),  allow("poll", "synchronous waits"),
    allow("ppoll", "synchronous waits"),   allow("futex", "libstdc++ and libc locks; one thread, so these never wait"),
};

}  // namespace sallyport::seccomp
