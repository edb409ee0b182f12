// Processes held by pidfd: a Child leaves nothing behind, a handle never mistakes a pid for another's.
#include "sallyport/child.hpp"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

pid_t fork_one(int exit_code) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (exit_code < 0)
      while (true) ::pause();
    ::_exit(exit_code);
  }
  return pid;
}

TEST(Child, ReportsTheExitCodeAndThenHoldsNothing) {
  auto child = Child::from_pid(fork_one(7));
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->handle().has_ended(5000));
  const auto status = child->try_reap();
  ASSERT_TRUE(status && status->has_value());
  EXPECT_EQ((*status)->shell_code(), 7);
  EXPECT_FALSE(static_cast<bool>(*child));
}

TEST(Child, ReportsTheSignalThatEndedIt) {
  auto child = Child::from_pid(fork_one(-1));
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->handle().send_signal(SIGTERM));
  ASSERT_TRUE(child->handle().has_ended(5000));
  const auto status = child->try_reap();
  ASSERT_TRUE(status && status->has_value());
  EXPECT_TRUE((*status)->signalled);
  EXPECT_EQ((*status)->shell_code(), 128 + SIGTERM);
}

TEST(Child, IsNotReapedWhileItRuns) {
  auto child = Child::from_pid(fork_one(-1));
  ASSERT_TRUE(child);
  const auto status = child->try_reap();
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->has_value());
}

TEST(Child, IsKilledAndReapedWhenItsOwnerGoes) {
  const pid_t pid = fork_one(-1);
  {
    auto child = Child::from_pid(pid);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ProcessHandle, SignallingAProcessThatHasEndedIsNoError) {
  const pid_t pid = fork_one(0);
  const ProcessHandle handle(UniqueFd::adopt(pidfd_open(pid)));
  ASSERT_TRUE(handle.has_ended(5000));
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(handle.send_signal(SIGKILL));
}

}  // namespace
}  // namespace sallyport
