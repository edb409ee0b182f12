// What of a cgroup cannot be read is never taken for "nothing is left"; only what is gone is.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "broker/spawner/cgroup_tree.hpp"
#include "broker/spawner/container_cgroups.hpp"
#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

namespace fs = std::filesystem;
using spawner::CgroupMount;
using spawner::CgroupVersion;
using spawner::ContainerCgroups;
using testing::HasSubstr;

const CgroupMount kOne{CgroupVersion::One, "", "", false};
const CgroupMount kTwo{CgroupVersion::Two, "", "", false};

UniqueFd open_directory(const std::string& path) {
  UniqueFd fd = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(fd) << path;
  return fd;
}

// Stands for a cgroup: its files are whatever a test makes of them.
class StandIn : public testing::Test {
 protected:
  StandIn() {
    std::string pattern = "/tmp/cgroup-test-XXXXXX";
    path = ::mkdtemp(pattern.data());
    directory = open_directory(path);
  }
  ~StandIn() override { fs::remove_all(path); }
  void write(const char* file, const char* text) const { std::ofstream(path + "/" + file) << text; }
  std::string path;
  UniqueFd directory;
};

struct Unreadable {
  const char* sentence;
  void (*make)(const std::string& path);
  int code;
};
const Unreadable kUnreadable[] = {
    {"cannot be read", [](const std::string& path) { fs::create_directory(path); }, EISDIR},
    {"cannot be opened", [](const std::string& path) { fs::create_symlink("/dev/null", path); }, ELOOP},
    {"says something else", [](const std::string& path) { std::ofstream(path) << "nonsense\n"; }, 0},
};
class UnreadableFile : public StandIn, public testing::WithParamInterface<Unreadable> {};

TEST_P(UnreadableFile, OfEventsIsNoEmptyCgroup) {
  GetParam().make(path + "/cgroup.events");
  const auto empty = spawner::is_cgroup_empty(directory.get());
  ASSERT_FALSE(empty) << GetParam().sentence;
  EXPECT_EQ(empty.error().code, GetParam().code);
  EXPECT_THAT(empty.error().text(), HasSubstr("cgroup.events"));
  EXPECT_FALSE(spawner::kill_cgroup_tree(kTwo, directory.get()));
}

TEST_P(UnreadableFile, OfProcessesIsNoEmptyCgroup) {
  GetParam().make(path + "/cgroup.procs");
  const auto killed = spawner::kill_cgroup_tree(kOne, directory.get());
  ASSERT_FALSE(killed) << GetParam().sentence;
  EXPECT_EQ(killed.error().code, GetParam().code);
  EXPECT_THAT(killed.error().text(), HasSubstr("cgroup.procs"));
}
INSTANTIATE_TEST_SUITE_P(Files, UnreadableFile, testing::ValuesIn(kUnreadable));

TEST_F(StandIn, OfNoProcessIsEmptyAndTheTwinIsNot) {
  write("cgroup.events", "populated 0\nfrozen 0\n");
  EXPECT_TRUE(spawner::is_cgroup_empty(directory.get()).value());
  EXPECT_TRUE(spawner::kill_cgroup_tree(kTwo, directory.get()).value());
  write("cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_FALSE(spawner::is_cgroup_empty(directory.get()).value());
  EXPECT_FALSE(spawner::kill_cgroup_tree(kTwo, directory.get()).value());
  write("cgroup.procs", "");
  EXPECT_TRUE(spawner::kill_cgroup_tree(kOne, directory.get()).value());
}

TEST_F(StandIn, ThatIsGoneIsEmpty) {
  fs::remove(path);
  EXPECT_TRUE(spawner::is_cgroup_empty(directory.get()).value());
  EXPECT_TRUE(spawner::kill_cgroup_tree(kOne, directory.get()).value());
  EXPECT_TRUE(spawner::kill_cgroup_tree(kTwo, directory.get()).value());
  EXPECT_FALSE(spawner::open_cgroup(AT_FDCWD, path).value());
  EXPECT_TRUE(spawner::remove_cgroup_tree(AT_FDCWD, path).value());
}

TEST_F(StandIn, WithAProcessOfAnotherPidNamespaceIsNotEmpty) {
  for (const char* pid : {"0\n", "1\n"}) {  // nor is the first process of all ever one of a session
    write("cgroup.procs", pid);
    const auto killed = spawner::kill_cgroup_tree(kOne, directory.get());
    ASSERT_FALSE(killed) << pid;
    EXPECT_THAT(killed.error().text(), HasSubstr("pid namespace"));
  }
}

TEST_F(StandIn, OfAFreezerIsStoppedBeforeItsProcessesAreListedAndGoesOnWhateverThatHasFound) {
  ASSERT_EQ(::mkfifo((path + "/freezer.state").c_str(), 0600), 0);
  const UniqueFd written = UniqueFd::adopt(::open((path + "/freezer.state").c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  fs::create_directory(path + "/cgroup.procs");  // cannot be read
  EXPECT_FALSE(spawner::kill_cgroup_tree({CgroupVersion::One, "", "", true}, directory.get()));
  std::array<char, 64> said{};
  EXPECT_EQ(::read(written.get(), said.data(), said.size()), 12);
  EXPECT_STREQ(said.data(), "FROZENTHAWED");
}

TEST_F(StandIn, WithAChildThatIsNoCgroupIsNotEmpty) {
  write("cgroup.procs", "");
  fs::create_directory(path + "/child");
  const auto killed = spawner::kill_cgroup_tree(kOne, directory.get());
  ASSERT_FALSE(killed);
  EXPECT_THAT(killed.error().text(), HasSubstr("child is no cgroup"));
  EXPECT_FALSE(spawner::remove_cgroup_tree(AT_FDCWD, path));
}

TEST_F(StandIn, IsNotOpenedByASymlinkOrAsAFile) {
  fs::create_symlink(path, path + "/link");
  write("file", "");
  EXPECT_EQ(spawner::open_cgroup(directory.get(), "link").error().code, ENOTDIR);
  EXPECT_EQ(spawner::open_cgroup(directory.get(), "file").error().code, ENOTDIR);
  EXPECT_EQ(spawner::open_cgroup(directory.get(), "file/below").error().code, ENOTDIR);
}

// The writing end of a FIFO, once somebody reads it.
UniqueFd writer_of(const std::string& fifo) {
  UniqueFd fd;
  EXPECT_TRUE(eventually([&] {
    fd = UniqueFd::adopt(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    return static_cast<bool>(fd);
  })) << fifo;
  return fd;
}

// A process is in every hierarchy: of thousands each pass would otherwise take many times as long.
TEST_F(StandIn, OfWhichAProcessWasKilledInThisPassIsNotEmptyAndItIsNotKilledAgain) {
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Child listed = *Child::from_pid(pid);
  write("cgroup.procs", (std::to_string(pid) + "\n").c_str());
  spawner::Killed killed{pid};
  EXPECT_FALSE(spawner::kill_cgroup_tree(kOne, directory.get(), killed).value());
  EXPECT_FALSE(listed.handle().has_ended(100));
  killed.clear();
  EXPECT_FALSE(spawner::kill_cgroup_tree(kOne, directory.get(), killed).value());
  EXPECT_TRUE(listed.handle().has_ended(3000));
  EXPECT_EQ(killed, spawner::Killed{pid});
  (void)listed.try_reap();
}

// Its number may belong to another process by now.
TEST_F(StandIn, OfWhichAProcessIsGoneByTheSecondLookKillsNobodyOfThatNumber) {
  for (const bool stays : {false, true}) {
    SCOPED_TRACE(stays);
    fs::remove(path + "/cgroup.procs");
    const std::string first = path + "/cgroup.procs", second = path + "/second";
    for (const std::string& fifo : {first, second}) ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const pid_t pid = ::fork();
    if (pid == 0)
      for (;;) ::pause();
    Child listed = *Child::from_pid(pid);
    std::thread killer([&] { (void)spawner::kill_cgroup_tree(kOne, directory.get()); });
    const std::string line = std::to_string(pid) + "\n";
    UniqueFd look = writer_of(first);
    fs::rename(second, first);
    EXPECT_GT(::write(look.get(), line.data(), line.size()), 0);
    look.reset();
    look = writer_of(first);
    if (stays) {
      EXPECT_GT(::write(look.get(), line.data(), line.size()), 0);
    }
    look.reset();
    killer.join();
    EXPECT_EQ(listed.handle().has_ended(stays ? 3000 : 100), stays);
    (void)listed.handle().send_signal(SIGKILL);
    EXPECT_TRUE(listed.handle().has_ended(3000));
    (void)listed.try_reap();
  }
}

// A hierarchy of the host's with a cgroup for this test below it.
class RealHierarchy : public testing::Test {
 protected:
  RealHierarchy() {
    for (const CgroupMount& mount : spawner::list_cgroup_mounts().value())
      if (hierarchy.path.empty() && !mount.is_freezer && fs::exists(mount.path + "/cgroup.procs")) hierarchy = mount;
    path = hierarchy.path + "/sallyport-" + session.text();
    fs::create_directory(path);
  }
  ~RealHierarchy() override { (void)spawner::remove_cgroup_tree(AT_FDCWD, path); }
  SessionId session = SessionId::parse("0123456789ab").value();
  CgroupMount hierarchy;
  std::string path;
};

TEST_F(RealHierarchy, ThatIsDeeperThanIsLookedAtIsNotEmpty) {
  const UniqueFd directory = open_directory(path);
  std::string deep = path;
  for (int level = 0; level < 16; ++level) fs::create_directory(deep += "/d");
  EXPECT_TRUE(spawner::kill_cgroup_tree({CgroupVersion::One, "", "", false}, directory.get()).value());
  fs::create_directory(deep + "/d");
  EXPECT_FALSE(spawner::kill_cgroup_tree({CgroupVersion::One, "", "", false}, directory.get()));
  fs::remove(deep + "/d");
  EXPECT_TRUE(spawner::remove_cgroup_tree(AT_FDCWD, path).value());
  EXPECT_TRUE(spawner::kill_cgroup_tree({CgroupVersion::One, "", "", false}, directory.get()).value()) << "gone";
}

TEST_F(RealHierarchy, IsKilledWhateverIsWrongWithAnother) {
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Child contained = *Child::from_pid(pid);
  std::ofstream(path + "/cgroup.procs") << pid << std::flush;
  const ContainerCgroups cgroups({{CgroupVersion::One, "/dev/null", "/", false}, hierarchy});
  const auto killed = cgroups.kill(session);
  ASSERT_FALSE(killed);
  EXPECT_EQ(killed.error().code, ENOTDIR);
  EXPECT_TRUE(contained.handle().has_ended(3000));
  (void)contained.try_reap();
  EXPECT_FALSE(cgroups.remove(session));
  EXPECT_FALSE(fs::exists(path)) << "removed all the same";
}

TEST_F(StandIn, OfAHierarchyThatCannotBeOpenedHasNeitherNothingNorASlice) {
  const SessionId session = SessionId::parse("0123456789ab").value();
  write("file", "");
  for (const std::string& bad : {path, path + "/file"}) {
    const ContainerCgroups cgroups({{CgroupVersion::One, bad, "/", false}});
    EXPECT_FALSE(cgroups.kill(session)) << bad;
    EXPECT_FALSE(cgroups.remove(session)) << bad;
    EXPECT_FALSE(cgroups.has_slice(session)) << bad;
  }
  const ContainerCgroups unmounted({{CgroupVersion::One, path + "/nothing", "/", false}});
  EXPECT_TRUE(unmounted.kill(session).value());
  EXPECT_TRUE(unmounted.remove(session).value());
  EXPECT_FALSE(unmounted.has_slice(session).value());
}

// The mounts made meanwhile are seen by this process and the spawners that it starts.
class OwnMounts {
 public:
  OwnMounts() {
    EXPECT_EQ(::unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  ~OwnMounts() { EXPECT_EQ(::setns(before_.get(), CLONE_NEWNS), 0); }

 private:
  UniqueFd before_ = UniqueFd::adopt(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
};

void cover(const std::string& path, const char* with) {
  ASSERT_EQ(::mount(with, path.c_str(), nullptr, MS_BIND, nullptr), 0) << path << ": " << std::strerror(errno);
}
void uncover(const std::string& path) { ASSERT_EQ(::umount2(path.c_str(), MNT_DETACH), 0) << path; }

// Whatever forks faster than it is killed is stopped before anything is.
TEST_F(RealHierarchy, IsKilledAfterTheFreezerWhateverTheirOrder) {
  const std::string freezer = "/sys/fs/cgroup/freezer";
  if (!fs::exists(freezer + "/cgroup.procs")) GTEST_SKIP() << "no freezer of cgroups version 1 at " << freezer;
  const OwnMounts mounts;
  const std::string frozen = freezer + "/sallyport-" + session.text();
  fs::create_directory(frozen);
  const std::string fifo = testing::TempDir() + "procs-" + session.text();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  cover(frozen + "/cgroup.procs", fifo.c_str());  // who lists it waits for us
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Child contained = *Child::from_pid(pid);
  std::ofstream(path + "/cgroup.procs") << pid << std::flush;
  const ContainerCgroups cgroups({hierarchy, {CgroupVersion::One, freezer, "/", true}});
  std::thread killer([&] { (void)cgroups.kill(session); });
  UniqueFd look = writer_of(fifo);
  EXPECT_FALSE(contained.handle().has_ended(300)) << "the freezer was not the first";
  look.reset();
  killer.join();
  EXPECT_TRUE(contained.handle().has_ended(3000));
  (void)contained.try_reap();
  uncover(frozen + "/cgroup.procs");
  fs::remove(frozen);
  fs::remove(fifo);
}

TEST(ACoveredHierarchy, IsNeitherKilledInNorInTheWayOfTheOthers) {
  const OwnMounts mounts;
  const auto listed = spawner::list_cgroup_mounts().value();
  ASSERT_FALSE(listed.empty());
  ASSERT_EQ(::mount("tmpfs", listed.front().path.c_str(), "tmpfs", 0, nullptr), 0);
  const auto found = ContainerCgroups::find();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->kill(*SessionId::parse("00c0ffee0003")).value());
  EXPECT_TRUE(found->remove(*SessionId::parse("00c0ffee0003")).value());
}

TEST(UnreadableCgroup, OfASessionIsTriedAgainAndEndsWellOnceItIsReadable) {
  const OwnMounts mounts;
  Harness harness;
  const RunningSession session = start_session(harness);
  const std::string events = cgroup_of(session.id) + "/cgroup.events";
  cover(events, "/proc/self/mem");  // reading its first byte is EIO
  harness.send(messages::KillProcesses{session.id});
  EXPECT_FALSE(harness.hear(std::chrono::milliseconds(300)));
  EXPECT_TRUE(session.sandbox.init.handle().has_ended()) << "what can be killed is";
  uncover(events);
  harness.hear_one<messages::ProcessesDead>();
}

TEST(UnreadableCgroup, OfASessionKnownOrNotIsSaidToBeSoAndNeverToBeEmpty) {
  const OwnMounts mounts;
  Harness harness;
  const RunningSession session = start_session(harness);
  const std::string cgroup = cgroup_of(session.id);
  const std::string events = cgroup + "/cgroup.events";
  const SessionId unknown = harness.new_session();
  const std::string of_unknown = fs::path(cgroup).parent_path() / ("sallyport-" + unknown.text());
  fs::create_directory(of_unknown);
  cover(events, "/proc/self/mem");
  cover(of_unknown, "/tmp");
  harness.send(messages::KillProcesses{session.id});
  harness.send(messages::KillProcesses{unknown});
  std::vector<std::string> said;  // in the order in which their time is up
  for (int i = 0; i < 2; ++i) said.push_back(harness.hear_one<messages::SpawnFailed>().reason.value);
  EXPECT_THAT(said, testing::UnorderedElementsAre(HasSubstr("cgroup.events"), HasSubstr("is no cgroup")));
  uncover(events);
  uncover(of_unknown);
  harness.send(messages::KillProcesses{session.id});
  harness.hear_one<messages::ProcessesDead>();
  harness.send(messages::RemoveCgroup{unknown, false});
  harness.hear_one<messages::CgroupRemoved>();
  EXPECT_FALSE(fs::exists(of_unknown));
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

TEST(CpuLimits, OfContainersAreLiftedBeforeTheKillSoThatTheirEndIsQuick) {
  const std::string hierarchy = "/sys/fs/cgroup/cpu";
  if (!fs::exists(hierarchy + "/cgroup.procs")) GTEST_SKIP() << "no cpu hierarchy of cgroup v1 at " << hierarchy;
  const SessionId session = *SessionId::parse("00c0ffee0001");
  const std::string parent = hierarchy + "/sallyport-" + session.text();
  const std::string container = parent + "/container";
  fs::create_directories(container);
  std::ofstream(container + "/cpu.cfs_quota_us") << "1000" << std::flush;
  ASSERT_EQ(read_line(container + "/cpu.cfs_quota_us"), "1000");
  const ContainerCgroups cgroups({CgroupMount{CgroupVersion::One, hierarchy, "/", false}});
  const auto dead = cgroups.kill(session);
  EXPECT_TRUE(dead && *dead);
  EXPECT_EQ(read_line(container + "/cpu.cfs_quota_us"), "-1");
  const auto removed = cgroups.remove(session);
  EXPECT_TRUE(removed && *removed);
  EXPECT_FALSE(fs::exists(parent));
}

}  // namespace
}  // namespace sallyport::spawner_test
