// Init is moved into the session's cgroup by its number: what becomes of a stranger who has that number by then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "broker/spawner/session_cgroup.hpp"
#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

using spawner::CgroupRoot;
using spawner::SessionCgroup;
using testing::EndsWith;

struct Sleeper {
  pid_t pid = 0;
  Child child;
};
Sleeper sleeper() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  return {pid, *Child::from_pid(pid)};
}

class AnAdoption : public testing::Test {
 protected:
  ~AnAdoption() override {
    init = {};
    stranger = {};
    (void)root.remove(id);
  }
  // Of the version 2 hierarchy.
  static std::string cgroup_of(pid_t pid) {
    const std::string all = read_file("/proc/" + std::to_string(pid) + "/cgroup");
    const std::string line = all.substr(all.find("0::") + 3);
    return line.substr(0, line.find('\n'));
  }
  CgroupRoot root = *CgroupRoot::find();
  SessionId id = *SessionId::parse("ad0b7ad0b7ad");
  SessionCgroup session = *root.make(id);
  Sleeper init = sleeper();
  Sleeper stranger = sleeper();
};

TEST_F(AnAdoption, MovesALiveInitIntoTheLeaf) {
  const auto moved = root.adopt_init(session, init.pid, init.child.handle());
  EXPECT_TRUE(moved) << moved.error().text();
  EXPECT_THAT(cgroup_of(init.pid), EndsWith("sallyport-ad0b7ad0b7ad/sandbox"));
  EXPECT_EQ(cgroup_of(stranger.pid), root.own());
}

// The number was read while init lived; when it is written another process has it.
TEST_F(AnAdoption, LetsGoOfAStrangerWhoHasTheNumberOfAnInitThatHasEnded) {
  ASSERT_TRUE(init.child.handle().send_signal(SIGKILL));
  ASSERT_TRUE(init.child.handle().has_ended(5000));
  const auto moved = root.adopt_init(session, stranger.pid, init.child.handle());
  ASSERT_FALSE(moved);
  EXPECT_THAT(moved.error().text(), testing::HasSubstr("it has ended"));
  EXPECT_EQ(cgroup_of(stranger.pid), root.own());
  EXPECT_TRUE(session.kill());
  EXPECT_FALSE(stranger.child.handle().has_ended(100)) << "it does not die with the session";
}

TEST_F(AnAdoption, OfANumberThatNobodyHasIsAnErrorAndMovesNobody) {
  ASSERT_TRUE(init.child.handle().send_signal(SIGKILL));
  ASSERT_TRUE(init.child.handle().has_ended(5000));
  init.child = {};  // reaped
  EXPECT_FALSE(root.adopt_init(session, init.pid, stranger.child.handle()));
  EXPECT_TRUE(*session.is_empty());
}

}  // namespace
}  // namespace sallyport::spawner_test
