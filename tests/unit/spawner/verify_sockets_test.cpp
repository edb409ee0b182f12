// What a listener, a stream, a lock and a range must be: each kind that comes close is refused by the spawner itself,
// whatever the keeper has looked at before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>

#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

using testing::HasSubstr;

class Verified : public testing::Test {
 protected:
  explicit Verified(HarnessShape how = {}) : harness(how) {}
  std::string refusal() { return refusal(range.base); }
  std::string refusal(std::uint32_t base) {
    harness.send(harness.request_for(session, sandbox, base), harness.fds_for(sandbox, range));
    const std::string reason = harness.hear_one<messages::SpawnFailed>().reason.value;
    EXPECT_TRUE(harness.children().empty()) << "something was started";
    EXPECT_EQ(cgroup_of(session), "");
    return reason;
  }
  Harness harness;
  UidRange range = harness.take_range();
  SessionId session = harness.new_session();
  FakeSandbox sandbox = make_sandbox({.uid_base = range.base, .tcp_listeners = 1});
};

UniqueFd internet_socket(int family, int type, int protocol, bool listens) {
  UniqueFd made = UniqueFd::adopt(::socket(family, type | SOCK_CLOEXEC, protocol));
  if (!made) return made;
  sockaddr_in6 address{};
  address.sin6_family = static_cast<sa_family_t>(family);
  EXPECT_EQ(::bind(made.get(), reinterpret_cast<sockaddr*>(&address),
                   family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in)),
            0);
  if (listens) EXPECT_EQ(::listen(made.get(), 8), 0);
  return made;
}
UniqueFd unix_socket(int type, bool listens) {
  UniqueFd made = UniqueFd::adopt(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!listens) return made;
  EXPECT_EQ(::bind(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
  EXPECT_EQ(::listen(made.get(), 8), 0);
  return made;
}

struct BadListener {
  const char* sentence;
  UniqueFd (*make)();
  const char* says;
};
const BadListener kBadForwards[] = {
    {"of IPv6", [] { return internet_socket(AF_INET6, SOCK_STREAM, 0, true); }, "address family"},
    {"of MPTCP", [] { return internet_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP, true); }, "not TCP"},
    {"of datagrams", [] { return internet_socket(AF_INET, SOCK_DGRAM, 0, false); }, "not a stream socket"},
    {"that does not listen", [] { return internet_socket(AF_INET, SOCK_STREAM, 0, false); }, "does not listen"},
    {"of packets", [] { return unix_socket(SOCK_SEQPACKET, true); }, "not a stream socket"},
};

TEST_F(Verified, AForwardsListenerIsAStreamOfOneOfTwoFamilies) {
  for (const BadListener& bad : kBadForwards) {
    sandbox.tcp_listeners[0] = make_inside(sandbox, bad.make);
    if (!sandbox.tcp_listeners[0] && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT || errno == ENOPROTOOPT))
      continue;
    ASSERT_TRUE(sandbox.tcp_listeners[0]) << bad.sentence;
    EXPECT_THAT(refusal(), HasSubstr(bad.says)) << bad.sentence;
  }
}

TEST_F(Verified, AForwardsListenerMayBeAUnixStreamOfTheSandbox) {
  sandbox.tcp_listeners[0] = make_inside(sandbox, [] { return unix_socket(SOCK_STREAM, true); });
  harness.send(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, range));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
  EXPECT_EQ(channels.size(), 2U);
}

TEST_F(Verified, ADockerListenerOfPacketsIsRefused) {
  sandbox.docker_listener = make_inside(sandbox, [] { return unix_socket(SOCK_SEQPACKET, true); });
  EXPECT_THAT(refusal(), HasSubstr("not a stream socket"));
}

TEST_F(Verified, AStreamIsAConnectedUnixStream) {
  sandbox.stream = unix_socket(SOCK_STREAM, false);
  EXPECT_THAT(refusal(), HasSubstr("not connected"));
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd other = UniqueFd::adopt(ends[1]);
  sandbox.stream = UniqueFd::adopt(ends[0]);
  EXPECT_THAT(refusal(), HasSubstr("not a stream socket"));
  const std::uint16_t port = sandbox.tcp_ports[0];
  sandbox.stream = connect_inside(sandbox, port);
  EXPECT_THAT(refusal(), HasSubstr("address family"));
}

// Whoever made the link or the pipe could have several sessions hold one lock.
TEST_F(Verified, ALockThatIsALinkOrNoFileIsRefused) {
  const std::string lock = uid_lock_path(harness.config().runtime_directory, range.base);
  const std::string elsewhere = harness.config().runtime_directory + "/elsewhere";
  std::filesystem::rename(lock, elsewhere);
  std::filesystem::create_symlink(elsewhere, lock);
  EXPECT_THAT(refusal(), HasSubstr("open its lock"));
  std::filesystem::remove(lock);
  ASSERT_EQ(::mkfifo(lock.c_str(), 0600), 0);
  range.lock = UniqueFd::adopt(::open(lock.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(range.lock.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(refusal(), HasSubstr("the passed lock is not"));
}

class VerifiedAtTheEnd : public Verified {
 protected:
  VerifiedAtTheEnd() : Verified({.uids = 3 * limits::kUidsPerSession - 1}) {}
};
TEST_F(VerifiedAtTheEnd, ARangeOfWhichTheLastUidIsNotInTheSpanIsRefused) {
  const std::uint32_t first = harness.config().uid_span.first;
  EXPECT_THAT(refusal(first + 2 * limits::kUidsPerSession), HasSubstr("uid_span"));
  range.lock.reset();
  auto last_whole = lock_uid_range(harness.config().runtime_directory, first + limits::kUidsPerSession);
  ASSERT_TRUE(last_whole);
  range = UidRange{first + limits::kUidsPerSession, std::move(*last_whole)};
  sandbox = make_sandbox({.uid_base = range.base, .tcp_listeners = 1});
  harness.send(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, range));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
}

}  // namespace
}  // namespace sallyport::spawner_test
