// What an earlier broker left: all of it is killed first, none of it holds up another, and only the session whose uids
// it has has to wait for it, and hears why.
#include <unistd.h>

#include "dockerd_model.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

std::string session_number(unsigned number) {
  char text[13];
  std::snprintf(text, sizeof text, "%012x", number);
  return text;
}
std::string id_number(unsigned number) {
  char text[65];
  std::snprintf(text, sizeof text, "%064x", number + 0xa000);
  return text;
}
std::string name_in(unsigned number) { return "sp-" + session_number(number) + "-db"; }

// So many sessions with one container each, by number; their uid ranges follow each other from 300000 on.
KeeperUnderTest::Options left_sessions(unsigned count, DockerdModel& dockerd) {
  auto options = after_a_broker_that_left("");
  options.ledger_text = "session " + kLeftSession + " worker 900000 cgroupfs\n";
  for (unsigned number = 0; number < count; ++number) {
    options.more_ledgers[session_number(number)] =
        "session " + session_number(number) + " worker " + std::to_string(300'000 + 16 * number) +
        " cgroupfs\nintent " + name_in(number) + "\nmade " + name_in(number) + " " + id_number(number) + "\n";
    dockerd.add(name_in(number), id_number(number));
  }
  return options;
}

FakeDockerd::Answer cannot_remove() {
  return {FakeDockerd::reply(500, R"({"message":"unlinkat /var/lib/docker/x: operation not permitted"})")};
}

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST(Reaper, KillsEverythingThatWasLeftBeforeItRemovesTheFirstContainer) {
  DockerdModel dockerd;
  KeeperUnderTest keeper(left_sessions(20, dockerd));
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.answer_take_overs_when_there_are(21);  // all of them: 20 and the one of whoever was there
  keeper.start();
  ASSERT_TRUE(eventually([&] { return dockerd.count() == 0; }));
  for (unsigned number = 0; number < 20; ++number)
    EXPECT_TRUE(keeper.spawner_saw("take-over " + session_number(number) + " " + std::to_string(300'000 + 16 * number) +
                                   " after 0 removals"))
        << number;
}

TEST(Reaper, IsHeldUpByNoContainerThatDockerdDoesNotRemove) {
  DockerdModel dockerd;
  KeeperUnderTest keeper(left_sessions(40, dockerd));
  // More of each kind than sessions are removed at once: refused at once, and never answered.
  dockerd.before_delete([](const std::string& name) {
    if (name < name_in(10)) return cannot_remove();
    return FakeDockerd::Answer{.never = name < name_in(20)};
  });
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  EXPECT_TRUE(eventually([&] { return dockerd.count() == 20; }, 12'000)) << dockerd.count() << " are left";
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session_number(39)).empty(); }));
  EXPECT_FALSE(keeper.ledger_of(session_number(0)).empty());
}

TEST(Reaper, IsHeldUpByNoProcessThatDoesNotEnd) {
  DockerdModel dockerd;
  KeeperUnderTest keeper(left_sessions(3, dockerd));
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.let_take_over_of_never_be_answered(session_number(0));
  keeper.start();
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session_number(2)).empty(); }));
  EXPECT_FALSE(keeper.ledger_of(session_number(0)).empty());
  keeper.let_next_uid_base_be(500'000);
  EXPECT_TRUE(keeper.open()) << "nor is the start of a session: " << keeper.refusal();
}

TEST(Reaper, KeepsOutOnlyTheSessionThatWouldHaveTheUidsOfWhatIsLeftAndSaysWhatThatIs) {
  if (::getuid() != 0) GTEST_SKIP() << "only root brings a range of its own";
  DockerdModel dockerd;
  KeeperUnderTest keeper(left_sessions(1, dockerd));
  dockerd.before_delete([stuck = name_in(0)](const std::string& name) {
    return name == stuck ? cannot_remove() : FakeDockerd::Answer{};
  });
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  const auto before = std::chrono::steady_clock::now();
  for (const std::uint32_t base : {300'016U, 0U}) {
    keeper.let_next_uid_base_be(500'000);
    EXPECT_TRUE(keeper.open(base)) << base << ": " << keeper.refusal();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(4)) << "nobody waits";
  EXPECT_FALSE(keeper.open(300'015)) << "one uid is shared";
  EXPECT_THAT(keeper.refusal(),
              testing::AllOf(testing::HasSubstr("session " + session_number(0)), testing::HasSubstr("uid range 300000"),
                             testing::HasSubstr("container " + name_in(0)), testing::HasSubstr("500"),
                             testing::HasSubstr("operation not permitted")));
  EXPECT_EQ(times(keeper.log(), "container " + name_in(0)), 2U) << "once by the reaper, and with the refusal";
  EXPECT_EQ(times(keeper.log(), "operation not permitted; trying until it is done"), 1U);
  dockerd.before_delete({});
  EXPECT_TRUE(eventually([&] { return keeper.open(300'000); }, 10'000)) << keeper.refusal();
  EXPECT_TRUE(eventually([&] { return keeper.log().contains("reaped what session " + session_number(0)); }));
}

// A broker that died before it knew the uids of a session has started nothing of it.
TEST(Reaper, KeepsNobodyOutForASessionThatHadNoUidsYet) {
  auto options = after_a_broker_that_left("");
  options.ledger_text = "session " + kLeftSession + " worker 0 cgroupfs\n";
  KeeperUnderTest keeper(options);
  keeper.let_cgroups_stay(1000);
  keeper.let_take_over_of_never_be_answered(kLeftSession);
  keeper.start();
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
  if (::getuid() == 0) EXPECT_TRUE(keeper.open(300'000)) << keeper.refusal();
}

TEST(Session, HasItsUidsInTheLedgerBeforeAnythingOfItIsStarted) {
  KeeperUnderTest keeper;
  keeper.let_next_uid_base_be(500'000);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_TRUE(
      keeper.spawner_saw("start with the ledger\nsession " + keeper.session() + " worker 0 cgroupfs\nuid 500000\n"));
}

TEST(Reaper, WaitsForACgroupThatStaysAndSaysSo) {
  if (::getuid() != 0) GTEST_SKIP() << "only root brings a range of its own";
  KeeperUnderTest keeper(after_a_broker_that_left(""));
  keeper.let_cgroups_stay(1000);
  keeper.start();
  EXPECT_FALSE(keeper.open(300'000));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("session " + kLeftSession + ", which an earlier broker left"));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("still in use"));
  EXPECT_EQ(times(keeper.log(), "still in use; trying until it is done"), 1U);
  keeper.let_cgroups_stay(0);
  EXPECT_TRUE(eventually([&] { return keeper.open(300'000); }, 10'000)) << keeper.refusal();
}

TEST(Reaper, LetsSessionsOpenWhileManyAreStillBeingRemoved) {
  DockerdModel dockerd;
  KeeperUnderTest keeper(left_sessions(250, dockerd));
  dockerd.before_delete([](const std::string&) {  // eight in 350 ms: as slow as a real one
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    return FakeDockerd::Answer{};
  });
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  keeper.let_next_uid_base_be(500'000);
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_GT(dockerd.count(), 100U) << "it has not waited for them";
}

// The whole list is larger than any answer that is read.
class LargeEntries : public testing::TestWithParam<std::size_t> {};
TEST_P(LargeEntries, StopNeitherTheReaperNorTheLookForAnIntent) {
  DockerdModel dockerd;
  auto options = left_sessions(1, dockerd);
  std::string& ledger = options.more_ledgers[session_number(0)];
  for (unsigned number = 1; number <= 7; ++number) {
    const std::string name = name_in(0) + std::to_string(number);
    ledger += "intent " + name + "\nmade " + name + " " + id_number(number) + "\n";
    dockerd.add(name, id_number(number));
  }
  for (const char* more : {".x", "-x"}) {  // the dot matches itself only
    ledger += "intent " + name_in(0) + more + "\n";
    dockerd.add(name_in(0) + more, id_number(more[0] == '.' ? 100 : 101));
  }
  dockerd.add(name_in(0) + "_x", id_number(102));
  dockerd.pad_entries(GetParam());
  KeeperUnderTest keeper(options);
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.start();
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(session_number(0)).empty(); })) << keeper.log();
  EXPECT_THAT(dockerd.names(), testing::ElementsAre(name_in(0) + "_x")) << "no record of the one that is left";
}
INSTANTIATE_TEST_SUITE_P(Bytes, LargeEntries, testing::Values(200'000, limits::kMaxReplyBytes + 1));

}  // namespace
}  // namespace sallyport::testing_support
