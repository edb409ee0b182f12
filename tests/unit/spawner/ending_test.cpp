// However a session or a process of the broker ends, nothing of a session is left alive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "broker/spawner/keeper_link.hpp"
#include "broker/spawner/left_ranges.hpp"
#include "sallyport/seqpacket.hpp"
#include "unit/spawner/harness.hpp"
#include "unit/thorough.hpp"

namespace sallyport::spawner_test {
namespace {

using testing::HasSubstr;

// Every live process of the session's uids, by the kernel's list.
std::vector<pid_t> processes_of(std::uint32_t uid_base) {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = read_file("/proc/" + name + "/status");
    const auto at = status.find("\nUid:\t");
    if (at == std::string::npos || status.find("\nState:\tZ") != std::string::npos) continue;
    const unsigned long uid = std::stoul(status.substr(at + 6));
    if (uid >= uid_base && uid < uid_base + limits::kUidsPerSession) pids.push_back(std::stoi(name));
  }
  return pids;
}

std::size_t processes_in(const std::string& cgroup) {
  std::size_t lines = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(cgroup, ignored))
    if (entry.path().filename() == "cgroup.procs") {
      const std::string procs = read_file(entry.path());
      lines += static_cast<std::size_t>(std::ranges::count(procs, '\n'));
    }
  return lines;
}

// A process that does nothing in a cgroup, which is made for it.
struct Paused {
  Child child;
  pid_t pid = 0;
};
Paused pause_in(const std::string& cgroup) {
  std::filesystem::create_directories(cgroup);
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Paused paused{*Child::from_pid(pid), pid};
  std::ofstream(cgroup + "/cgroup.procs") << pid << std::flush;
  return paused;
}

TEST(Kill, EndsInitGateAndRelayAndWhateverInitLeftBehind) {
  Harness harness;
  RunningSession session = start_session(harness, {.tcp_listeners = 1});
  start_worker(session.sandbox);
  const std::string cgroup = cgroup_of(session.id);
  ASSERT_FALSE(cgroup.empty());
  ASSERT_TRUE(eventually([&] { return processes_in(cgroup) == 4; })) << "init, its daemon, gate, relay";
  harness.send(messages::KillProcesses{session.id});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_EQ(processes_in(cgroup), 0U);
  EXPECT_TRUE(session.sandbox.init.handle().has_ended());
  EXPECT_TRUE(harness.children().empty());
  harness.send(messages::RemoveCgroup{session.id, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_FALSE(std::filesystem::exists(cgroup));
  EXPECT_FALSE(harness.hear(std::chrono::milliseconds(50))) << "ends that were asked for are no news";
}

TEST(Kill, OfOneSessionLeavesTheOthersAlone) {
  Harness harness;
  RunningSession first = start_session(harness), second = start_session(harness);
  harness.send(messages::KillProcesses{first.id});
  harness.hear_one<messages::ProcessesDead>();
  EXPECT_EQ(ask_probe(first.gate.get(), "pid"), "(closed)");
  EXPECT_EQ(ask_probe(second.gate.get(), "pid"), "1 0");
}

TEST(Kill, OfAnUnknownSessionIsAnsweredToo) {
  Harness harness;
  harness.send(messages::KillProcesses{harness.new_session()});
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{harness.new_session(), true});
  harness.hear_one<messages::CgroupRemoved>();
}

TEST(Remove, TakesWhatAnEarlierBrokerLeftInEveryHierarchy) {
  Harness harness;
  const SessionId session = harness.new_session();
  std::vector<std::string> left;
  for (const char* root : {"/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"})
    if (std::filesystem::exists(root)) left.push_back(std::string(root) + "/sallyport-" + session.text());
  for (const std::string& path : left) std::filesystem::create_directories(path + "/aa/bb");
  ASSERT_FALSE(left.empty());
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
  for (const std::string& path : left) EXPECT_FALSE(std::filesystem::exists(path)) << path;
}

TEST(Remove, KillsAContainersProcessesWhileDockerdDoesNotAnswer) {
  Harness harness;
  const SessionId session = harness.new_session();
  const std::string hierarchy =
      std::filesystem::exists("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
  const std::string path = hierarchy + "/sallyport-" + session.text() + "/container";
  auto [contained, pid] = pause_in(path);
  harness.send(messages::KillProcesses{session});
  // Reaping is ours here, dockerd's shim's otherwise; a zombie still counts as a process of its cgroup.
  ASSERT_TRUE(contained.handle().has_ended(3000));
  (void)contained.try_reap();
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
}

// A process that is frozen by itself stands for one that the kernel holds up.
TEST(Kill, OfWhatDoesNotEndSaysWhichProcessItIsAndThatItsCgroupIsInUse) {
  SALLYPORT_LONG_TEST();
  if (!std::filesystem::exists("/sys/fs/cgroup/freezer/cgroup.procs"))
    GTEST_SKIP() << "no freezer of cgroups version 1: in version 2 a frozen process can be killed";
  Harness harness;
  const SessionId session = harness.new_session();
  const std::string path = "/sys/fs/cgroup/freezer/sallyport-" + session.text() + "/container";
  auto [contained, pid] = pause_in(path);
  std::ofstream(path + "/freezer.state") << "FROZEN" << std::flush;
  auto before = std::chrono::steady_clock::now();
  harness.send(messages::KillProcesses{session});
  EXPECT_EQ(harness.hear_one<messages::SpawnFailed>().reason.value,
            "processes of the session do not end after SIGKILL: " + std::to_string(pid));
  EXPECT_GE(std::chrono::steady_clock::now() - before, limits::kKillDeadline);
  before = std::chrono::steady_clock::now();
  harness.send(messages::RemoveCgroup{session, false});
  EXPECT_EQ(harness.hear_one<messages::SpawnFailed>().reason.value, "the session's cgroup is still in use");
  EXPECT_GE(std::chrono::steady_clock::now() - before, limits::kCgroupDeadline);
  std::ofstream(path + "/freezer.state") << "THAWED" << std::flush;
  ASSERT_TRUE(contained.handle().has_ended(3000));
  (void)contained.try_reap();
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
}

TEST(Ends, OfAGateAreToldWithItsStatus) {
  Harness harness;
  RunningSession session = start_session(harness);
  ask_probe(session.gate.get(), "exit 7");
  const auto ended = harness.hear_one<messages::ChildEnded>();
  EXPECT_EQ(ended.session, session.id);
  EXPECT_EQ(ended.kind, messages::ChildKind::Gate);
  EXPECT_FALSE(ended.signalled);
  EXPECT_EQ(ended.value, 7);
}

TEST(Ends, OfAKilledRelayAreTold) {
  Harness harness;
  RunningSession session = start_session(harness, {.tcp_listeners = 1});
  ::kill(harness.children().at(1), SIGKILL);
  const auto ended = harness.hear_one<messages::ChildEnded>();
  EXPECT_EQ(ended.kind, messages::ChildKind::Relay);
  EXPECT_TRUE(ended.signalled);
  EXPECT_EQ(ended.value, SIGKILL);
}

TEST(Ends, OfInitAreTold) {
  Harness harness;
  RunningSession session = start_session(harness);
  session.sandbox.init = Child();
  EXPECT_EQ(harness.hear_one<messages::ChildEnded>().kind, messages::ChildKind::Init);
}

TEST(Broker, EndsEverythingWhenTheKeeperIsGone) {
  Harness harness;
  RunningSession session = start_session(harness, {.tcp_listeners = 1});
  start_worker(session.sandbox);
  const std::string cgroup = cgroup_of(session.id);
  const pid_t keeper = std::stoi(read_file("/proc/" + std::to_string(harness.spawner_pid()) + "/task/" +
                                           std::to_string(harness.spawner_pid()) + "/children"));
  ::kill(keeper, SIGKILL);
  const auto status = harness.wait_for_spawner();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->shell_code(), 1);
  EXPECT_TRUE(session.sandbox.init.handle().has_ended());
  EXPECT_TRUE(processes_of(session.range.base).empty());
  EXPECT_FALSE(std::filesystem::exists(cgroup));
}

TEST(Broker, ExitsAsTheKeeperDid) {
  for (const int code : {0, 4}) {
    Harness harness;
    harness.keeper_exits(code);
    EXPECT_EQ(harness.wait_for_spawner()->shell_code(), code);
  }
}

TEST(Broker, PassesTermOnToTheKeeperAndWaitsForIt) {
  Harness harness;
  RunningSession session = start_session(harness);
  ASSERT_TRUE(harness.spawner().handle().send_signal(SIGTERM));  // the stand-in dies of it
  EXPECT_TRUE(harness.wait_for_spawner());
  EXPECT_TRUE(session.sandbox.init.handle().has_ended());
}

TEST(Broker, TakesGatesAndRelaysWithItWhenTheSpawnerIsKilled) {
  Harness harness;
  RunningSession session = start_session(harness, {.tcp_listeners = 1});
  ASSERT_EQ(harness.children().size(), 2U);
  ASSERT_TRUE(harness.spawner().handle().send_signal(SIGKILL));
  EXPECT_TRUE(eventually([&] { return processes_of(session.range.base + 2).empty(); }));
  EXPECT_EQ(hear_probe(session.gate.get()), "(closed)");
  EXPECT_EQ(hear_probe(session.relay.get()), "(closed)");
  session.sandbox.init = Child();
  const std::string cgroup = cgroup_of(session.id);  // the next broker would remove it; here the test does
  ASSERT_FALSE(cgroup.empty());
  EXPECT_TRUE(eventually([&] {
    std::error_code ignored;
    for (const char* leaf : {"/sandbox", "/gate", "/relay", ""}) std::filesystem::remove(cgroup + leaf, ignored);
    return !std::filesystem::exists(cgroup);
  }));
}

TEST(Broker, EndsWhenTheKeeperSpeaksNonsense) {
  Harness harness;
  RunningSession session = start_session(harness);
  harness.send_raw("nonsense");
  const auto status = harness.wait_for_spawner();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->shell_code(), 1);
  EXPECT_TRUE(session.sandbox.init.handle().has_ended());
}

// A process in the cgroup of a session of an earlier broker; one that nobody reaps stays there, dead.
class LeftProcess {
 public:
  explicit LeftProcess(const SessionId& session) {
    const std::string hierarchy =
        std::filesystem::exists("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
    const std::string path = hierarchy + "/sallyport-" + session.text() + "/container";
    process_ = pause_in(path).child;
  }
  bool is_dead() { return process_.handle().has_ended(3000); }
  void reap() { (void)process_.try_reap(); }

 private:
  Child process_;
};

TEST(Broker, AnswersNoRequestLaterForOneThatTakesLong) {
  Harness harness;
  const SessionId stuck = harness.new_session();
  LeftProcess left(stuck);
  harness.send(messages::TakeOver{stuck, 0}, {}, 7);
  harness.send(messages::KillProcesses{harness.new_session()}, {}, 8);
  const auto second = harness.hear(std::chrono::seconds(1));
  ASSERT_TRUE(second) << "it waits for the first";
  EXPECT_EQ(second->number, 8U);
  EXPECT_TRUE(left.is_dead());
  left.reap();
  const auto first = harness.hear();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->number, 7U);
  EXPECT_TRUE(std::holds_alternative<messages::ProcessesDead>(first->message));
  harness.send(messages::RemoveCgroup{stuck, false});
  harness.hear_one<messages::CgroupRemoved>();
}

TEST(TakeOver, KeepsTheUidRangeOfWhatIsLeftFromEverybodyUntilItIsGone) {
  Harness harness;
  const std::uint32_t base = harness.config().uid_span.first, next = base + limits::kUidsPerSession;
  const SessionId session = harness.new_session(), other = harness.new_session();
  LeftProcess left(session);
  (void)harness.take_range();                                            // makes the directory of the locks
  auto held = lock_uid_range(harness.config().runtime_directory, base);  // by a launcher on its way out
  ASSERT_TRUE(held);
  harness.send(messages::TakeOver{session, base + 5}, {}, 1);  // of another span: it has uids of two ranges
  harness.send(messages::TakeOver{other, 0}, {}, 2);           // nothing is known of this one's
  EXPECT_TRUE(left.is_dead());
  left.reap();
  harness.hear_one<messages::ProcessesDead>();
  harness.hear_one<messages::ProcessesDead>();
  held->reset();
  EXPECT_TRUE(eventually([&] { return !harness.is_free(base) && !harness.is_free(next); }));
  EXPECT_TRUE(harness.is_free(next + limits::kUidsPerSession));
  harness.send(messages::RemoveCgroup{other, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_FALSE(harness.is_free(base) || harness.is_free(next));
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_TRUE(harness.is_free(base) && harness.is_free(next));
}

// What may be left are containers: their files are on the host under the uids.
TEST(Removal, OfASessionThatLeavesContainersKeepsItsUidRangeAndGivesItsPlaceAway) {
  Harness harness;
  RunningSession session = start_session(harness, {});
  const SessionId id = session.id;
  const std::uint32_t base = session.range.base;
  harness.send(messages::KillProcesses{id});
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{id, false, true});
  harness.hear_one<messages::CgroupRemoved>();
  session.range.lock.reset();  // the launcher is gone
  EXPECT_FALSE(lock_uid_range(harness.config().runtime_directory, base));
  harness.send(messages::RemoveCgroup{id, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_TRUE(lock_uid_range(harness.config().runtime_directory, base));
}

// A directory stands where the file of its lock would be: an error, and not somebody who has it.
TEST(TakeOver, TriesAgainForAUidRangeWhoseLockCannotBeTaken) {
  Harness harness;
  const std::uint32_t base = harness.take_range().base;
  const std::string lock = uid_lock_path(harness.config().runtime_directory, base);
  std::filesystem::remove(lock);
  std::filesystem::create_directory(lock);
  const SessionId session = harness.new_session();
  harness.send(messages::TakeOver{session, base});
  harness.hear_one<messages::ProcessesDead>();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::filesystem::remove(lock);
  EXPECT_TRUE(eventually([&] { return !harness.is_free(base); }));
  harness.send(messages::RemoveCgroup{session, false});
  harness.hear_one<messages::CgroupRemoved>();
}

TEST(LeftRanges, SayOnceWhyALockCannotBeTakenAndKeepTryingForIt) {
  const std::string directory = testing::TempDir() + "/left-ranges-" + std::to_string(::getpid());
  std::filesystem::create_directories(directory + "/uids/1000");
  spawner::LeftRanges ranges(directory, {1000, 1000 + 2 * limits::kUidsPerSession - 1});
  ranges.add(*SessionId::parse("0123456789ab"), 1000);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(ranges.take_locks());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("the uids of session 0123456789ab"));
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
  std::filesystem::remove(directory + "/uids/1000");
  EXPECT_TRUE(ranges.take_locks());
  EXPECT_FALSE(lock_uid_range(directory, 1000)) << "and it is held";
  std::filesystem::remove_all(directory);
}

// As passes over the processes of two sessions that end.
TEST(APoller, HearsItsDescriptorsBetweenTimersThatAreDueAgainWhenTheyHaveRun) {
  const auto poller = spawner::Poller::create().value();
  int runs = 0;
  const std::function<void()> runs_long = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (++runs < 200) poller->after(std::chrono::milliseconds(1), runs_long);
  };
  for (int i = 0; i < 2; ++i) poller->after({}, runs_long);
  const UniqueFd event = UniqueFd::adopt(::eventfd(1, EFD_CLOEXEC));
  int heard_at = -1;
  const auto watch = poller->watch(event.get(), EPOLLIN | EPOLLET, [&] { heard_at = runs; });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(poller->run_once());
  ASSERT_LE(runs, 2) << "and none is left to wake it again";
  ASSERT_TRUE(poller->run_once());
  EXPECT_EQ(runs, 2);
  const std::uint64_t one = 1;
  ASSERT_EQ(::write(event.get(), &one, sizeof one), 8);
  ASSERT_TRUE(poller->run_once());
  EXPECT_EQ(heard_at, 2);
}

// What waits for it is the spawner's memory.
TEST(AKeeper, ThatReadsNoAnswersIsLostAtTheirBoundAndNotBefore) {
  SALLYPORT_LONG_TEST();
  auto [ours, keepers] = *seqpacket_pair();
  const auto poller = spawner::Poller::create().value();
  spawner::KeeperLink link(*poller, std::move(ours));
  std::string why;
  ASSERT_TRUE(link.start([](spawner::Incoming) {}, [&](const Error& error) { why += error.text(); }));
  std::size_t answers = 0;
  while (why.empty() && answers < 2 * limits::kMaxQueuedForKeeper) {
    link.answer(1, {messages::FromSpawner(messages::ProcessesDead{}), {}});
    ++answers;
  }
  EXPECT_THAT(why, HasSubstr("does not read its channel"));
  EXPECT_GT(answers, limits::kMaxQueuedForKeeper);
  EXPECT_LT(answers, limits::kMaxQueuedForKeeper + 10'000) << "with what the socket holds";
}

}  // namespace
}  // namespace sallyport::spawner_test
