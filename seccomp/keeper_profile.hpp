// TRUSTED SIDE. The keeper after its start. It reads profiles, writes ledger and audit trail, and dials dockerd: so it
// opens files and Unix sockets, but it starts no program, makes no process and changes no identity.
#pragma once

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "seccomp/syscall_groups.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kKeeperRows = {
    allow_if("socket", {0, AF_UNIX}, {1, SOCK_STREAM, 0xf}, "dial dockerd"),  // the type without its flags
    allow_if("socketpair", {0, AF_UNIX}, {1, SOCK_STREAM, 0xf}, "log streams that a gate reads"),
    allow("connect", "dial dockerd"),
    allow("getsockopt", "peer credentials; what a received descriptor is"),
    allow("getpeername", "check a received descriptor"),
    allow("accept4", "launchers connect to the control socket"),
    allow("recvmsg", "messages with descriptors; dockerd's answers"),
    allow("recvfrom", "whether a kept connection is still alive"),
    allow("sendmsg", "messages with descriptors, to launcher, spawner, gate and relay"),
    allow("sendto", "requests to dockerd; log bytes"),
    allow("shutdown", "revoke a stream that was handed out"),
    allow("read", "profiles and streams"),
    allow("pread64", "its own memory's size, in /proc/self/statm"),
    allow("readv", "libstdc++ reads files so"),
    allow("write", "ledger, audit trail and log"),
    allow("writev", "libstdc++ and stdio write so"),
    allow("close", "descriptors"),
    allow("fcntl", "keep a revocable copy of a stream; descriptor flags"),
    allow_if("ioctl", {1, FIONBIO}, "Asio makes a descriptor non-blocking"),
    allow("openat", "profiles, ledger and audit trail"),
    allow("openat2", "profiles, without symlinks"),
    allow("newfstatat", "files and received descriptors"),
    allow("fstat", "files and received descriptors"),
    allow("lseek", "libstdc++ reads files so"),
    allow("rename", "rotate the audit trail"),
    allow("renameat", "rotate the audit trail"),
    allow("renameat2", "rotate the audit trail"),
    allow("unlink", "remove ledger files of ended sessions"),
    allow("unlinkat", "remove ledger files of ended sessions"),
    allow("memfd_create", "the memory that a gate counts in"),
    allow("ftruncate", "the size of that memory; give back the reserve of a rotated audit file"),
    allow("fallocate", "the reserve of the audit trail"),
    allow("geteuid", "whose a profile file has to be"),
    allow("getuid", "whose a profile file has to be"),
    allow("getpid", "log lines name the process"),
    allow("gettid", "spdlog names the thread"),
    allow("getrandom", "session ids and container names"),
    allow("rt_sigaction", "Asio's signal_set"),
    allow("rt_sigprocmask", "Asio's signal_set"),
    allow("mprotect", "malloc's arenas"),
    allow("waitid", "whether a received descriptor is a pidfd"),
};
inline constexpr Rows kKeeperGroups[] = {kEnding, kMemory, kClocks, kWaiting, kKeeperRows};
inline constexpr Profile kKeeper{"keeper", kKill, kKeeperGroups};

}  // namespace sallyport::seccomp
