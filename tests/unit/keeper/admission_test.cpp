#include "broker/keeper/admission.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::keeper {
namespace {

const ProfileName kWorker = *ProfileName::parse("worker");

BrokerConfig config() {
  BrokerConfig config;
  config.open = {{kWorker, {1000}, {50}}};
  return config;
}

TEST(Opening, IsRootsAndWhoeverARuleNames) {
  EXPECT_TRUE(may_open({0, {0}}, *ProfileName::parse("other"), BrokerConfig{}));
  EXPECT_TRUE(may_open({1000, {9}}, kWorker, config()));
  EXPECT_TRUE(may_open({77, {9, 50}}, kWorker, config()));
  EXPECT_FALSE(may_open({77, {9}}, kWorker, config()));
  EXPECT_FALSE(may_open({1000, {9}}, *ProfileName::parse("other"), config()));
  EXPECT_FALSE(may_open({1000, {9}}, kWorker, BrokerConfig{}));
  EXPECT_FALSE(may_open({77, {0}}, kWorker, config())) << "gid 0 is not root";
}

// What the kernel says of a connected process with such ids, as seen by who accepts.
Peer peer_with(uid_t uid, gid_t gid, std::vector<gid_t> groups) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  const UniqueFd ours = UniqueFd::adopt(ends[0]), theirs = UniqueFd::adopt(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    // A pair has the credentials of who makes it, so the child sends one end of its own.
    int pair[2];
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0 || ::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
      ::_exit(1);
    const std::byte byte{};
    ::_exit(send_datagram(theirs.get(), std::span(&byte, 1), std::span(pair, 1)) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  std::byte byte{};
  const auto received = receive_datagram(ours.get(), std::span(&byte, 1));
  return *peer_of(received->fds.at(0).get());
}

TEST(APeer, IsInTheGroupsThatTheKernelSaysIfTheyAreNotTooMany) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes somebody else";
  EXPECT_TRUE(may_open(peer_with(64'992, 64'992, {50}), kWorker, config()));
  EXPECT_FALSE(may_open(peer_with(64'992, 64'992, {51}), kWorker, config()));
  EXPECT_TRUE(may_open(peer_with(1000, 64'992, {}), kWorker, config()));
  // More than are read: it is in none of them, and not in root's, whatever the buffer held.
  std::vector<gid_t> many(299);
  std::iota(many.begin(), many.end(), 63'000);
  many.push_back(50);
  const Peer peer = peer_with(64'992, 64'992, many);
  EXPECT_EQ(peer.gids, std::vector<std::uint32_t>{64'992});
  EXPECT_FALSE(may_open(peer, kWorker, config()));
  many.resize(255);
  many.back() = 50;
  EXPECT_TRUE(may_open(peer_with(64'992, 64'992, many), kWorker, config()));
}

struct Fixture {
  Profile profile;
  handshake::OpenSession hello;
  Fixture() {
    profile.name = kWorker;
    profile.docker.emplace();
    profile.hash[3] = 9;
    hello.profile = kWorker;
    hello.profile_hash = profile.hash;
    hello.has_docker = true;
  }
};

TEST(Hello, MustMeanTheSameFileAndItsListeners) {
  Fixture it;
  const Peer root{0, {0}};
  EXPECT_TRUE(check_hello(it.hello, it.profile, root));
  Fixture other = it;
  other.hello.profile_hash[0] ^= 1;
  EXPECT_FALSE(check_hello(other.hello, other.profile, root));
  other = it;
  other.hello.has_docker = false;
  EXPECT_FALSE(check_hello(other.hello, other.profile, root));
  other = it;
  other.hello.forward_listeners = 1;
  EXPECT_FALSE(check_hello(other.hello, other.profile, root));
  other = it;
  other.hello.uid_base = 200'000;
  EXPECT_TRUE(check_hello(other.hello, other.profile, root));
  EXPECT_FALSE(check_hello(other.hello, other.profile, {1000, {}})) << "only root brings a range";
  other.profile.docker.reset();
  EXPECT_FALSE(check_hello(other.hello, other.profile, root)) << "nothing to serve";
}

UniqueFd unix_socket(int type) { return UniqueFd::adopt(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)); }
UniqueFd listening(int type = SOCK_STREAM) {
  UniqueFd fd = unix_socket(type);
  sockaddr_un any{};
  any.sun_family = AF_UNIX;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(sa_family_t)), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  return fd;
}
UniqueFd connected() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  static std::vector<UniqueFd> others;
  others.push_back(UniqueFd::adopt(ends[1]));
  return UniqueFd::adopt(ends[0]);
}
UniqueFd pidfd() { return UniqueFd::adopt(pidfd_open(::getpid())); }
UniqueFd null() { return UniqueFd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

std::vector<UniqueFd> right() {
  std::vector<UniqueFd> fds;
  fds.push_back(pidfd());
  fds.push_back(pidfd());
  fds.push_back(listening());
  fds.push_back(connected());
  return fds;
}

TEST(Descriptors, OfTheRightKindsPass) {
  Fixture it;
  const auto checked = check_descriptors(it.hello, it.profile, right());
  ASSERT_TRUE(checked) << checked.error().text();
  EXPECT_TRUE(checked->init && checked->docker_listener && checked->stream);
}

TEST(Descriptors, OfAnyOtherKindAreRefused) {
  Fixture it;
  struct Wrong {
    const char* sentence;
    std::size_t at;
    UniqueFd fd;
  };
  std::vector<Wrong> wrongs;
  wrongs.push_back({"a file for the launcher's pidfd", 0, null()});
  wrongs.push_back({"a socket for init's pidfd", 1, connected()});
  wrongs.push_back({"a socket that does not listen", 2, connected()});
  wrongs.push_back({"a seqpacket listener", 2, listening(SOCK_SEQPACKET)});
  wrongs.push_back({"an internet socket", 2, UniqueFd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))});
  wrongs.push_back({"a listener for the stream", 3, listening()});
  wrongs.push_back({"a stream that is not connected", 3, unix_socket(SOCK_STREAM)});
  wrongs.push_back({"a file for the stream", 3, null()});
  for (Wrong& wrong : wrongs) {
    std::vector<UniqueFd> fds = right();
    fds[wrong.at] = std::move(wrong.fd);
    EXPECT_FALSE(check_descriptors(it.hello, it.profile, std::move(fds))) << wrong.sentence;
  }
}

TEST(Descriptors, AreCounted) {
  Fixture it;
  std::vector<UniqueFd> fds = right();
  fds.pop_back();
  EXPECT_FALSE(check_descriptors(it.hello, it.profile, std::move(fds)));
  fds = right();
  fds.push_back(null());
  EXPECT_FALSE(check_descriptors(it.hello, it.profile, std::move(fds)));
  it.hello.uid_base = 200'000;
  EXPECT_FALSE(check_descriptors(it.hello, it.profile, right())) << "the lock is missing";
}

}  // namespace
}  // namespace sallyport::keeper
