// The attack: a process in an empty network namespace holds a connected TCP socket of the host's namespace, turns it
// back with connect(AF_UNSPEC), and dials or listens in the host's namespace with it; or gives it away. It works in a
// process without a filter, and not under the relay's, which is the only process that is given such sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <span>

#include "sallyport/seqpacket.hpp"
#include "sallyport/unique_fd.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::spawner_test {
namespace {

enum class Guard { Off, RelayFilter };

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
int listen_on(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(socket, 8) != 0)
    ::_exit(90);
  return socket;
}
void raise_loopback() {
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  if (::ioctl(::socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request) != 0) ::_exit(91);
}

constexpr std::uint16_t kUpstream = 7001, kVictim = 7002, kNew = 7003;

bool unspec(int upstream) {
  sockaddr nothing{};
  nothing.sa_family = AF_UNSPEC;
  return ::connect(upstream, &nothing, sizeof nothing) == 0;
}
bool dial_another(int upstream) {
  const sockaddr_in victim = loopback(kVictim);
  return unspec(upstream) && ::connect(upstream, reinterpret_cast<const sockaddr*>(&victim), sizeof victim) == 0;
}
bool listen_in_the_host(int upstream) {
  const sockaddr_in address = loopback(kNew);
  return unspec(upstream) && ::bind(upstream, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         ::listen(upstream, 1) == 0;
}
bool listen_unbound(int upstream) { return unspec(upstream) && ::listen(upstream, 1) == 0; }
bool give_it_away(int upstream) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return false;
  return send_datagram(ends[0], std::as_bytes(std::span("x", 1)), std::span(&upstream, 1)).has_value();
}
bool give_it_away_on_an_open_channel(int upstream) {
  return send_datagram(3, std::as_bytes(std::span("x", 1)), std::span(&upstream, 1)).has_value();
}
bool open_another(int) { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; }

struct Attack {
  const char* sentence;
  bool (*move)(int upstream);
};
const Attack kAttacks[] = {
    {"it dials another address of the host", dial_another},
    {"it listens on a port of the host", listen_in_the_host},
    {"it listens on whatever port the kernel chooses", listen_unbound},
    {"it gives the socket away on a channel of its own", give_it_away},
    {"it gives the socket away on the keeper's channel", give_it_away_on_an_open_channel},
    {"it opens another socket", open_another},
};

bool succeeds(const Attack& attack, Guard guard) {
  int channel[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(channel[0], 3);
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(92);  // the host's namespace, for this test
    raise_loopback();
    listen_on(kUpstream);
    listen_on(kVictim);
    const int upstream = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(kUpstream);
    if (::connect(upstream, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::_exit(93);
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(94);  // the relay's, empty
    if (guard == Guard::RelayFilter && seccomp::install(seccomp::Filter::Relay) != 0) ::_exit(95);
    ::_exit(attack.move(upstream) ? 0 : 1);
  }
  ::close(channel[0]);
  ::close(channel[1]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(!WIFEXITED(status) || WEXITSTATUS(status) <= 1) << "the scene could not be set: " << WEXITSTATUS(status);
#ifndef SALLYPORT_ASAN  // whose filter answers EPERM instead
  if (guard == Guard::RelayFilter) EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << attack.sentence;
#endif
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class UpstreamSocket : public testing::TestWithParam<Attack> {};
TEST_P(UpstreamSocket, CannotBeTurnedByARelay) {
  ASSERT_TRUE(succeeds(GetParam(), Guard::Off)) << "the attack must be real: " << GetParam().sentence;
  EXPECT_FALSE(succeeds(GetParam(), Guard::RelayFilter)) << GetParam().sentence;
}
INSTANTIATE_TEST_SUITE_P(Attacks, UpstreamSocket, testing::ValuesIn(kAttacks));

}  // namespace
}  // namespace sallyport::spawner_test
