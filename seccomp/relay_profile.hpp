// UNTRUSTED SIDE. The relay after its start: it holds connected upstream sockets, so it must not be able to turn one
// with connect(AF_UNSPEC), bind or listen into another, nor to send one away.
#pragma once

#include <sys/ioctl.h>

#include "seccomp/syscall_groups.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kRelayRows = {
    allow("recvmsg", "hear the keeper, with descriptors"),
    allow("accept4", "a connection to a forward"),
    allow("read", "bytes of a connection"),
    allow("write", "bytes of a connection, and datagrams to the keeper"),
    allow("shutdown", "half-close of a connection"),
    allow("close", "the end of a connection"),
    allow_if("ioctl", {1, FIONBIO}, "make a descriptor non-blocking"),
};
inline constexpr Rows kRelayGroups[] = {kEnding, kMemory, kClocks, kWaiting, kRelayRows};
inline constexpr Profile kRelay{"relay", kKill, kRelayGroups};

}  // namespace sallyport::seccomp
