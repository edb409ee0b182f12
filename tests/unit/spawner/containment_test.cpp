// A gate or relay seen from inside and from outside: what it has is listed exactly, what it lacks was tried.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

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
  std::string gate_status() const { return read_file("/proc/" + std::to_string(gate) + "/status"); }
};

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
  EXPECT_EQ(ask_probe(session.gate.get(), "securebits"), std::to_string(0xef));
  for (const char* line :
       {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "SigBlk:\t0000000000000000"})
    EXPECT_THAT(gate_status(), HasSubstr(line));
}

TEST_F(Containment, EveryNamespaceButTheUsersIsItsOwn) {
  for (const char* name : {"pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    const auto of = [&](pid_t pid) {
      return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + name).string();
    };
    EXPECT_NE(of(gate), of(::getpid())) << name;
    EXPECT_NE(of(gate), of(relay)) << name;
    EXPECT_NE(of(gate), of(session.sandbox.init_pid)) << name;
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
  const std::string limits = read_file("/proc/" + std::to_string(gate) + "/limits");
  const auto row = [&](const std::string& name) {
    const auto at = limits.find(name);
    return at == std::string::npos ? "" : limits.substr(at + 26, 21);
  };
  EXPECT_THAT(row("Max core file size"), HasSubstr("0  "));
  EXPECT_THAT(row("Max open files"), HasSubstr("512  "));
  EXPECT_THAT(row("Max processes"), HasSubstr("1  "));
  if (kSanitized) return;
  EXPECT_THAT(row("Max file size"), HasSubstr("0  "));
  EXPECT_THAT(row("Max address space"), HasSubstr("268435456"));
}

TEST_F(Containment, ItGoesFirstWhereMemoryIsShort) {
  EXPECT_EQ(read_file("/proc/" + std::to_string(gate) + "/oom_score_adj"), "500\n");
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

}  // namespace
}  // namespace sallyport::spawner_test
