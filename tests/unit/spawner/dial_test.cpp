// Dials: as which uid, to what, and what comes back where nobody answers.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

class Dialing : public testing::Test {
 protected:
  Harness harness{{.docker_group = 107}};
  RunningSession session = start_session(harness);
  std::string directory = harness.config().runtime_directory;

  messages::Dial to_path(const std::string& path, std::uint32_t connection = 1) const {
    return {session.id, connection, false, path, 0, -1};
  }
  int error_of(const messages::Dial& request) {
    harness.send(request);
    std::vector<UniqueFd> fds;
    const auto done = harness.hear_one<messages::DialDone>(&fds);
    EXPECT_EQ(done.connection, request.connection);
    EXPECT_EQ(fds.size(), done.error_code == 0 ? 1U : 0U);
    return done.error_code;
  }
};

void bind_to(int socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
}

struct PeerSeen {
  ucred credentials{};
  std::set<gid_t> groups;
};
PeerSeen accept_and_look(int listener, UniqueFd* accepted = nullptr) {
  UniqueFd peer = UniqueFd::adopt(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  PeerSeen seen;
  socklen_t size = sizeof seen.credentials;
  EXPECT_EQ(::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &seen.credentials, &size), 0);
  gid_t groups[64];
  size = sizeof groups;
  if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
    seen.groups = {groups, groups + size / sizeof(gid_t)};
  if (accepted != nullptr) *accepted = std::move(peer);
  return seen;
}

TEST_F(Dialing, AUnixUpstreamSeesTheSessionsDialerAndNeverRoot) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0666);
  harness.send(to_path(directory + "/up"));
  UniqueFd accepted;
  const PeerSeen seen = accept_and_look(upstream.get(), &accepted);
  EXPECT_EQ(seen.credentials.uid, session.range.base + 5);
  EXPECT_EQ(seen.credentials.gid, session.range.base + 5);
  EXPECT_TRUE(seen.groups.empty());
  std::vector<UniqueFd> fds;
  ASSERT_EQ(harness.hear_one<messages::DialDone>(&fds).error_code, 0);
  ASSERT_EQ(::write(accepted.get(), "hello", 5), 5);
  char text[8] = {};
  EXPECT_EQ(::read(fds.at(0).get(), text, sizeof text), 5);
}

TEST_F(Dialing, TheProfilesExtraGroupIsTheOnlyOne) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0660);
  ASSERT_EQ(::chown((directory + "/up").c_str(), 0, 4711), 0);
  EXPECT_EQ(error_of(to_path(directory + "/up", 1)), EACCES);
  auto request = to_path(directory + "/up", 2);
  request.extra_group = 4711;
  harness.send(request);
  EXPECT_EQ(accept_and_look(upstream.get()).groups, std::set<gid_t>{4711});
  EXPECT_EQ(harness.hear_one<messages::DialDone>().error_code, 0);
}

TEST_F(Dialing, TheDockerSocketAndItsGroupAreRefused) {
  const UniqueFd docker = unix_listener_at(harness.config().docker_socket, 0666);
  EXPECT_EQ(error_of(to_path(harness.config().docker_socket)), EACCES);
  ASSERT_EQ(::link(harness.config().docker_socket.c_str(), (directory + "/other-name").c_str()), 0);
  EXPECT_EQ(error_of(to_path(directory + "/other-name")), EACCES);
  auto request = to_path(directory + "/up");
  for (const gid_t group : {0U, 107U}) {
    request.extra_group = static_cast<std::int32_t>(group);
    EXPECT_EQ(error_of(request), EACCES) << group;
  }
}

UniqueFd internet_listener() {
  UniqueFd listener = UniqueFd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  return listener;
}

TEST_F(Dialing, ATcpUpstreamIsReached) {
  const UniqueFd upstream = internet_listener();
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(upstream.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(error_of({session.id, 1, true, "127.0.0.1", ntohs(address.sin_port), -1}), 0);
}

TEST_F(Dialing, AnUpstreamThatIsNotThereIsSaidSo) {
  EXPECT_EQ(error_of(to_path(directory + "/nothing")), ENOENT);
  EXPECT_EQ(error_of({session.id, 2, true, "127.0.0.1", 1, -1}), ECONNREFUSED);
}

struct BadTarget {
  const char* sentence;
  bool tcp;
  const char* address;
  std::uint16_t port;
};
const BadTarget kBadTargets[] = {
    {"a relative path", false, "run/up", 0},
    {"an empty path", false, "", 0},
    {"a path longer than a socket's may be", false,
     "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "a",
     0},
    {"a host name", true, "localhost", 80},
    {"a short form of an address", true, "127.1", 80},
    {"an IPv6 address", true, "::1", 80},
    {"no port", true, "127.0.0.1", 0},
    {"an empty address", true, "", 80},
};
class BadTargetRefused : public Dialing, public testing::WithParamInterface<BadTarget> {};
TEST_P(BadTargetRefused, WithoutADial) {
  const BadTarget& bad = GetParam();
  EXPECT_EQ(error_of({session.id, 3, bad.tcp, bad.address, bad.port, -1}), EINVAL) << bad.sentence;
}
INSTANTIATE_TEST_SUITE_P(Targets, BadTargetRefused, testing::ValuesIn(kBadTargets));

TEST_F(Dialing, APathEndsWhereItEndsAndNotAtAZeroInIt) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0666);
  EXPECT_EQ(error_of(to_path(directory + "/up" + std::string(1, '\0') + "x")), EINVAL);
}

TEST_F(Dialing, APathOf107BytesIsDialedAndOneOf108IsNot) {
  std::string longest = directory + "/";
  longest.resize(107, 'x');
  const UniqueFd upstream = unix_listener_at(longest, 0666);
  EXPECT_EQ(error_of(to_path(longest)), 0);
  EXPECT_EQ(error_of(to_path(longest + "x")), EINVAL);
}

TEST_F(Dialing, ADescriptorThatComesWithTheRequestIsRefused) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0666);
  harness.send(to_path(directory + "/up"), {upstream.get()});
  EXPECT_EQ(harness.hear_one<messages::DialDone>().error_code, ESRCH);
}

TEST_F(Dialing, AnUpstreamThatNeverAcceptsTimesOutAndHoldsUpNobody) {
  const UniqueFd upstream = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  bind_to(upstream.get(), directory + "/slow");
  ASSERT_EQ(::listen(upstream.get(), 0), 0);
  EXPECT_EQ(error_of(to_path(directory + "/slow", 1)), 0) << "the backlog takes one";
  const auto begin = std::chrono::steady_clock::now();
  harness.send(to_path(directory + "/slow", 2));
  harness.send(messages::KillProcesses{harness.new_session()});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ(harness.hear_one<messages::DialDone>().error_code, ETIMEDOUT);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, limits::kDialDeadline + std::chrono::seconds(2));
}

TEST_F(Dialing, ADialForAnUnknownOrEndedSessionIsRefused) {
  EXPECT_EQ(error_of({harness.new_session(), 1, false, directory + "/up", 0, -1}), ESRCH);
  harness.send(messages::KillProcesses{session.id});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_EQ(error_of(to_path(directory + "/up")), ESRCH);
}

TEST_F(Dialing, ManyAtOnceAllArrive) {
  const UniqueFd upstream = unix_listener_at(directory + "/many", 0666);
  const std::uint32_t many = limits::kMaxForwardConnections;
  for (std::uint32_t i = 0; i < many; ++i) harness.send(to_path(directory + "/many", i));
  std::set<std::uint32_t> arrived;
  for (std::uint32_t i = 0; i < many; ++i) {
    std::vector<UniqueFd> fds;
    const auto done = harness.hear_one<messages::DialDone>(&fds);
    EXPECT_EQ(done.error_code, 0);
    arrived.insert(done.connection);
  }
  EXPECT_EQ(arrived.size(), many);
  EXPECT_TRUE(eventually([&] { return harness.children().size() == 1; })) << "every dialer is reaped";
}

// An upstream that takes no connection for as long as this lives: its backlog is full.
struct HangingUpstream {
  explicit HangingUpstream(const std::string& path) {
    bind_to(listener.get(), path);
    EXPECT_EQ(::listen(listener.get(), 0), 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(first.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  UniqueFd listener = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd first = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
};

// A dialer that hangs, seen from outside: it has the session's uid, and what it could be taken over for is gone.
TEST_F(Dialing, IsDoneByAProcessWithoutPrivilegesDescriptorsOrALifeOfItsOwn) {
  const HangingUpstream hanging(directory + "/hang");
  auto request = to_path(directory + "/hang");
  request.extra_group = 4713;
  harness.send(request);
  ASSERT_TRUE(eventually([&] { return harness.children().size() == 2; }));
  const std::string process = "/proc/" + std::to_string(harness.children().back());
  const std::string uid = std::to_string(session.range.base + 5);
  const std::string four = uid + "\t" + uid + "\t" + uid + "\t" + uid + "\n";
  const auto status = [&] { return read_file(process + "/status"); };
  ASSERT_TRUE(eventually([&] { return status().find("NoNewPrivs:\t1") != std::string::npos; }))
      << "its last step but one";
  const auto descriptors = [&] {
    std::map<int, std::string> links;
    std::error_code closed;  // between the look for its name and that at it
    for (const auto& entry : std::filesystem::directory_iterator(process + "/fd"))
      links[std::stoi(entry.path().filename())] = std::filesystem::read_symlink(entry.path(), closed);
    return links;
  };
  ASSERT_TRUE(eventually([&] { return descriptors().size() == 5; })) << "0 to 2, its answer's, and what it connects";
  for (const std::string& line : {std::string("CapInh:\t0000000000000000"), std::string("CapPrm:\t0000000000000000"),
                                  std::string("CapEff:\t0000000000000000"), std::string("CapBnd:\t0000000000000000"),
                                  std::string("CapAmb:\t0000000000000000"), std::string("Groups:\t4713 \n"),
                                  "\nUid:\t" + four, "\nGid:\t" + four, std::string("SigBlk:\t0000000000000000")})
    EXPECT_THAT(status(), testing::HasSubstr(line));
  const auto links = descriptors();
  for (const int standard : {0, 1, 2}) EXPECT_EQ(links.at(standard), "/dev/null");
  for (const int socket : {3, 4}) EXPECT_THAT(links.at(socket), testing::StartsWith("socket:"));
  EXPECT_THAT(read_file(process + "/limits"), testing::ContainsRegex("Max core file size +1 +1 "));
  struct stat info;
  ASSERT_EQ(::stat((process + "/environ").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U) << "proc(5): the files of a process that is not dumpable are root's";
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(harness.spawner().handle().send_signal(SIGKILL));
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(process); }));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4))
      << "with the spawner, not by its deadline";
}

TEST_F(Dialing, HandsOutAConnectionThatNeverTimesOutAndNoticesADeadPeer) {
  const UniqueFd upstream = internet_listener();
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(upstream.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  harness.send(messages::Dial{session.id, 1, true, "127.0.0.1", ntohs(address.sin_port), -1});
  std::vector<UniqueFd> fds;
  ASSERT_EQ(harness.hear_one<messages::DialDone>(&fds).error_code, 0);
  timeval limit{1, 1};
  size = sizeof limit;
  ASSERT_EQ(::getsockopt(fds.at(0).get(), SOL_SOCKET, SO_SNDTIMEO, &limit, &size), 0);
  EXPECT_EQ(limit.tv_sec + limit.tv_usec, 0);
  for (const auto& [level, option] :
       {std::pair<int, int>{SOL_SOCKET, SO_KEEPALIVE}, std::pair<int, int>{IPPROTO_TCP, TCP_NODELAY}}) {
    int value = 0;
    size = sizeof value;
    ASSERT_EQ(::getsockopt(fds.at(0).get(), level, option, &value, &size), 0);
    EXPECT_EQ(value, 1) << option;
  }
}

// Each is a fork: a session that dials without pause has the spawner busy, and a neighbour's dial has its turn all the
// same.
TEST_F(Dialing, OfASessionBeginTwoAtATime) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0666);
  const HangingUpstream hanging(directory + "/hang");
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint32_t number = 0; number < 8; ++number) harness.send(to_path(directory + "/hang", number));
  harness.send(to_path(directory + "/up", 8));
  ASSERT_TRUE(eventually([&] { return harness.children().size() >= 3; }));
  const auto forked = harness.children().size() - 1;
  const auto within = static_cast<std::size_t>((std::chrono::steady_clock::now() - begun) / limits::kDialHangs);
  EXPECT_LE(forked, limits::kDialersThatBegin * (within + 1));
  EXPECT_EQ(harness.hear_one<messages::DialDone>().connection, 8U) << "those that hang are not waited for";
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 4 * limits::kDialHangs);
}

TEST_F(Dialing, SessionsWhoseDialsHangLeaveTheOthersTheirPlaces) {
  const UniqueFd upstream = unix_listener_at(directory + "/up", 0666);
  const HangingUpstream hanging(directory + "/hang");
  std::vector<RunningSession> hostile;
  for (int i = 0; i < 6; ++i) {  // more than the common places are for
    hostile.push_back(start_session(harness));
    for (std::uint32_t number = 0; number < limits::kMaxForwardConnections; ++number)
      harness.send({messages::Dial{hostile.back().id, number, false, directory + "/hang", 0, -1}});
  }
  ASSERT_TRUE(eventually([&] { return harness.children().size() > limits::kCommonDialers; })) << "they hang";
  // The answer to the dial of a session; what the others hear before is of their own dials.
  const auto error_before_hanging_ones_end = [&](const messages::Dial& dial) {
    harness.send(dial);
    const auto asked = std::chrono::steady_clock::now();
    for (;;) {
      const auto done = harness.hear_one<messages::DialDone>();
      if (done.session == dial.session) return done.error_code;
      EXPECT_EQ(done.error_code, ETIMEDOUT);
      EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(2)) << "it waits for one that hangs";
    }
  };
  EXPECT_EQ(error_before_hanging_ones_end(to_path(directory + "/up")), 0);
  const std::size_t own = limits::own_dialers(HarnessShape{}.max_sessions);
  EXPECT_LT(own, limits::kMaxSessionDialers);
  const std::size_t most = hostile.size() * own + limits::kCommonDialers + hostile.size() + 1;  // and gates
  EXPECT_TRUE(eventually([&] { return harness.children().size() >= most; })) << "what is common is taken to its end";
  std::this_thread::sleep_for(3 * limits::kDialHangs);
  EXPECT_EQ(harness.children().size(), most);
  const RunningSession late = start_session(harness);
  EXPECT_EQ(error_before_hanging_ones_end({late.id, 1, false, directory + "/up", 0, -1}), 0)
      << "a session that opens meanwhile";
}

TEST_F(Dialing, DialsBeyondASessionsPlacesWaitUpToItsConnectionsAndEndWithIt) {
  const HangingUpstream hanging(directory + "/hang");
  const std::uint32_t most = limits::kMaxForwardConnections;
  for (std::uint32_t number = 0; number <= most; ++number) harness.send(to_path(directory + "/hang", number));
  const auto refused = harness.hear_one<messages::DialDone>();
  EXPECT_EQ(refused.connection, most);
  EXPECT_EQ(refused.error_code, EAGAIN);
  EXPECT_EQ(error_of(to_path(directory + "/hang", most - 1)), EEXIST) << "one that waits has its number too";
  EXPECT_TRUE(eventually([&] { return harness.children().size() > limits::kMaxSessionDialers; }));
  std::this_thread::sleep_for(3 * limits::kDialHangs);
  EXPECT_EQ(harness.children().size(), 1 + limits::kMaxSessionDialers);
  harness.send(messages::KillProcesses{session.id});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_TRUE(harness.children().empty());
  EXPECT_FALSE(harness.hear(std::chrono::milliseconds(50)));
}

}  // namespace
}  // namespace sallyport::spawner_test
