// The ledger of a session on the disk, and the lock of its uids: written before what they are for, kept until it is
// gone.
#include <fcntl.h>
#include <sys/file.h>

#include <filesystem>

#include "each_request.hpp"
#include "unit/thorough.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

TEST(LedgerThatCannotBeWritten, MakesNoContainerAndTakesNoPlace) {
  KeeperUnderTest::Options options;
  options.profile.replace(options.profile.find("containers = 40"), 15, "containers = 2");
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.let_ledger_grow(false);
  for (int again = 0; again < 5; ++again) {
    const auto failed = keeper.expect<Failed>(keeper.create_request("d2"));
    EXPECT_EQ(failed.http_status, 503);
    EXPECT_THAT(failed.message.value, testing::HasSubstr("the ledger cannot be written, so nothing is created"));
  }
  EXPECT_EQ(keeper.dockerd().times("POST /v1.41/containers/create"), 1U);
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  keeper.let_ledger_grow(true);
  keeper.expect<protocol::Created>(keeper.create_request("d2"));
}

TEST(SessionLedger, HasTheIntentBeforeDockerdHearsOfItTheIdBeforeTheClientAndWhatIsGone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const std::string name = "sp-" + keeper.session() + "-db";
  std::string at_create;
  keeper.dockerd().behave([&](const std::string& asked) {
    if (is_for(api::Verb::Create, asked)) at_create = keeper.ledger_of(keeper.session());
    return FakeDockerd::Answer{};
  });
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  EXPECT_THAT(at_create, testing::HasSubstr("\nintent " + name + "\n"));
  EXPECT_THAT(keeper.ledger_of(keeper.session()),
              testing::HasSubstr("\nmade " + name + " " + FakeDockerd::id('c') + "\n"));
  keeper.expect<protocol::Succeeded>(protocol::RemoveContainer{named("db"), true});
  EXPECT_THAT(keeper.ledger_of(keeper.session()), testing::EndsWith("\ngone " + name + "\n"));
}

TEST(SessionLedger, TellsOfNoCreateThatDockerdRefused) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave([](const std::string& asked) {
    if (!is_for(api::Verb::Create, asked)) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(500, R"({"message":"no"})")};
  });
  keeper.expect<Failed>(keeper.create_request("db"));
  EXPECT_THAT(keeper.ledger_of(keeper.session()), testing::EndsWith("\ngone sp-" + keeper.session() + "-db\n"));
}

TEST(Container, RunsAsTheUidOfItsSessionsRange) {
  KeeperUnderTest keeper;
  keeper.let_next_uid_base_be(500'000);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  std::string body;
  keeper.dockerd().behave([&](const std::string& asked) {
    if (is_for(api::Verb::Create, asked)) body = asked;
    return FakeDockerd::Answer{};
  });
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::string uid = std::to_string(500'000 + static_cast<int>(limits::UidPart::Container));
  EXPECT_THAT(body, testing::HasSubstr("\"User\":\"" + uid + ":" + uid + "\""));
  EXPECT_THAT(body, testing::HasSubstr("\"CgroupParent\":\"/sallyport-" + keeper.session() + "\""));
  EXPECT_THAT(body, testing::HasSubstr("\"Image\":\"sha256:" + FakeDockerd::id('e') + "\"")) << "what was looked at";
}

TEST(Create, IsRefusedWhereDockerdHasAnotherCgroupDriverThanItsSession) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().go_away();
  keeper.dockerd().behave([](const std::string& asked) {
    const bool info = asked.find("/info") != std::string::npos;
    return FakeDockerd::Answer{.bytes = info ? FakeDockerd::reply(200, R"({"CgroupDriver":"systemd"})") : ""};
  });
  (void)keeper.ask(protocol::ListContainers{true});
  keeper.dockerd().listen();
  const auto failed = keeper.expect<Failed>(keeper.create_request("db"));
  EXPECT_THAT(failed.message.value, testing::HasSubstr("dockerd has changed its cgroup driver"));
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/create"));
}

// It came back while nobody asked: the create is the first to find that out.
TEST(Create, LooksAnewAtADockerdThatCameBackSinceTheLastRequest) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  (void)keeper.ask(protocol::ListContainers{true});  // whose connection is kept
  keeper.dockerd().go_away();
  keeper.dockerd().behave([](const std::string& asked) {
    const bool info = asked.find("/info") != std::string::npos;
    return FakeDockerd::Answer{.bytes = info ? FakeDockerd::reply(200, R"({"CgroupDriver":"systemd"})") : ""};
  });
  keeper.dockerd().listen();
  const auto failed = keeper.expect<Failed>(keeper.create_request("db"));
  EXPECT_THAT(failed.message.value, testing::HasSubstr("dockerd has changed its cgroup driver"));
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/create"));
}

TEST(UidRange, IsLockedUntilNothingOfTheSessionIsLeft) {
  if (::getuid() != 0) GTEST_SKIP() << "only root brings a range of its own";
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open(500'000)) << keeper.refusal();
  const std::string path = keeper.directory() + "/uid-lock";
  const auto is_free = [&] {
    const UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
  };
  EXPECT_FALSE(is_free());
  keeper.let_cgroups_stay(1);
  keeper.close_control();
  keeper.close_gate();
  ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  EXPECT_FALSE(eventually(is_free, 300)) << "its cgroup is there yet";
  EXPECT_TRUE(eventually(is_free, 10'000));
}

TEST(SessionEnd, ComesWithItsTimeWhateverTheLauncherDoes) {
  KeeperUnderTest::Options options;
  options.profile += "[limits]\ntime = \"1s\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_TRUE(keeper.spawner_saw("kill", 20'000));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"limits.time")"));
}

// Whoever ends it first says why, and it ends once.
TEST(SessionEnd, IsOneHoweverManyCausesComeTogether) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::string session = keeper.session();
  keeper.signal_keeper(SIGSTOP);
  keeper.close_control();
  keeper.send_raw(std::vector<std::byte>(3, std::byte{0xff}));
  keeper.tell_keeper(
      protocol::spawner::ChildEnded{*SessionId::parse(session), protocol::spawner::ChildKind::Gate, true, 31});
  keeper.kill_init();
  keeper.close_gate();
  keeper.signal_keeper(SIGCONT);
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  ASSERT_TRUE(eventually([&] { return keeper.ledger_of(session).empty(); }));
  EXPECT_TRUE(keeper.is_alive());
  const auto records = keeper.audit();
  EXPECT_EQ(std::ranges::count_if(records, [](const auto& line) { return line.contains(R"("event":"session-end")"); }),
            1);
  const auto events = keeper.spawner_events();
  EXPECT_EQ(std::ranges::count(events, "kill"), 1);
  EXPECT_EQ(std::ranges::count(events, "remove-cgroup " + session), 1);
}

}  // namespace
}  // namespace sallyport::testing_support
