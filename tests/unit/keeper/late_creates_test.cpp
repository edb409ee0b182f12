// A create whose outcome nobody heard: what dockerd makes of it long after its session has ended is removed, by this
// broker or by the next, and nobody waits for that.
#include <algorithm>
#include <csignal>
#include <ctime>
#include <filesystem>

#include "keeper_under_test.hpp"
#include "unit/thorough.hpp"

namespace sallyport::testing_support {
namespace {

// Cuts every create off; lists the container that came of it as soon as that has been made.
class SlowDockerd {
 public:
  void make(const std::string& name) { *made_ = name; }  // before the keeper starts, or with appears_ false
  void appear() { *appears_ = true; }
  void is_unknown_for(int removals) { *unknown_for_ = removals; }
  FakeDockerd::Behaviour behaviour() const {
    return [made = made_, appears = appears_, unknown_for = unknown_for_](const std::string& request) {
      if (request.find("/containers/create") != std::string::npos)
        return FakeDockerd::Answer{.bytes = "no HTTP\r\n\r\n"};
      if (request.find("/containers/json") != std::string::npos && *appears)
        return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, R"([{"Id":")" + FakeDockerd::id('c') +
                                                                        R"(","Names":["/)" + *made + R"("]}])")};
      if (request.starts_with("DELETE ") && (*unknown_for)-- > 0)
        return FakeDockerd::Answer{.bytes = FakeDockerd::reply(404, "{}")};
      if (request.starts_with("DELETE ")) *appears = false;
      return FakeDockerd::Answer{};
    };
  }

 private:
  std::shared_ptr<std::string> made_ = std::make_shared<std::string>();
  std::shared_ptr<std::atomic<bool>> appears_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<int>> unknown_for_ = std::make_shared<std::atomic<int>>(0);
};

std::size_t lists(const KeeperUnderTest& keeper) { return keeper.dockerd().times("GET /v1.41/containers/json"); }
std::size_t removals(const KeeperUnderTest& keeper) {
  return keeper.dockerd().times("DELETE /v1.41/containers/" + FakeDockerd::id('c'));
}

KeeperUnderTest::Options left_behind(const std::string& more, bool reap_only = false) {
  auto options = after_a_broker_that_left("intent sp-" + kLeftSession + "-db\n" + more);
  options.reap_only = reap_only;
  return options;
}

// A session whose only create was cut off, ended as its launcher sees it.
void run_a_session(KeeperUnderTest& keeper, SlowDockerd& dockerd) {
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  dockerd.make("sp-" + keeper.session() + "-db");
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Failed>(keeper.create_request("db"));
  (void)send_datagram(keeper.control(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{false, 0, false})));
  const auto received = receive_within(keeper.control(), 5000);
  ASSERT_TRUE(received && !received->bytes.empty()) << "the end waits no longer than the ordinary settling";
  EXPECT_TRUE(std::holds_alternative<handshake::Done>(*decode_message<handshake::FromKeeper>(received->bytes)));
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  EXPECT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  EXPECT_THAT(keeper.ledger_of(keeper.session()), testing::HasSubstr("\nended "));
}

TEST(ReapOnly, GivesUpInTimeAndSaysWhatIsLeft) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper(left_behind("made sp-" + kLeftSession + "-db " + FakeDockerd::id('c') + "\n", true));
  keeper.dockerd().behave([](const std::string& request) {
    if (!request.starts_with("DELETE ")) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(500, R"({"message":"no way"})")};
  });
  const auto before = std::chrono::steady_clock::now();
  keeper.start();
  EXPECT_EQ(keeper.exit_code(70'000), 1);
  EXPECT_GT(std::chrono::steady_clock::now() - before, std::chrono::seconds(59));
  EXPECT_THAT(keeper.log(), testing::HasSubstr("session " + kLeftSession + " of an earlier broker is still there: "));
}

TEST(LateCreate, IsRemovedAfterItsSessionHasEnded) {
  KeeperUnderTest keeper;
  SlowDockerd dockerd;
  run_a_session(keeper, dockerd);
  EXPECT_EQ(removals(keeper), 0U);
  EXPECT_THAT(keeper.log(),
              testing::HasSubstr("has ended, and 1 of its creates may still make a container: looked for, "
                                 "and removed when it appears"));
  dockerd.is_unknown_for(1);
  dockerd.appear();
  EXPECT_TRUE(eventually([&] { return removals(keeper) == 2; }, 10'000));
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); })) << "only now its ledger goes";
}

TEST(LateCreate, IsLeftToTheNextBrokerByOneThatStops) {
  KeeperUnderTest keeper;
  SlowDockerd dockerd;
  run_a_session(keeper, dockerd);
  const std::string session = keeper.session();
  keeper.signal_keeper(SIGTERM);
  EXPECT_EQ(keeper.exit_code(1000), 0) << "stopping does not wait for it";
  EXPECT_NE(keeper.ledger_of(session), "");
  keeper.restart();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2)) << "nobody waits for it once more";
  EXPECT_NE(keeper.ledger_of(session), "");
  dockerd.appear();
  EXPECT_TRUE(eventually([&] { return removals(keeper) == 1; }, 8000));
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session).empty(); }));
  EXPECT_EQ(std::ranges::count(keeper.spawner_events(), "remove-cgroup " + session), 1);
  for (const std::string& line : keeper.audit())
    EXPECT_THAT(line, testing::Not(testing::HasSubstr(R"("event":"reap")"))) << "the session ended by itself";
}

TEST(LateCreate, IsRemovedLongAfterTheReaperHasSettled) {
  KeeperUnderTest keeper(left_behind(""));
  SlowDockerd dockerd;
  dockerd.make("sp-" + kLeftSession + "-db");
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + kLeftSession));
  EXPECT_TRUE(keeper.audit_has(R"("event":"reap")"));
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_THAT(keeper.ledger_of(kLeftSession), testing::HasSubstr("\nended "));
  EXPECT_EQ(removals(keeper), 0U);
  dockerd.appear();
  EXPECT_TRUE(eventually([&] { return removals(keeper) == 1; }, 8000));
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(kLeftSession).empty(); }));
}

TEST(LateCreate, IsLookedForAgainAndAgainUntilItsTimeIsUp) {
  KeeperUnderTest keeper(left_behind("ended " + std::to_string(std::time(nullptr) - 596) + "\n"));
  keeper.start();
  EXPECT_TRUE(eventually([&] { return lists(keeper) >= 2; }, 8000));
  EXPECT_NE(keeper.ledger_of(kLeftSession), "");
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(kLeftSession).empty(); }, 12'000));
  EXPECT_EQ(removals(keeper), 0U);
  EXPECT_TRUE(eventually([&] { return keeper.log().contains(": none of its late creates is left"); }));
}

TEST(LateCreate, IsGivenUpAtOnceWhereItsTimeIsUp) {
  KeeperUnderTest keeper(left_behind("ended 1000\n"));
  keeper.start();
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(kLeftSession).empty(); }, 2000));
  EXPECT_EQ(lists(keeper), 1U);
}

TEST(LateCreate, IsNotGivenUpWhileDockerdListsIt) {
  KeeperUnderTest keeper(left_behind("ended 1000\n"));
  SlowDockerd dockerd;
  dockerd.make("sp-" + kLeftSession + "-db");
  dockerd.is_unknown_for(2);
  dockerd.appear();
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(kLeftSession).empty(); }, 12'000));
  EXPECT_EQ(removals(keeper), 3U);
}

TEST(LateCreate, DelaysNoBrokerThatOnlyReaps) {
  KeeperUnderTest keeper(left_behind("", true));
  keeper.start();
  EXPECT_EQ(keeper.exit_code(5000), 0) << "after the ordinary settling";
  EXPECT_THAT(keeper.ledger_of(kLeftSession), testing::HasSubstr("\nended "));
  keeper.restart();
  EXPECT_EQ(keeper.exit_code(1500), 0) << "and the next one at once";
  EXPECT_NE(keeper.ledger_of(kLeftSession), "") << "it stays for the next";
}

}  // namespace
}  // namespace sallyport::testing_support
