// What is left, and what must not be, where a start fails, a slice is in the way, or the broker lives in a cgroup of
// its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A process that does nothing in a cgroup.
Child pause_in(const std::string& cgroup) {
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Child child = *Child::from_pid(pid);
  std::ofstream(cgroup + "/cgroup.procs") << pid << std::flush;
  return child;
}

std::string a_hierarchy_of_containers() {
  return fs::exists("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
}

class FailedStart : public testing::TestWithParam<HarnessShape> {};
TEST_P(FailedStart, OfGateOrRelayLeavesNothingOfTheSession) {
  Harness harness(GetParam());
  UidRange range = harness.take_range();
  const SessionId id = harness.new_session();
  const FakeSandbox sandbox = make_sandbox({.uid_base = range.base, .tcp_listeners = 1});
  harness.send(harness.request_for(id, sandbox, range.base), harness.fds_for(sandbox, range));
  EXPECT_THAT(harness.hear_one<messages::SpawnFailed>().reason.value, HasSubstr("execute the program"));
  EXPECT_TRUE(eventually([&] { return harness.children().empty(); })) << "the other of the two is killed";
  harness.send(messages::RemoveCgroup{id, false});  // as the keeper does
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_EQ(cgroup_of(id), "");
  EXPECT_TRUE(sandbox.init.handle().has_ended()) << "it had been moved into the session's cgroup";
  range.lock.reset();
  EXPECT_TRUE(harness.is_free(range.base)) << "the spawner does not hold it";
}
INSTANTIATE_TEST_SUITE_P(Programs, FailedStart,
                         testing::Values(HarnessShape{.gate_program = "/etc/passwd"},
                                         HarnessShape{.relay_program = "/etc/passwd"}));

// --- systemd's slices ---

class Slice {
 public:
  explicit Slice(const SessionId& session)
      : parent_(a_hierarchy_of_containers() + "/sallyport.slice"),
        had_parent_(fs::exists(parent_)),
        path_(parent_ + "/sallyport-" + session.text() + ".slice") {
    fs::create_directories(path_);
  }
  ~Slice() {
    remove();
    std::error_code ignored;
    if (!had_parent_) fs::remove(parent_, ignored);
  }
  void remove() const {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string parent_;
  bool had_parent_;
  std::string path_;
};

TEST(ASliceOfContainers, IsStoppedBySystemdWhichIsAskedOnceAndGetsNothingElse) {
  Harness harness({.has_systemctl = true});
  const SessionId id = harness.new_session();
  const Slice slice(id);
  const std::string calls = harness.config().runtime_directory + "/systemctl-was-called";
  harness.send(messages::RemoveCgroup{id, true});
  ASSERT_TRUE(eventually([&] { return read_file(calls).ends_with("\n"); }));
  EXPECT_FALSE(harness.hear(std::chrono::milliseconds(100))) << "not before the slice is gone";
  slice.remove();
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_EQ(read_file(calls), "systemctl stop -- sallyport-" + id.text() + ".slice descriptors:3\n");
}

TEST(ASliceOfContainers, IsKilledWithItsProcesses) {
  Harness harness({.has_systemctl = true});
  const SessionId id = harness.new_session();
  const Slice slice(id);
  Child contained = pause_in(slice.path());
  harness.send(messages::KillProcesses{id});
  EXPECT_TRUE(contained.handle().has_ended(3000));
  (void)contained.try_reap();
  harness.hear_one<messages::ProcessesDead>();
}

TEST(ASliceOfContainers, ThatNobodyCanStopIsSaidAtOnce) {
  Harness harness;
  const SessionId id = harness.new_session();
  const Slice slice(id);
  for (const char* says : {"systemctl is missing", "still in use"}) {  // and once more, as of what stays
    const auto began = std::chrono::steady_clock::now();
    harness.send(messages::RemoveCgroup{id, true});
    EXPECT_THAT(harness.hear_one<messages::SpawnFailed>().reason.value, HasSubstr(says));
    EXPECT_LT(std::chrono::steady_clock::now() - began, limits::kSliceDeadline / 2);
  }
}

// --- a broker in a cgroup of its own ---

TEST(ABrokersOwnCgroup, HoldsItsSessionsAndNothingOfThemIsLeftInIt) {
  Harness harness({.own_cgroup = true});
  RunningSession session = start_session(harness);
  const std::string path = harness.cgroup() + "/sallyport-" + session.id.text();
  EXPECT_EQ(read_file(path + "/gate/cgroup.procs"), std::to_string(harness.children().at(0)) + "\n");
  EXPECT_EQ(read_file(path + "/sandbox/cgroup.procs"), std::to_string(session.sandbox.init_pid) + "\n");
  harness.send(messages::KillProcesses{session.id});
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{session.id, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_FALSE(fs::exists(path));
}

TEST(ABrokersOwnCgroup, IsWhereWhatAnEarlierBrokerLeftIsKilledAndRemoved) {
  Harness harness({.own_cgroup = true});
  const SessionId id = harness.new_session();
  const std::string path = harness.cgroup() + "/sallyport-" + id.text() + "/sandbox";
  fs::create_directories(path);
  Child left = pause_in(path);
  harness.send(messages::TakeOver{id, 0});
  EXPECT_TRUE(left.handle().has_ended(3000));
  (void)left.try_reap();
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{id, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_FALSE(fs::exists(fs::path(path).parent_path()));
}

// The limits that an operator has set on the unit of a launcher hold for its sandbox, too.
void expect_init_stays_in(const std::string& unit, Harness& harness) {
  UidRange range = harness.take_range();
  FakeSandbox sandbox = make_sandbox({.uid_base = range.base});
  std::ofstream(unit + "/cgroup.procs") << sandbox.init_pid << std::flush;
  const SessionId id = harness.new_session();
  harness.send(harness.request_for(id, sandbox, range.base), harness.fds_for(sandbox, range));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
  EXPECT_EQ(read_file(unit + "/cgroup.procs"), std::to_string(sandbox.init_pid) + "\n");
  harness.send(messages::KillProcesses{id});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_TRUE(sandbox.init.handle().has_ended()) << "killed all the same, by its pidfd";
  sandbox = {};
  EXPECT_TRUE(eventually([&] { return ::rmdir(unit.c_str()) == 0; }));
}

TEST(ABrokersOwnCgroup, TakesNoInitFromTheCgroupOfAnotherUnit) {
  Harness harness({.own_cgroup = true});
  expect_init_stays_in(make_cgroup("unit-" + std::to_string(::getpid())), harness);
}

TEST(ABrokersOwnCgroup, TakesNoInitFromACgroupWhoseNameBeginsLikeItsOwn) {
  Harness harness({.own_cgroup = true});
  expect_init_stays_in(make_cgroup(fs::path(harness.cgroup()).filename().string() + "-2"), harness);
}

TEST(AnInitOfAPeerWithoutARange, IsNotMovedIntoTheSessionsCgroup) {
  Harness harness;
  const FakeSandbox anybody = make_sandbox({.own_user_namespace = false});
  const std::string before = read_file("/proc/" + std::to_string(anybody.init_pid) + "/cgroup");
  const SessionId id = harness.new_session();
  harness.send(messages::TakeRange{id});
  harness.hear_one<messages::RangeTaken>();
  harness.send(harness.request_for(id, anybody, 0), harness.fds_for(anybody, UidRange{}));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
  EXPECT_EQ(read_file("/proc/" + std::to_string(anybody.init_pid) + "/cgroup"), before);
}

// --- the keeper's end ---

TEST(AKeeper, ThatClosesItsChannelAndStaysIsKilled) {
  Harness harness;
  RunningSession session = start_session(harness);
  harness.keeper_closes_its_channel();
  const auto status = harness.wait_for_spawner();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->shell_code(), 1);
  EXPECT_TRUE(session.sandbox.init.handle().has_ended());
}

TEST(AKeeper, ThatIsGoneTakesTheProcessesOfContainersWithIt) {
  Harness harness;
  RunningSession session = start_session(harness);
  const std::string path = a_hierarchy_of_containers() + "/sallyport-" + session.id.text();
  fs::create_directories(path + "/container");
  {
    Child contained = pause_in(path + "/container");
    harness.keeper_exits(4);
    EXPECT_TRUE(contained.handle().has_ended(3000));
    (void)contained.try_reap();
    EXPECT_TRUE(harness.wait_for_spawner());
  }
  for (const std::string& left : {path + "/container", path})
    EXPECT_TRUE(eventually([&] { return ::rmdir(left.c_str()) == 0 || errno == ENOENT; }))
        << "the next broker's to remove";
}

}  // namespace
}  // namespace sallyport::spawner_test
