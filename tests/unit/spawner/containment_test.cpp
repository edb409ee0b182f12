// A gate or relay seen from inside and from outside: what it has is listed exactly, what it lacks was tried.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <sstream>

#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

using testing::HasSubstr;

#ifdef SALLYPORT_ASAN
constexpr bool kSanitized = true;  // keeps the host's root, its libraries, its address space and stderr
#else
constexpr bool kSanitized = false;
#endif

class Containment : public testing::Test {
 protected:
  Harness harness;
  RunningSession session = start_session(harness, {.tcp_listeners = 2});
  pid_t gate = harness.children().at(0);
  pid_t relay = harness.children().at(1);
  static std::string of(pid_t pid, const std::string& file) {
    return read_file("/proc/" + std::to_string(pid) + "/" + file);
  }
};

// As the kernel shows it; "" where the row is missing.
std::string limit(const std::string& limits, const std::string& name) {
  const auto at = limits.find(name);
  if (at == std::string::npos) return "";
  std::istringstream words(limits.substr(at + 26));
  std::string soft, hard;
  words >> soft >> hard;
  return soft == hard ? soft : soft + " to " + hard;
}

TEST_F(Containment, TheRootIsEmptyAndReadOnly) {
  if (kSanitized) GTEST_SKIP() << "kept in sanitizer builds";
  EXPECT_EQ(ask_probe(session.gate.get(), "root"), "empty");
  EXPECT_EQ(ask_probe(session.gate.get(), "leave the root"), "done empty");
  EXPECT_EQ(ask_probe(session.gate.get(), "write a file"), "Read-only file system");
  EXPECT_EQ(ask_probe(session.gate.get(), "open /proc"), "No such file or directory");
  EXPECT_EQ(ask_probe(session.relay.get(), "root"), "empty");
  const std::string mounts = read_file("/proc/" + std::to_string(gate) + "/mountinfo");
  EXPECT_EQ(std::ranges::count(mounts, '\n'), 1) << mounts;
  EXPECT_THAT(mounts, HasSubstr("ro,nosuid,nodev,noexec"));
  EXPECT_THAT(mounts, HasSubstr("size=4k,nr_inodes=2,mode=555")) << "what a taken gate could fill, were it writable";
}

TEST_F(Containment, NothingOfItsMountsReachesTheHost) {
  EXPECT_THAT(read_file("/proc/self/mountinfo"), testing::Not(HasSubstr(harness.config().runtime_directory)));
}

TEST_F(Containment, ItsDescriptorsAreExactlyTheGivenOnes) {
  EXPECT_EQ(ask_probe(session.gate.get(), "fds"), "0 1 2 3 4 5 ");
  EXPECT_EQ(ask_probe(session.relay.get(), "fds"), "0 1 2 3 4 5 ");
  const auto target = [&](int fd) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(gate) + "/fd/" + std::to_string(fd)).string();
  };
  EXPECT_EQ(target(0), "/dev/null");
  EXPECT_EQ(target(1), "/dev/null");
  if (!kSanitized) EXPECT_EQ(target(2), "/dev/null");
  EXPECT_THAT(target(4), HasSubstr("socket:"));
}

TEST_F(Containment, ItsArgumentsAreFixedAndItsEnvironmentEmpty) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take options from the environment";
  EXPECT_EQ(ask_probe(session.gate.get(), "arguments"), "sallyport-gate ");
  EXPECT_EQ(ask_probe(session.relay.get(), "arguments"), "sallyport-relay 2 ");
}

TEST_F(Containment, ItHasAUidOfTheSessionAndNoGroups) {
  const auto base = session.range.base;
  EXPECT_EQ(ask_probe(session.gate.get(), "identity"),
            std::to_string(base + 2) + " " + std::to_string(base + 2) + " 0");
  EXPECT_EQ(ask_probe(session.relay.get(), "identity"),
            std::to_string(base + 3) + " " + std::to_string(base + 3) + " 0");
  EXPECT_EQ(ask_probe(session.gate.get(), "become root"), "Operation not permitted");
}

TEST_F(Containment, ItHasNoCapabilityInAnySetAndCanGainNone) {
  EXPECT_EQ(ask_probe(session.gate.get(), "capabilities"), "none");
  EXPECT_EQ(ask_probe(session.relay.get(), "capabilities"), "none");
  EXPECT_EQ(ask_probe(session.gate.get(), "no new privileges"), "1");
  for (const int channel : {session.gate.get(), session.relay.get()})
    EXPECT_EQ(ask_probe(channel, "securebits"), std::to_string(0xef));
  const auto uid_of = [&](pid_t pid) { return std::to_string(session.range.base + (pid == gate ? 2 : 3)); };
  for (const pid_t pid : {gate, relay}) {
    const std::string four = uid_of(pid) + "\t" + uid_of(pid) + "\t" + uid_of(pid) + "\t" + uid_of(pid) + "\n";
    for (const std::string& line : {std::string("CapInh:\t0000000000000000"), std::string("CapPrm:\t0000000000000000"),
                                    std::string("CapEff:\t0000000000000000"), std::string("CapBnd:\t0000000000000000"),
                                    std::string("CapAmb:\t0000000000000000"), std::string("NoNewPrivs:\t1"),
                                    std::string("SigBlk:\t0000000000000000"), "\nUid:\t" + four, "\nGid:\t" + four})
      EXPECT_THAT(of(pid, "status"), HasSubstr(line)) << pid;
    EXPECT_EQ(of(pid, "status").find("4711"), std::string::npos) << "a group of the spawner's";
  }
}

TEST_F(Containment, ItLeadsASessionWithoutATerminal) {
  for (const pid_t pid : {gate, relay})
    EXPECT_THAT(of(pid, "status"), testing::ContainsRegex("NSsid:\t[0-9]+\t1\n")) << pid;
}

TEST_F(Containment, EveryNamespaceButTheUsersIsItsOwn) {
  for (const char* name : {"pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    const auto space_of = [&](pid_t pid) {
      return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + name).string();
    };
    EXPECT_NE(space_of(gate), space_of(::getpid())) << name;
    EXPECT_NE(space_of(relay), space_of(::getpid())) << name;
    EXPECT_NE(space_of(gate), space_of(relay)) << name;
    EXPECT_NE(space_of(gate), space_of(session.sandbox.init_pid)) << name;
  }
  EXPECT_EQ(ask_probe(session.gate.get(), "pid"), "1 0");
  EXPECT_EQ(ask_probe(session.gate.get(), "host name"), "sallyport-gate/");
}

TEST_F(Containment, ItCanSignalNobody) {
  EXPECT_EQ(ask_probe(session.gate.get(), "signal everybody"), "No such process");
  EXPECT_EQ(ask_probe(session.relay.get(), "pid"), "1 0") << "the relay is alive";
}

TEST_F(Containment, ItCannotFork) {
  EXPECT_EQ(ask_probe(session.gate.get(), "fork"), "Resource temporarily unavailable");
}

TEST_F(Containment, ItsResourcesAreLimited) {
  for (const pid_t pid : {gate, relay}) {
    const std::string limits = of(pid, "limits");
    EXPECT_EQ(limit(limits, "Max core file size"), "1");
    EXPECT_EQ(limit(limits, "Max open files"), pid == gate ? "512" : "576");
    EXPECT_EQ(limit(limits, "Max processes"), "1");
    EXPECT_EQ(limit(limits, "Max msgqueue size"), "0");
    EXPECT_EQ(limit(limits, "Max locked memory"), "0");
    if (kSanitized) continue;
    EXPECT_EQ(limit(limits, "Max file size"), "0");
    EXPECT_EQ(limit(limits, "Max address space"), std::to_string((pid == gate ? 256 : 128) << 20));
  }
}

// The same limits by what comes of them. What takes descriptors for good stands last: the probe goes on without any.
TEST_F(Containment, ItMeetsEachOfItsLimits) {
  const pid_t pids[] = {gate, relay};
  for (const int channel : {session.gate.get(), session.relay.get()}) {
    const bool is_gate = channel == session.gate.get();
    EXPECT_EQ(ask_probe(channel, "lock a page"), "Operation not permitted");
    EXPECT_EQ(ask_probe(channel, "make a message queue"), "Too many open files");
    if (!kSanitized) {
      EXPECT_EQ(ask_probe(channel, "write a byte"), "File too large");
      const std::string mapped = ask_probe(channel, "map memory");
      EXPECT_THAT(mapped, testing::EndsWith(" Cannot allocate memory"));
      EXPECT_LT(std::stoi(mapped), is_gate ? 256 : 128);
      EXPECT_GT(std::stoi(mapped), is_gate ? 200 : 100);
    }
    const auto open =
        std::ranges::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(pids[!is_gate]) + "/fd"));
    EXPECT_EQ(ask_probe(channel, "open files"), std::to_string((is_gate ? 512 : 576) - open) + " Too many open files");
  }
}

TEST_F(Containment, ItGoesFirstWhereMemoryIsShort) {
  for (const pid_t pid : {gate, relay}) EXPECT_EQ(of(pid, "oom_score_adj"), "500\n") << "whatever its parent's is";
}

TEST_F(Containment, ItIsBornInTheSessionsCgroup) {
  const std::string leaf = "sallyport-" + session.id.text();
  EXPECT_THAT(read_file("/proc/" + std::to_string(gate) + "/cgroup"), HasSubstr(leaf + "/gate\n"));
  EXPECT_THAT(read_file("/proc/" + std::to_string(relay) + "/cgroup"), HasSubstr(leaf + "/relay\n"));
  EXPECT_THAT(read_file("/proc/" + std::to_string(session.sandbox.init_pid) + "/cgroup"),
              HasSubstr(leaf + "/sandbox\n"));
}

TEST_F(Containment, TheSpawnerKeepsOnlyItsOwnCapabilities) {
  // DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_ADMIN 12, SYS_PTRACE 19, SYS_ADMIN 21
  const std::string status = read_file("/proc/" + std::to_string(harness.spawner_pid()) + "/status");
  for (const char* line : {"CapPrm:\t00000000002811e2", "CapEff:\t00000000002811e2", "CapBnd:\t00000000002811e2",
                           "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"})
    EXPECT_THAT(status, HasSubstr(line));
}

// Every mount of the host is shared under systemd.
TEST(ContainmentOnAHostThatSharesItsMounts, TakesPlaceAndNothingOfItReachesTheHost) {
  const UniqueFd before = UniqueFd::adopt(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
  {
    Harness harness;
    const RunningSession session = start_session(harness, {.tcp_listeners = 1});
    EXPECT_EQ(ask_probe(session.gate.get(), "root"), kSanitized ? ask_probe(session.gate.get(), "root") : "empty");
    EXPECT_THAT(read_file("/proc/self/mountinfo"), testing::Not(HasSubstr("/empty ")));
    const std::string mounts = read_file("/proc/" + std::to_string(harness.children().at(0)) + "/mountinfo");
    if (!kSanitized) EXPECT_EQ(mounts.find("shared:"), std::string::npos) << mounts;
  }
  EXPECT_EQ(::setns(before.get(), CLONE_NEWNS), 0);
}

}  // namespace
}  // namespace sallyport::spawner_test
