// UNTRUSTED SIDE. The gate after its start: it parses hostile HTTP and JSON, so assume that it is taken over.
// It can receive descriptors but has no way to send one, to make a socket, or to name a file.
#pragma once

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "seccomp/syscall_groups.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kGateRows = {
    allow("recvmsg", "hear the keeper, with descriptors"),
    allow("recvfrom", "Asio's recv()"),
    allow("accept", "a client connects to docker.sock"),
    allow("accept4", "a client connects to docker.sock"),
    allow("read", "client and stream bytes"),
    allow("readv", "client and stream bytes"),
    allow("write", "answers, streams, and datagrams to the keeper"),
    allow("writev", "answers; never sendmsg, which could pass descriptors"),
    allow("shutdown", "half-close of a stream"),
    allow("close", "the end of a connection"),
    allow("splice", "carry a stream without copying it"),
    allow("getrandom", "hash seeds"),
    allow_if("ioctl", {1, FIONBIO}, "Asio makes a descriptor non-blocking"),
};
inline constexpr Rows kGateGroups[] = {kEnding, kMemory, kClocks, kWaiting, kGateRows};
inline constexpr Profile kGate{"gate", kKill, kGateGroups};

}  // namespace sallyport::seccomp
