#include "broker/keeper/admission.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>

namespace sallyport::keeper {

namespace {

int socket_option(int socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  if (::getsockopt(socket, SOL_SOCKET, option, &value, &size) != 0) return -1;
  return value;
}

Result<> check_stream_socket(int fd, int domain, bool listens, const char* what) {
  if (socket_option(fd, SO_DOMAIN) != domain || socket_option(fd, SO_TYPE) != SOCK_STREAM)
    return fail(std::string("check descriptors: ") + what + " is not a stream socket of its domain");
  if (socket_option(fd, SO_ACCEPTCONN) != (listens ? 1 : 0))
    return fail(std::string("check descriptors: ") + what + (listens ? " does not listen" : " listens"));
  return {};
}

// waitid(2) tells a pidfd (not our child: ECHILD) from every other descriptor (EBADF).
Result<> check_pidfd(int fd, const char* what) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno != ECHILD)
    return fail(std::string("check descriptors: ") + what + " is not a pidfd");
  return {};
}

bool names(const OpenRule& rule, const Peer& peer) {
  if (std::ranges::find(rule.uids, peer.uid) != rule.uids.end()) return true;
  return std::ranges::any_of(peer.gids,
                             [&](std::uint32_t gid) { return std::ranges::find(rule.gids, gid) != rule.gids.end(); });
}

}  // namespace

Result<Peer> peer_of(int control_socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(control_socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return fail_errno("read the peer's credentials");
  Peer peer;
  peer.uid = credentials.uid;
  peer.gids.resize(256);
  size = static_cast<socklen_t>(peer.gids.size() * sizeof(gid_t));
  if (::getsockopt(control_socket, SOL_SOCKET, SO_PEERGROUPS, peer.gids.data(), &size) != 0) {
    if (errno != ERANGE) return fail_errno("read the peer's groups");
    size = 0;  // in more groups than we read: only the primary one counts
  }
  peer.gids.resize(size / sizeof(gid_t));
  peer.gids.push_back(credentials.gid);
  return peer;
}

bool may_open_any(const Peer& peer, const BrokerConfig& config) {
  return peer.uid == 0 || std::ranges::any_of(config.open, [&](const OpenRule& rule) { return names(rule, peer); });
}

Result<> may_open(const Peer& peer, const ProfileName& profile, const BrokerConfig& config) {
  if (peer.uid == 0) return {};
  for (const OpenRule& rule : config.open)
    if (rule.profile == profile && names(rule, peer)) return {};
  return fail("uid " + std::to_string(peer.uid) + " may not open a session with profile " + profile.text() +
              ": run as root");
}

Result<> check_hello(const handshake::OpenSession& hello, const Profile& profile, const Peer& peer) {
  if (hello.profile_hash != profile.hash)
    return fail("profile " + profile.name.text() +
                " is not the file that the broker reads: give both the same --profile-dir, or start again if it has "
                "just changed");
  if (!profile.docker && profile.forwards.empty())
    return fail("profile " + profile.name.text() + " has neither [docker] nor [[forward]]: it needs no session");
  if (hello.has_docker != profile.docker.has_value() || hello.forward_listeners != profile.forwards.size())
    return fail("the hello does not have the listeners that profile " + profile.name.text() + " asks for");
  if (peer.uid != 0 && hello.uid_base != 0) return fail("only root brings a uid range of its own");
  return {};
}

Result<SessionFds> check_descriptors(const handshake::OpenSession& hello, const Profile& profile,
                                     std::vector<UniqueFd> fds) {
  const std::size_t wanted =
      2 + (hello.uid_base != 0 ? 1U : 0U) + (hello.has_docker ? 2U : 0U) + profile.forwards.size();
  if (fds.size() != wanted)
    return fail("check descriptors: " + std::to_string(fds.size()) + " came, and " + std::to_string(wanted) +
                " should have");
  SessionFds named;
  auto next = fds.begin();
  named.launcher = std::move(*next++);
  named.init = std::move(*next++);
  TRY(check_pidfd(named.launcher.get(), "the launcher's"));
  TRY(check_pidfd(named.init.get(), "init's"));
  if (hello.uid_base != 0) {
    named.uid_lock = std::move(*next++);
    struct stat status{};
    if (::fstat(named.uid_lock.get(), &status) != 0 || !S_ISREG(status.st_mode))
      return fail("check descriptors: the lock of the uid range is not a file");
  }
  if (hello.has_docker) {
    named.docker_listener = std::move(*next++);
    named.stream = std::move(*next++);
    TRY(check_stream_socket(named.docker_listener.get(), AF_UNIX, true, "the docker listener"));
    TRY(check_stream_socket(named.stream.get(), AF_UNIX, false, "the stream"));
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getpeername(named.stream.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0)
      return fail("check descriptors: the stream is not connected");
  }
  for (const ForwardSection& forward : profile.forwards) {
    const int domain = std::holds_alternative<TcpAddress>(forward.listen) ? AF_INET : AF_UNIX;
    TRY(check_stream_socket(next->get(), domain, true, "a forward's listener"));
    named.forward_listeners.push_back(std::move(*next++));
  }
  return named;
}

}  // namespace sallyport::keeper
