// What a launcher says of itself is checked by what the kernel says: each lie is refused with its reason, and nothing
// of the refused session is left.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>

#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

using testing::HasSubstr;

class Verification : public testing::Test {
 protected:
  void SetUp() override {
    range = harness.take_range();
    shape.uid_base = range.base;
    session = harness.new_session();
  }
  std::string refusal(const FakeSandbox& sandbox) {
    return refusal(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, range));
  }
  std::string refusal(const messages::StartSession& request, const std::vector<int>& fds) {
    harness.send(request, fds);
    const std::string reason = harness.hear_one<messages::SpawnFailed>().reason.value;
    EXPECT_TRUE(harness.children().empty()) << "something was started";
    return reason;
  }
  Harness harness;
  UidRange range;
  SandboxShape shape;
  SessionId session;
};

TEST_F(Verification, AnHonestSandboxIsTaken) {
  const FakeSandbox sandbox = make_sandbox(shape);
  harness.send(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, range));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
  EXPECT_EQ(channels.size(), 1U);
}

TEST_F(Verification, APeerWithoutARangeGetsOneOfTheSpawners) {
  shape.own_user_namespace = false;
  const FakeSandbox sandbox = make_sandbox(shape);
  harness.send(messages::TakeRange{session});
  const std::uint32_t base = harness.hear_one<messages::RangeTaken>().uid_base;
  harness.send(harness.request_for(session, sandbox, 0), harness.fds_for(sandbox, UidRange{}));
  std::vector<UniqueFd> channels;  // kept: a gate without its keeper ends
  harness.hear_one<messages::Started>(&channels);
  EXPECT_NE(base, range.base) << "ours is locked";
  EXPECT_EQ((base - harness.config().uid_span.first) % limits::kUidsPerSession, 0U);
  EXPECT_GE(base, harness.config().uid_span.first);
  const auto processes = harness.children();
  ASSERT_FALSE(processes.empty());
  EXPECT_THAT(read_file("/proc/" + std::to_string(processes.front()) + "/status"),
              HasSubstr("\nUid:\t" + std::to_string(base + static_cast<std::uint32_t>(limits::UidPart::Gate))));
}

TEST_F(Verification, APeerWithoutARangeForWhomNoneWasTakenIsRefused) {
  shape.own_user_namespace = false;
  const FakeSandbox sandbox = make_sandbox(shape);
  const auto request = harness.request_for(session, sandbox, 0);
  EXPECT_THAT(refusal(request, harness.fds_for(sandbox, UidRange{})), HasSubstr("no uid range was taken"));
}

TEST_F(Verification, ARangeThatWasTakenIsLetGoOfWithTheSessionHoweverFarItCame) {
  std::uint32_t base = 0;
  const auto take = [&] {
    harness.send(messages::TakeRange{session});
    base = harness.hear_one<messages::RangeTaken>().uid_base;
    EXPECT_FALSE(harness.is_free(base)) << "it is held";
  };
  take();
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_TRUE(harness.is_free(base)) << "it was never started";
  take();
  shape.own_user_namespace = false;
  const FakeSandbox sandbox = make_sandbox(shape);
  (void)refusal(harness.request_for(session, sandbox, 0), {});
  EXPECT_TRUE(harness.is_free(base)) << "its start was refused";
}

TEST_F(Verification, APeerWithoutARangeCannotHaveItsInitKilled) {
  shape.own_user_namespace = false;
  const FakeSandbox anybody = make_sandbox(shape);  // could be any process of the host, by pidfd
  harness.send(messages::TakeRange{session});
  harness.hear_one<messages::RangeTaken>();
  harness.send(harness.request_for(session, anybody, 0), harness.fds_for(anybody, UidRange{}));
  std::vector<UniqueFd> channels;  // kept: a gate without its keeper ends
  harness.hear_one<messages::Started>(&channels);
  harness.send(messages::KillProcesses{session});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_FALSE(anybody.init.handle().has_ended(100));
}

struct MapCase {
  const char* sentence;
  std::string (*map)(std::uint32_t base);
};
const MapCase kMaps[] = {
    {"the whole range, where gate and containers live too",
     [](std::uint32_t b) { return "0 " + std::to_string(b) + " 16\n"; }},
    {"another session's range", [](std::uint32_t b) { return "999 " + std::to_string(b + 16) + " 2\n"; }},
    {"host root beside its own", [](std::uint32_t b) { return "0 0 1\n999 " + std::to_string(b) + " 2\n"; }},
    {"the gate's uid", [](std::uint32_t b) { return "999 " + std::to_string(b + 1) + " 2\n"; }},
    {"init's uid alone", [](std::uint32_t b) { return "999 " + std::to_string(b) + " 1\n"; }},
    {"everything", [](std::uint32_t) { return std::string("0 0 4294967295\n"); }},
};
class MapRefused : public Verification, public testing::WithParamInterface<MapCase> {};
TEST_P(MapRefused, AsUidMap) {
  shape.uid_map = GetParam().map(range.base);
  EXPECT_THAT(refusal(make_sandbox(shape)), HasSubstr("uid_map")) << GetParam().sentence;
}
TEST_P(MapRefused, AsGidMap) {
  shape.gid_map = GetParam().map(range.base);
  EXPECT_THAT(refusal(make_sandbox(shape)), HasSubstr("gid_map")) << GetParam().sentence;
}
INSTANTIATE_TEST_SUITE_P(Maps, MapRefused, testing::ValuesIn(kMaps));

TEST_F(Verification, AnInitInTheHostsUserNamespaceIsRefused) {
  shape.own_user_namespace = false;
  EXPECT_THAT(refusal(make_sandbox(shape)), HasSubstr("uid_map"));
}

TEST_F(Verification, ARangeOutsideTheSpanIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  const auto fds = harness.fds_for(sandbox, range);
  for (const std::uint32_t base : {range.base + 1, harness.config().uid_span.last + 1, 16U, 4294967280U})
    EXPECT_THAT(refusal(harness.request_for(session, sandbox, base), fds), HasSubstr("uid_span")) << base;
}

TEST_F(Verification, ARangeThatNobodyLockedIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  ASSERT_EQ(::flock(range.lock.get(), LOCK_UN), 0);
  EXPECT_THAT(refusal(sandbox), HasSubstr("nobody holds its lock"));
}

TEST_F(Verification, ARangeThatAnotherHoldsIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  UidRange impostor{range.base,
                    UniqueFd::adopt(::open(uid_lock_path(harness.config().runtime_directory, range.base).c_str(),
                                           O_RDWR | O_CLOEXEC))};
  EXPECT_THAT(refusal(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, impostor)),
              HasSubstr("held by another"));
}

TEST_F(Verification, ALockFileOfAnotherRangeIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  const UidRange other = harness.take_range();
  EXPECT_THAT(refusal(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, other)),
              HasSubstr("the passed lock is not"));
}

TEST_F(Verification, ARangeThatASessionHasIsRefusedASecondTime) {
  const FakeSandbox sandbox = make_sandbox(shape);
  harness.send(harness.request_for(session, sandbox, range.base), harness.fds_for(sandbox, range));
  std::vector<UniqueFd> channels;  // kept: a gate without its keeper ends
  harness.hear_one<messages::Started>(&channels);
  harness.send(harness.request_for(harness.new_session(), sandbox, range.base), harness.fds_for(sandbox, range));
  EXPECT_THAT(harness.hear_one<messages::SpawnFailed>().reason.value, HasSubstr("belongs to session"));
}

TEST_F(Verification, ASessionIdInUseIsRefused) {
  RunningSession first = start_session(harness);
  const FakeSandbox sandbox = make_sandbox(shape);
  harness.send(harness.request_for(first.id, sandbox, range.base), harness.fds_for(sandbox, range));
  EXPECT_THAT(harness.hear_one<messages::SpawnFailed>().reason.value, HasSubstr("a session of this id exists"));
}

TEST_F(Verification, AnInitThatHasEndedIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  ASSERT_TRUE(sandbox.init.handle().send_signal(SIGKILL));
  ASSERT_TRUE(sandbox.init.handle().has_ended(2000));
  EXPECT_THAT(refusal(sandbox), HasSubstr("init"));
}

TEST_F(Verification, AnInitThatIsNoPidfdIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  const UniqueFd directory = UniqueFd::adopt(::open(("/proc/" + std::to_string(sandbox.init_pid)).c_str(), O_RDONLY));
  for (const int liar : {sandbox.stream.get(), directory.get()}) {
    auto fds = harness.fds_for(sandbox, range);
    fds[0] = liar;
    EXPECT_THAT(refusal(harness.request_for(session, sandbox, range.base), fds), HasSubstr("init"));
  }
}

TEST_F(Verification, AListenerOfAnotherNetworkNamespaceIsRefused) {
  FakeSandbox sandbox = make_sandbox(shape);
  sandbox.docker_listener = unix_listener();  // of the host's
  EXPECT_THAT(refusal(sandbox), HasSubstr("another network namespace"));
}

TEST_F(Verification, AForwardListenerOfAnotherNetworkNamespaceIsRefused) {
  shape.tcp_listeners = 1;
  FakeSandbox sandbox = make_sandbox(shape);
  sandbox.tcp_listeners[0] = unix_listener();
  EXPECT_THAT(refusal(sandbox), HasSubstr("another network namespace"));
}

TEST_F(Verification, ASocketThatDoesNotListenIsNoListener) {
  FakeSandbox sandbox = make_sandbox(shape);
  std::swap(sandbox.docker_listener, sandbox.stream);
  EXPECT_THAT(refusal(sandbox), HasSubstr("it does not listen"));
}

TEST_F(Verification, AListenerIsNoStream) {
  FakeSandbox sandbox = make_sandbox(shape);
  sandbox.stream = UniqueFd::adopt(::dup(sandbox.docker_listener.get()));
  EXPECT_THAT(refusal(sandbox), HasSubstr("it listens"));
}

TEST_F(Verification, AnInternetSocketIsNoDockerListener) {
  shape.tcp_listeners = 1;
  FakeSandbox sandbox = make_sandbox(shape);
  std::swap(sandbox.docker_listener, sandbox.tcp_listeners[0]);
  EXPECT_THAT(refusal(sandbox), HasSubstr("address family"));
}

TEST_F(Verification, ADatagramSocketIsNoListener) {
  FakeSandbox sandbox = make_sandbox(shape);
  sandbox.docker_listener = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(refusal(sandbox), HasSubstr("not a stream socket"));
}

TEST_F(Verification, AFileIsNoListener) {
  FakeSandbox sandbox = make_sandbox(shape);
  sandbox.docker_listener = UniqueFd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(refusal(sandbox), HasSubstr("not a socket"));
}

TEST_F(Verification, AnotherNumberOfDescriptorsIsRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  auto fds = harness.fds_for(sandbox, range);
  const auto request = harness.request_for(session, sandbox, range.base);
  fds.push_back(sandbox.stream.get());
  EXPECT_THAT(refusal(request, fds), HasSubstr("5 descriptors instead of 4"));
  fds.resize(3);
  EXPECT_THAT(refusal(request, fds), HasSubstr("3 descriptors instead of 4"));
  EXPECT_THAT(refusal(request, {}), HasSubstr("0 descriptors instead of 4"));
}

TEST_F(Verification, MoreForwardsThanAProfileMayHaveAreRefused) {
  const FakeSandbox sandbox = make_sandbox(shape);
  auto request = harness.request_for(session, sandbox, range.base);
  request.forward_listeners = limits::kMaxForwards + 1;
  EXPECT_THAT(refusal(request, harness.fds_for(sandbox, range)), HasSubstr("more than 16 forwards"));
}

TEST(Sessions, AreNoMoreThanTheConfigurationAllows) {
  Harness harness({.max_sessions = 1});
  RunningSession first = start_session(harness);
  EXPECT_THROW(start_session(harness), std::runtime_error);
}

TEST(Sessions, LeaveTheirRangeToTheNextWhenTheyAreRemoved) {
  Harness harness;
  RunningSession running = start_session(harness);
  const std::uint32_t base = running.range.base;
  running.range.lock.reset();
  running.sandbox = {};
  EXPECT_FALSE(harness.is_free(base)) << "the spawner still holds it";
  harness.hear_one<messages::ChildEnded>();
  harness.send(messages::KillProcesses{running.id});
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{running.id, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_TRUE(harness.is_free(base));
}

}  // namespace
}  // namespace sallyport::spawner_test
