#include "broker/spawner/dialer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "broker/privileges.hpp"
#include "broker/spawner/plain_child.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/same_file.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

namespace {

constexpr int kAnswerFd = 3;

// --- in the fork: async-signal-safe ---

[[noreturn]] void answer_and_exit(int error, int connected) noexcept {
  iovec part{&error, sizeof error};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (connected >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &connected, sizeof connected);
  }
  [[maybe_unused]] const auto sent = ::sendmsg(kAnswerFd, &message, MSG_NOSIGNAL);
  ::_exit(0);
}

int connect_within_deadline(const DialTarget& target) noexcept {
  const int socket = ::socket(target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -errno;
  // SO_SNDTIMEO bounds connect(2) for both families; a Unix listener with a full backlog would block for ever.
  const timeval limit{limits::kDialDeadline.count(), 0};
  const timeval none{};
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return -errno;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&target.address), target.size) != 0)
    return errno == EINPROGRESS || errno == EAGAIN || errno == EINTR ? -ETIMEDOUT : -errno;
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none) != 0) return -errno;
  if (target.address.ss_family == AF_INET) {
    const int on = 1;
    // A dead peer is noticed, and small requests do not wait for a full segment.
    (void)::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return socket;
}

[[noreturn]] void dialer_main(const DialTarget& target, uid_t uid, int answer, int null_device) noexcept {
  for (int fd = 0; fd < kAnswerFd; ++fd)
    if (::dup2(null_device, fd) < 0) ::_exit(127);
  if (answer != kAnswerFd && ::dup2(answer, kAnswerFd) < 0) ::_exit(127);
  if (close_range(kAnswerFd + 1, ~0U, 0) != 0) ::_exit(127);
  if (leave_no_core() != 0) ::_exit(127);
  if (const int error = become(Identity{uid, uid, target.extra_group}); error != 0) answer_and_exit(error, -1);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(127);
  ::alarm(static_cast<unsigned>(limits::kDialDeadline.count()) + 1);
  const int socket = connect_within_deadline(target);
  answer_and_exit(socket < 0 ? -socket : 0, socket < 0 ? -1 : socket);
}

}  // namespace

Result<DialTarget> parse_target(const protocol::spawner::Dial& request, const DialRules& rules) {
  DialTarget target;
  target.extra_group = request.extra_group;
  if (request.extra_group == 0 ||
      (request.extra_group > 0 && static_cast<gid_t>(request.extra_group) == rules.docker_group))
    return fail_errno(
        "dial with the group " + std::to_string(request.extra_group) + ", which opens more than an upstream", EACCES);
  const std::string& text = request.address.value;
  if (text.empty() || text.find('\0') != std::string::npos) return fail_errno("dial an empty address", EINVAL);
  if (request.tcp) {
    auto* address = reinterpret_cast<sockaddr_in*>(&target.address);
    address->sin_family = AF_INET;
    address->sin_port = htons(request.port);
    if (request.port == 0 || ::inet_pton(AF_INET, text.c_str(), &address->sin_addr) != 1)
      return fail_errno("dial " + text + ": not a dotted IPv4 address with a port", EINVAL);
    target.size = sizeof *address;
    return target;
  }
  auto* address = reinterpret_cast<sockaddr_un*>(&target.address);
  if (text[0] != '/' || text.size() >= sizeof address->sun_path)
    return fail_errno("dial " + text + ": not an absolute path of a socket", EINVAL);
  if (is_same_file(text, rules.docker_socket))
    return fail_errno("dial " + text + ": the Docker socket is no upstream", EACCES);
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, text.data(), text.size());
  target.size = sizeof *address;
  return target;
}

Result<Dialer> start_dialer(const DialTarget& target, uid_t uid, int null_device) {
  if (uid == 0) return fail("dial: never as root");
  auto [ours, theirs] = TRY(seqpacket_pair());
  Forked forked = TRY(fork_with_pidfd());
  if (forked.in_child) dialer_main(target, uid, theirs.get(), null_device);
  return Dialer{std::move(forked.child), std::move(ours)};
}

DialOutcome read_answer(int answer) {
  DialOutcome outcome;
  std::array<std::byte, sizeof(int)> buffer;
  auto datagram = receive_datagram(answer, buffer);
  // A dialer that ended without a word was stopped by its alarm.
  if (!datagram || datagram->size != sizeof(int)) return {ETIMEDOUT, {}};
  std::memcpy(&outcome.error_code, buffer.data(), sizeof(int));
  if (outcome.error_code != 0) return outcome;
  if (datagram->fds.size() != 1) return {EPROTO, {}};
  outcome.connected = std::move(datagram->fds.front());
  return outcome;
}

}  // namespace sallyport::spawner
