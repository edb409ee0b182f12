// The compiler's own check has to be able to fail, and the language of the tables has to mean what it says.
#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>

#include "seccomp/compile.hpp"
#include "seccomp/gate_profile.hpp"
#include "seccomp/worker_profile.hpp"

namespace sallyport::seccomp {
namespace {

constexpr std::array kSmallRows = {
    allow("read", "test"),
    refuse_if("ioctl", {1, 7}, EPERM, "test"),
    allow_if("ioctl", {1, 9}, "test"),
    otherwise("ioctl", ENOTTY, "test"),
    allow_if("socket", {0, 1}, {2, 5}, "test"),
};
constexpr Rows kSmallGroups[] = {kSmallRows};
constexpr Profile kSmall{"small", answer(ENOSYS), kSmallGroups};

Verdict judged(std::string_view call, std::array<std::uint64_t, 6> arguments) { return judge(kSmall, call, arguments); }

TEST(Judge, AppliesTheFirstRowThatHoldsAndThenOtherwiseAndThenTheDefault) {
  EXPECT_EQ(judged("read", {}), kAllow);
  EXPECT_EQ(judged("write", {}), answer(ENOSYS));
  EXPECT_EQ(judged("ioctl", {0, 7}), answer(EPERM));
  EXPECT_EQ(judged("ioctl", {0, 9}), kAllow);
  EXPECT_EQ(judged("ioctl", {0, 8}), answer(ENOTTY));
  EXPECT_EQ(judged("ioctl", {0, 0x1'0000'0007}), answer(EPERM)) << "only 32 bits count";
  EXPECT_EQ(judged("socket", {1, 0, 5}), kAllow);
  EXPECT_EQ(judged("socket", {1, 0, 6}), answer(ENOSYS)) << "all conditions of a row must hold";
}

TEST(Compile, YieldsAFilterThatMeansWhatItsTableMeans) {
  for (const Profile& profile : {kSmall, kWorker, kGate}) {
    const auto program = compile(profile);
    ASSERT_TRUE(program) << program.error().text();
    const auto same = check(profile, *program);
    EXPECT_TRUE(same) << same.error().text();
  }
}

TEST(Check, FindsAFilterThatAllowsMoreThanItsTable) {
  auto program = *compile(kSmall);
  const auto refusal =
      std::ranges::find_if(program, [](const sock_filter& step) { return step.k == (SECCOMP_RET_ERRNO | EPERM); });
  ASSERT_NE(refusal, program.end());
  refusal->k = SECCOMP_RET_ALLOW;
  EXPECT_FALSE(check(kSmall, program));
}

TEST(Check, FindsAFilterOfAnotherTable) { EXPECT_FALSE(check(kGate, *compile(kWorker))); }

TEST(Check, FindsAFilterThatDoesNotKillForeignArchitectures) {
  auto program = *compile(kSmall);
  const auto kill =
      std::ranges::find_if(program, [](const sock_filter& step) { return step.k == SECCOMP_RET_KILL_PROCESS; });
  ASSERT_NE(kill, program.end());
  kill->k = SECCOMP_RET_ALLOW;
  EXPECT_FALSE(check(kSmall, program));
}

TEST(Compile, RefusesACallThatDoesNotExist) {
  static constexpr std::array kRows = {allow("raed", "a slip of the pen")};
  static constexpr Rows kGroups[] = {kRows};
  const auto program = compile({"misspelt", kKill, kGroups});
  ASSERT_FALSE(program);
  EXPECT_NE(program.error().text().find("raed"), std::string::npos);
}

TEST(Tables, GiveAReasonForEveryRow) {
  for (const Rows& rows : kWorker.groups)
    for (const Row& row : rows) EXPECT_GT(std::string_view(row.reason).size(), 2U) << row.call;
}

}  // namespace
}  // namespace sallyport::seccomp
