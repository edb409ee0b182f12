// Containers that dockerd does not remove keep no session from its end: its place is free, its uids are not, and they
// are tried until they are gone, by this broker or the next.
#include <unistd.h>

#include <csignal>

#include "broker/keeper/removal.hpp"
#include "dockerd_model.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using std::chrono::milliseconds;

FakeDockerd::Answer too_many_files(const std::string&) {
  return {FakeDockerd::reply(500, R"({"message":"openfdat /d/d/d: too many open files"})")};
}

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

struct LeftContainer : testing::Test {
  static KeeperUnderTest::Options one_place() {
    KeeperUnderTest::Options options;
    options.max_sessions = 1;
    return options;
  }
  // Has left the sandbox, and so many containers that cannot be removed.
  std::string end_a_session(int containers = 1) {
    dockerd.before_delete(too_many_files);
    keeper.dockerd().behave(dockerd.behaviour());
    EXPECT_TRUE(keeper.open()) << keeper.refusal();
    for (int number = 0; number < containers; ++number)
      keeper.expect<protocol::Created>(keeper.create_request(("c" + std::to_string(number)).c_str()));
    keeper.close_control();
    EXPECT_TRUE(keeper.spawner_saw("kill"));
    return keeper.session();
  }
  std::size_t removals() const { return keeper.dockerd().times("DELETE "); }

  DockerdModel dockerd;
  KeeperUnderTest keeper{one_place()};
};

TEST_F(LeftContainer, KeepsNoPlaceAndIsToldInTheTrailAndTheLog) {
  const std::string session = end_a_session();
  keeper.let_next_uid_base_be(500'000);
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_TRUE(keeper.audit_has("; 1 of its containers are left: container sp-" + session + "-c0 ("));
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + session + " keeping its uids"));
  EXPECT_THAT(keeper.ledger_of(session), testing::EndsWith("\nclosed\n"));
  EXPECT_EQ(times(keeper.log(), "too many open files; trying until it is done"), 1U);
  EXPECT_THAT(keeper.log(), testing::HasSubstr("Uid range 300000 is kept from others"));
  EXPECT_FALSE(keeper.spawner_saw("remove-cgroup " + session, 0));
  dockerd.before_delete({});
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session).empty(); }, 10'000));
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + session)) << "its uids are free again";
  EXPECT_TRUE(
      keeper.audit_has(R"("rule":"session.left","reason":"1 containers that were left at its end are removed")"));
}

TEST_F(LeftContainer, KeepsItsUidsFromWhoeverBringsThem) {
  if (::getuid() != 0) GTEST_SKIP() << "only root brings a range of its own";
  const std::string session = end_a_session();
  EXPECT_FALSE(keeper.open(300'000));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("session " + session + ", which has ended, still has uid range"));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("too many open files"));
  dockerd.before_delete({});
  EXPECT_TRUE(eventually([&] { return keeper.open(300'000); }, 10'000)) << keeper.refusal();
}

TEST_F(LeftContainer, IsTheNextBrokersWhereThisOneStops) {
  const std::string session = end_a_session();
  ASSERT_TRUE(eventually([&] { return keeper.audit_has("session-end"); }, 10'000));
  keeper.signal_keeper(SIGTERM);
  EXPECT_EQ(keeper.exit_code(2000), 0);
  keeper.restart();
  EXPECT_TRUE(keeper.spawner_saw("take-over " + session + " 300000 after " + std::to_string(removals()) + " removals"));
  dockerd.before_delete({});
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session).empty(); }, 10'000));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"session.left")"));
  EXPECT_EQ(dockerd.count(), 0U);
}

// Each try may cost dockerd as much as the first.
TEST_F(LeftContainer, CostsDockerdOneTryAtATimeHoweverManyContainersThereAre) {
  const std::string session = end_a_session(20);
  ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + session + " keeping its uids", 10'000));
  const std::size_t before = removals();
  std::this_thread::sleep_for(milliseconds(4500));
  EXPECT_GE(removals(), before + 1);
  EXPECT_LE(removals(), before + 2) << "after 2 and 4 s";
  dockerd.before_delete({});
  EXPECT_TRUE(eventually([&] { return dockerd.count() == 0; }, 10'000)) << "and all when one has gone";
}

TEST(LeftBehind, IsTriedEverMoreSeldomWhereDockerdRefuses) {
  keeper::RetryPause pause(milliseconds(2000), milliseconds(3000));
  const keeper::Removed refused = std::unexpected(keeper::NotRemoved{"no", true});
  const keeper::Removed away = std::unexpected(keeper::NotRemoved{"away", false});
  for (const int seconds : {2, 4, 8, 16, 32, 64, 128, 256, 300, 300})
    EXPECT_EQ(pause.after(refused, false), std::chrono::seconds(seconds));
  EXPECT_EQ(pause.after(away, false), milliseconds(3000)) << "it may be back at any moment";
  EXPECT_EQ(pause.after(away, false), milliseconds(3000));
  EXPECT_EQ(pause.after(refused, false), milliseconds(6000));
  EXPECT_EQ(pause.after(refused, true), milliseconds(2000)) << "something went";
}

// `count` sessions that an earlier broker left, each with a container.
KeeperUnderTest::Options left_sessions(std::size_t count, DockerdModel& dockerd) {
  auto options = after_a_broker_that_left("");
  options.ledger_text = "session " + kLeftSession + " other 900000 cgroupfs\n";
  for (std::size_t number = 0; number < count; ++number) {
    char session[13];
    char id[65];
    std::snprintf(session, sizeof session, "%012zx", number);
    std::snprintf(id, sizeof id, "%064zx", 0xa000 + number);
    const std::string name = std::string("sp-") + session + "-db";
    options.more_ledgers[session] = std::string("session ") + session + " worker " +
                                    std::to_string(300'000 + 16 * number) + " cgroupfs\nintent " + name + "\nmade " +
                                    name + " " + id + "\nclosed\n";
    dockerd.add(name, id);
  }
  dockerd.before_delete(too_many_files);
  return options;
}

TEST(LeftBehind, OfAProfileIsBoundedAndTheOpenerHearsOfIt) {
  for (const std::size_t count : {limits::kMaxLeftOfProfile - 1, limits::kMaxLeftOfProfile}) {
    DockerdModel dockerd;
    KeeperUnderTest keeper(left_sessions(count, dockerd));
    keeper.dockerd().behave(dockerd.behaviour());
    keeper.let_next_uid_base_be(500'000);
    keeper.start();
    ASSERT_TRUE(eventually([&] { return times(keeper.log(), "trying until it is done") == count; }));
    if (count < limits::kMaxLeftOfProfile) {
      EXPECT_TRUE(keeper.open()) << keeper.refusal();
      continue;
    }
    EXPECT_FALSE(keeper.open());
    EXPECT_THAT(keeper.refusal(),
                testing::AllOf(testing::HasSubstr("profile worker has 8 ended sessions with containers that dockerd"),
                               testing::HasSubstr("opens no more until one of them is gone: session 0000000000"),
                               testing::HasSubstr("too many open files")));
    dockerd.before_delete({});
    EXPECT_TRUE(eventually([&] { return keeper.open(); }, 10'000)) << keeper.refusal();
  }
}

TEST(LeftBehind, OfAnotherProfileKeepsNobodyOut) {
  DockerdModel dockerd;
  KeeperUnderTest::Options options = left_sessions(limits::kMaxLeftOfProfile, dockerd);
  const auto of_another = [](std::string& text) {
    if (const auto at = text.find(" worker "); at != std::string::npos) text.replace(at, 8, " another ");
  };
  of_another(options.ledger_text);
  for (auto& [session, text] : options.more_ledgers) of_another(text);
  KeeperUnderTest keeper(options);
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.let_next_uid_base_be(500'000);
  keeper.start();
  ASSERT_TRUE(eventually([&] { return times(keeper.log(), "trying until it is done") == limits::kMaxLeftOfProfile; }));
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
}

}  // namespace
}  // namespace sallyport::testing_support
