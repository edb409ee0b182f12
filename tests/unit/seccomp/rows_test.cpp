// Every row of every filter, provoked in the kernel: a child under the filter makes the call that the row is about and
// gets what the row says. The rows are the profiles' own, so that one that is added is tried; whether they are the
// right ones is for calls_test.cpp. Nothing is carried out: what our filter lets through is caught by one below it.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "answers.hpp"
#include "seccomp/filters.hpp"
#include "seccomp/gate_profile.hpp"
#include "seccomp/init_profile.hpp"
#include "seccomp/keeper_profile.hpp"
#include "seccomp/relay_profile.hpp"
#include "seccomp/worker_profile.hpp"

namespace sallyport::seccomp {
namespace {

using Arguments = std::array<std::uint64_t, 6>;
constexpr int kPassed = 4000;            // an errno that the kernel does not have
constexpr std::uint64_t kOurs = 0x5a11;  // in the last argument, which no row looks at: this call is a test's
constexpr std::uint64_t kHighBit = 0x1'0000'0000;

constexpr sock_filter load(std::size_t offset) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)};
}

// Older than the filter that is tested: of two answers of one kind the newer filter's counts (seccomp(2)).
bool catch_what_passes(long call) {
  sock_filter steps[] = {
      load(offsetof(seccomp_data, nr)),
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, static_cast<std::uint32_t>(call)},
      load(offsetof(seccomp_data, args) + 5 * sizeof(std::uint64_t)),
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kOurs},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | kPassed},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog filter{std::size(steps), steps};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

// The errno (0: success) that the call gets, or -1 where it kills. `filter` empty: without one of ours.
int provoke(std::optional<Filter> filter, long call, Arguments arguments) {
  auto* const answer =
      static_cast<int*>(::mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  EXPECT_NE(answer, MAP_FAILED);
  *answer = -1;
  arguments[5] = kOurs;
  const pid_t child = ::fork();
  if (child == 0) {
    if (!catch_what_passes(call) || (filter && install(*filter) != 0)) ::_exit(1);
    const long result =
        ::syscall(call, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    *answer = result == -1 ? errno : static_cast<int>(result);
    ::syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && *answer == -1)) << status;
  const int seen = *answer;
  ::munmap(answer, sizeof(int));
  return seen;
}

int meant(const Verdict& verdict) {
  switch (verdict.action) {
    case Action::Allow: return kPassed;
    case Action::Errno: return verdict.error;
    case Action::Kill: break;
  }
#ifdef SALLYPORT_ASAN
  return EPERM;
#else
  return -1;
#endif
}

// nullptr: none, so that the profile's default counts.
const Row* deciding(const Profile& profile, std::string_view call, const Arguments& arguments) {
  const Row* fallback = nullptr;
  for (const Rows& rows : profile.groups)
    for (const Row& row : rows) {
      if (call != row.call) continue;
      bool holds = row.kind != Kind::Otherwise;
      if (!holds) fallback = &row;
      for (const Condition& one : std::span(row.conditions).first(row.count))
        holds = holds && (arguments[one.argument] & one.mask) == one.value;
      if (holds) return &row;
    }
  return fallback;
}

// Arguments for which this row decides; empty where there are none, so that the row is of no use.
std::optional<Arguments> arguments_for(const Profile& profile, const Row& row) {
  for (const std::uint64_t rest : {0U, 0xdeadU, 0xffffffffU}) {
    Arguments arguments{rest, rest, rest, rest, rest, 0};
    for (const Condition& one : std::span(row.conditions).first(row.count)) arguments[one.argument] = one.value;
    if (deciding(profile, row.call, arguments) == &row) return arguments;
  }
  return std::nullopt;
}

struct Named {
  const char* name;
  Filter filter;
  const Profile& profile;
};
const Named kFilters[] = {
    {"Worker", Filter::Worker, kWorker}, {"LoopbackWorker", Filter::LoopbackWorker, kLoopbackWorker},
    {"Init", Filter::Init, kInit},       {"Gate", Filter::Gate, kGate},
    {"Relay", Filter::Relay, kRelay},    {"Keeper", Filter::Keeper, kKeeper},
};
class EveryRow : public testing::TestWithParam<Named> {};

TEST_P(EveryRow, IsWhatTheKernelAnswersUnderTheFilter) {
  const auto& [name, filter, profile] = GetParam();
  for (const Rows& rows : profile.groups)
    for (const Row& row : rows) {
      const int call = ::seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, row.call);
      ASSERT_GE(call, 0) << row.call;
      const auto arguments = arguments_for(profile, row);
      ASSERT_TRUE(arguments) << name << ": no call reaches this row: " << row.call << ", " << row.reason;
      for (const Condition& one : std::span(row.conditions).first(row.count)) ASSERT_NE(one.argument, 5);
      EXPECT_EQ(provoke(std::nullopt, call, *arguments), kPassed) << row.call << ": without a filter it goes through";
      EXPECT_EQ(provoke(filter, call, *arguments), meant(row.verdict)) << row.call << ": " << row.reason;
      Arguments high = *arguments;
      for (const Condition& one : std::span(row.conditions).first(row.count)) high[one.argument] |= kHighBit;
      if (row.count != 0)
        EXPECT_EQ(provoke(filter, call, high), meant(row.verdict)) << row.call << " with a bit above 32";
    }
}

TEST_P(EveryRow, LeavesWhatNoneIsAboutToTheDefault) {
  const auto& [name, filter, profile] = GetParam();
  for (const char* call : {"_sysctl", "nfsservctl", "uselib", "vserver"}) {
    const int number = ::seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, call);
    ASSERT_EQ(deciding(profile, call, {}), nullptr) << call;
    EXPECT_EQ(provoke(std::nullopt, number, {}), kPassed) << call;
    EXPECT_EQ(provoke(filter, number, {}), meant(profile.unlisted)) << call;
  }
}

INSTANTIATE_TEST_SUITE_P(Filters, EveryRow, testing::ValuesIn(kFilters),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace sallyport::seccomp
