// BOTH SIDES. Bounded send and receive of one datagram with descriptors on a SOCK_SEQPACKET socket.
// Received descriptors are all adopted first and judged afterwards, so that none can leak.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport {

struct Datagram {
  std::size_t size = 0;       // 0 means the peer has closed
  std::vector<UniqueFd> fds;  // everything that came with it
  bool fds_refused = false;   // some came, and the kernel dropped them
};
// Refused: the kernel drops them unseen. Closing one of a stranger's could hang, where its filesystem is his own
// program.
enum class Descriptors { Taken, Refused };

inline Result<std::pair<UniqueFd, UniqueFd>> seqpacket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return fail_errno("make a socket pair");
  return std::pair(UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1]));
}

inline Result<> send_datagram(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {}) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(limits::kMaxPassedFds * sizeof(int))] = {};
  if (fds.size() > limits::kMaxPassedFds) return fail("send a message: too many descriptors");
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno("send a message");
  return {};
}

// A datagram larger than `buffer` is an error, not a truncation. EAGAIN comes back as an Error with that code.
inline Result<Datagram> receive_datagram(int socket, std::span<std::byte> buffer,
                                         Descriptors descriptors = Descriptors::Taken) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(limits::kMaxPassedFds * sizeof(int))];
  const bool takes_fds = descriptors == Descriptors::Taken;
  message.msg_control = takes_fds ? control : nullptr;
  message.msg_controllen = takes_fds ? sizeof control : 0;
  ssize_t received;
  do received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return fail_errno("receive a message");
  Datagram datagram;
  datagram.size = static_cast<std::size_t>(received);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      datagram.fds.push_back(UniqueFd::adopt(fd));
    }
  }
  datagram.fds_refused = !takes_fds && (message.msg_flags & MSG_CTRUNC) != 0;
  if (message.msg_flags & (takes_fds ? MSG_TRUNC | MSG_CTRUNC : MSG_TRUNC))
    return fail("receive a message: larger than this protocol allows");
  return datagram;
}

}  // namespace sallyport
