// TRUSTED SIDE. The keeper after its start. It reads profiles, writes ledger and audit trail, and dials dockerd: so it
// opens files and Unix sockets, but it starts no program, makes no process and changes no identity.
#pragma once

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "seccomp/syscall_groups.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kKeeperRows = {
    allow_if("socket", {0, AF_UNIX}, "dial dockerd"),
    allow_if("socketpair", {0, AF_UNIX}, "streams that a gate reads"),
    allow("connect", "dial dockerd"),
    allow("getsockopt", "peer credentials; the result of a connect"),
    allow("setsockopt", "Asio; SO_PASSRIGHTS"),
    allow("getsockname", "check a received descriptor"),
    allow("getpeername", "check a received descriptor"),
    allow("accept", "launchers connect to the control socket"),
    allow("accept4", "launchers connect to the control socket"),
    allow("recvmsg", "messages with descriptors"),
    allow("recvfrom", "Asio's recv()"),
    allow("sendmsg", "messages with descriptors, to spawner, gate and relay"),
    allow("sendto", "Asio's send()"),
    allow("shutdown", "revoke a stream that was handed out"),
    allow("read", "files and streams"),
    allow("readv", "files and streams"),
    allow("pread64", "files"),
    allow("write", "ledger, audit trail and streams"),
    allow("writev", "ledger, audit trail and streams"),
    allow("pwrite64", "ledger"),
    allow("close", "descriptors"),
    allow("dup", "keep a revocable copy of a stream"),
    allow("dup3", "keep a revocable copy of a stream"),
    allow("fcntl", "descriptor flags"),
    allow_if("ioctl", {1, FIONBIO}, "Asio makes a descriptor non-blocking"),
    allow_if("ioctl", {1, FIONREAD}, "how much is waiting"),
    allow("pipe2", "streams"),
    allow("splice", "streams"),
    allow("eventfd2", "Asio wakes itself"),
    allow("epoll_create1", "Asio"),
    allow("timerfd_create", "Asio"),
    allow("openat", "profiles, ledger and audit trail"),
    allow("openat2", "profiles, without symlinks"),
    allow("newfstatat", "files"),
    allow("fstat", "files and received descriptors"),
    allow("statx", "files"),
    allow("lseek", "files"),
    allow("getdents64", "read the ledger directory"),
    allow("rename", "replace a ledger file; rotate the audit trail"),
    allow("renameat", "replace a ledger file; rotate the audit trail"),
    allow("renameat2", "replace a ledger file; rotate the audit trail"),
    allow("unlink", "remove ledger files of ended sessions"),
    allow("unlinkat", "remove ledger files of ended sessions"),
    allow("mkdir", "directories of sessions"),
    allow("mkdirat", "directories of sessions"),
    allow("rmdir", "directories of sessions"),
    allow("fsync", "a record before its effect"),
    allow("fdatasync", "a record before its effect"),
    allow("ftruncate", "the reserve of the audit trail"),
    allow("fallocate", "the reserve of the audit trail"),
    allow("flock", "uid ranges and the state lock"),
    allow("umask", "files"),
    allow("getpid", "logging"),
    allow("gettid", "logging"),
    allow("geteuid", "a profile must belong to root or to ourselves"),
    allow("getrandom", "session ids and container names"),
    allow("rt_sigaction", "Asio's signal_set"),
    allow("rt_sigprocmask", "Asio's signal_set"),
    allow("mprotect", "malloc's arenas"),
    allow("sysinfo", "libc's qsort"),
    allow("sched_yield", "locks of spdlog"),
    allow("nanosleep", "short waits"),
    allow("clock_nanosleep", "short waits"),
    allow("pidfd_open", "processes of a session"),
    allow("waitid", "pidfds"),
};
inline constexpr Rows kKeeperGroups[] = {kEnding, kMemory, kClocks, kWaiting, kKeeperRows};
inline constexpr Profile kKeeper{"keeper", kKill, kKeeperGroups};

}  // namespace sallyport::seccomp
