// What a process is after it has given up what it was: read from the kernel, in a child that had all there is to have.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <functional>
#include <sstream>

#include "broker/privileges.hpp"
#include "broker/spawner/spawner.hpp"
#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

using testing::HasSubstr;

struct Seen {
  int answer = -1;
  long securebits = -1, dumpable = -1;
  rlim_t core = 0;
  std::string status;
};

Seen look(int answer) {
  Seen seen{answer, ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1, ""};
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  seen.core = core.rlim_max;
  seen.status = read_file("/proc/self/status");
  return seen;
}

// `act` in a child of root with every capability in every set, supplementary groups and no limits.
Seen after(const std::function<int()>& act) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    have_all_that_must_go();
    const Seen seen = look(act());
    std::ostringstream text;
    text << seen.answer << ' ' << seen.securebits << ' ' << seen.dumpable << ' ' << seen.core << '\n' << seen.status;
    ::_exit(::write(ends[1], text.str().data(), text.str().size()) > 0 ? 0 : 1);
  }
  ::close(ends[1]);
  const Child child = *Child::from_pid(pid);
  std::string text;
  char part[4096];
  for (ssize_t size; (size = ::read(ends[0], part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(size));
  ::close(ends[0]);
  Seen seen;
  std::istringstream words(text);
  words >> seen.answer >> seen.securebits >> seen.dumpable >> seen.core;
  seen.status = text.substr(text.find('\n') + 1);
  return seen;
}

std::string line_of(const Seen& seen, const std::string& name) {
  const auto at = ("\n" + seen.status).find("\n" + name + ":\t");
  if (at == std::string::npos) return "(missing)";
  std::string line = seen.status.substr(at + name.size() + 2);
  line = line.substr(0, line.find('\n'));
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

constexpr const char* kNone = "0000000000000000";

TEST(AnIdentity, OnceTakenLeavesNothingOfTheOldOne) {
  const Seen seen = after([] { return become({4000, 4001, 4002}); });
  EXPECT_EQ(seen.answer, 0);
  EXPECT_EQ(line_of(seen, "Uid"), "4000\t4000\t4000\t4000");
  EXPECT_EQ(line_of(seen, "Gid"), "4001\t4001\t4001\t4001");
  EXPECT_EQ(line_of(seen, "Groups"), "4002");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(line_of(seen, set), kNone) << set;
  EXPECT_EQ(line_of(seen, "NoNewPrivs"), "1");
  EXPECT_EQ(seen.securebits, 0xef);
  EXPECT_EQ(seen.dumpable, 0);
}

TEST(AnIdentity, WithoutAnExtraGroupHasNoneAtAll) {
  const Seen seen = after([] { return become({4000, 4001, -1}); });
  EXPECT_EQ(seen.answer, 0);
  EXPECT_EQ(line_of(seen, "Groups"), "");
}

TEST(AnIdentity, OfRootInAnyPartIsRefused) {
  for (const Identity& identity : {Identity{0, 4001, -1}, Identity{4000, 0, -1}, Identity{4000, 4001, 0}}) {
    const Seen seen = after([&] { return become(identity); });
    EXPECT_EQ(seen.answer, EINVAL);
    EXPECT_EQ(line_of(seen, "Uid"), "0\t0\t0\t0");
  }
}

TEST(AnIdentity, IsTakenBehindLockedSecurebitsToo) {
  const Seen seen = after([] {
    if (const int error = keep_only_capabilities({CAP_SETUID, CAP_SETGID, CAP_SETPCAP}); error != 0) return error;
    return become({4000, 4001, -1});
  });
  EXPECT_EQ(seen.answer, 0);
  EXPECT_EQ(line_of(seen, "CapPrm"), kNone);
  EXPECT_EQ(line_of(seen, "CapEff"), kNone);
}

TEST(Capabilities, AreKeptByNameAndTheOthersAreGoneForGood) {
  const Seen seen = after([] { return keep_only_capabilities({CAP_KILL, CAP_SYS_ADMIN}); });
  EXPECT_EQ(seen.answer, 0);
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) EXPECT_EQ(line_of(seen, set), "0000000000200020") << set;
  for (const char* set : {"CapInh", "CapAmb"}) EXPECT_EQ(line_of(seen, set), kNone) << set;
  EXPECT_EQ(line_of(seen, "NoNewPrivs"), "1");
  EXPECT_EQ(seen.securebits, 0xef);
}

TEST(ASpawner, LeavesNoCoreAndIsNotDumpable) {
  const Seen seen = after([] { return spawner::lock_down_spawner() ? 0 : 1; });
  EXPECT_EQ(seen.answer, 0);
  EXPECT_EQ(seen.core, 1U);
  EXPECT_EQ(seen.dumpable, 0);
}

}  // namespace
}  // namespace sallyport::spawner_test
