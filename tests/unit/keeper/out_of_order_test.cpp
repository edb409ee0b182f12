// dockerd answers late, out of order, or with an error, once for each verb: what the session owns stays what it is.
#include <condition_variable>

#include "dockerd_model.hpp"
#include "each_request.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

KeeperUnderTest::Options with(const std::string& from, const std::string& to) {
  KeeperUnderTest::Options options;
  options.profile.replace(options.profile.find(from), from.size(), to);
  return options;
}

// Answers to lists, as they were made when they were asked for, are held back until they are let go of.
class LateLists {
 public:
  explicit LateLists(const DockerdModel& model) : answers_(model.behaviour()) {}
  FakeDockerd::Behaviour behaviour() {
    return [this](const std::string& asked) {
      FakeDockerd::Answer answer = answers_(asked);
      if (is_for(api::Verb::List, asked)) {
        ++made_;
        go_.wait();
      }
      return answer;
    };
  }
  bool has_made_one() const {
    return eventually([this] { return made_ > 0; });
  }
  void let_go() { go_.happen(); }

 private:
  FakeDockerd::Behaviour answers_;
  std::atomic<std::size_t> made_ = 0;
  Event go_;
};

TEST(Ledger, KeepsWhatWasMadeWhileAListWasUnderWay) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("old"));
  LateLists lists(dockerd);
  keeper.dockerd().behave(lists.behaviour());
  keeper.send(1, protocol::ListContainers{true});
  ASSERT_TRUE(lists.has_made_one());
  keeper.expect<protocol::Created>(keeper.create_request("young"));
  lists.let_go();
  ASSERT_TRUE(keeper.reply(1));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("young")});
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("old")});
}

TEST(Ledger, KeepsTheNameOfACreateThatIsUnderWayWhileAListIsMade) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  Event answered;
  dockerd.before_create_is_answered([&](const std::string& name) {
    if (name.ends_with("-slow")) answered.wait();
    return FakeDockerd::Answer{};
  });
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("old"));
  keeper.send(1, keeper.create_request("slow"));
  ASSERT_TRUE(eventually([&] { return dockerd.count() == 2; }));
  dockerd.lose("sp-" + keeper.session() + "-old");
  ASSERT_TRUE(std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{true})));
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request("slow")).http_status, 409) << "its name is taken";
  keeper.expect<protocol::Created>(keeper.create_request("old"));
  answered.happen();
  const auto created = keeper.reply(1);
  ASSERT_TRUE(created && std::holds_alternative<protocol::Created>(created->reply));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("slow")});
}

// The verdict counts what is being looked at: nothing suspends between it and the place that a create takes.
TEST(Budget, OfContainersHoldsForCreatesThatComeTogether) {
  KeeperUnderTest keeper(with("containers = 40", "containers = 2"));
  DockerdModel dockerd;
  Event looked_at;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave([&](const std::string& asked) {
    if (asked.find("/images/") != std::string::npos) looked_at.wait();
    return dockerd.behaviour()(asked);
  });
  auto ask = keeper.create_request();
  ask.memory = 8 << 20;  // so that it is not their memory that is used up
  for (protocol::RequestId id = 1; id <= 8; ++id) keeper.send(id, ask);
  const auto images = [&] { return keeper.dockerd().times("GET /v1.41/images/"); };
  ASSERT_TRUE(eventually([&] { return images() >= 2; }));
  std::size_t refused = 0;
  for (protocol::RequestId id = 3; id <= 8; ++id)
    if (const auto reply = keeper.reply(id, 2000)) refused += std::holds_alternative<Failed>(reply->reply);
  EXPECT_EQ(refused, 6U);
  looked_at.happen();
  for (protocol::RequestId id = 1; id <= 2; ++id) ASSERT_TRUE(keeper.reply(id));
  EXPECT_EQ(dockerd.count(), 2U);
}

// --- each documented error, once for each verb ---

struct Error {
  int status;
  const char* message;
};
constexpr Error kErrors[] = {{400, "bad parameter"},        {404, "No such container: db"},
                             {406, "impossible to attach"}, {409, "removal of container db is already in progress"},
                             {500, "server error"},         {503, "server error"}};

class Erring : public testing::TestWithParam<Error> {};
TEST_P(Erring, OnceForEachVerbIsToldAndTheContainerStaysTheSessionsUntilItIsGone) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const auto errs = std::make_shared<std::atomic<bool>>(true);
    keeper.dockerd().behave([errs, request, usual = dockerd.behaviour()](const std::string& asked) {
      if (!is_for(request, asked) || !errs->exchange(false)) return usual(asked);
      return FakeDockerd::Answer{
          .bytes = FakeDockerd::reply(GetParam().status, R"({"message":")" + std::string(GetParam().message) + "\"}")};
    });
    const auto failed = keeper.expect<Failed>(request);
    EXPECT_GE(failed.http_status, 400) << request.index();
    EXPECT_FALSE(*errs) << "dockerd was asked: kind " << request.index();
    keeper.dockerd().behave(dockerd.behaviour());
    const bool is_gone = GetParam().status == 404 && (protocol::verb_of(request) == api::Verb::Remove ||
                                                      protocol::verb_of(request) == api::Verb::Inspect);
    const auto answer = keeper.ask(protocol::KillContainer{named("db"), 9});
    EXPECT_EQ(std::holds_alternative<Failed>(answer), is_gone) << request.index();
    if (!is_gone) return;
    dockerd.lose("sp-" + keeper.session() + "-db");
    keeper.expect<protocol::Created>(keeper.create_request("db"));
    keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  });
}
INSTANTIATE_TEST_SUITE_P(Statuses, Erring, testing::ValuesIn(kErrors),
                         [](const auto& info) { return "Of" + std::to_string(info.param.status); });

// What a create may have left of its name and of the budget where it is refused.
TEST_P(Erring, ACreateKeepsNeitherItsNameNorAPlace) {
  KeeperUnderTest keeper(with("containers = 40", "containers = 1"));
  DockerdModel dockerd;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (const char* at : {"/images/", "/containers/create"}) {
    keeper.dockerd().behave([at](const std::string& asked) {
      if (asked.find(at) == std::string::npos) return FakeDockerd::Answer{};
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(GetParam().status, R"({"message":"no"})")};
    });
    for (int again = 0; again < 2; ++again) {
      const auto failed = keeper.expect<Failed>(keeper.create_request("db"));
      EXPECT_NE(failed.http_status, 403) << "its budget is used up: " << at;
      EXPECT_THAT(failed.message.value, testing::Not(testing::StartsWith("Conflict. The container name \"/db\"")))
          << at;
    }
  }
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
}

TEST_P(Erring, AtTheEndIsAskedAgainUntilTheContainerIsGone) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  std::atomic<int> errors = 2;
  dockerd.before_delete([&](const std::string&) {
    if (GetParam().status == 404 || errors-- <= 0) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(GetParam().status, R"({"message":"no"})")};
  });
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.close_control();
  keeper.close_gate();
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); }, 15'000));
  EXPECT_EQ(dockerd.count(), 0U);
  EXPECT_TRUE(keeper.audit_has(R"("event":"session-end")"));
}

TEST(Create, AnsweredWithWhatIsNoCreateIsLookedForAndKeepsItsName) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (const int status : {200, 202, 304}) {
    const std::string name = "c" + std::to_string(status);
    keeper.dockerd().behave([&](const std::string& asked) {
      if (!is_for(api::Verb::Create, asked)) return FakeDockerd::Answer{};
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(status, R"({"Id":")" + FakeDockerd::id('c') + "\"}")};
    });
    EXPECT_EQ(keeper.expect<Failed>(keeper.create_request(name.c_str())).http_status, 502) << status;
    EXPECT_EQ(keeper.expect<Failed>(protocol::StartContainer{named(name)}).http_status, 404) << status;
    EXPECT_EQ(keeper.expect<Failed>(keeper.create_request(name.c_str())).http_status, 409) << status;
    keeper.dockerd().behave({});
  }
  EXPECT_TRUE(eventually([&] { return keeper.dockerd().times("GET /v1.41/containers/json") >= 7; }));
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request("c200")).http_status, 409) << "it may still be made";
}

TEST(Wait, ForgetsAContainerOnlyWhereItSawItGo) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  using protocol::WaitCondition;
  keeper.expect<protocol::Exited>(protocol::WaitContainer{named("db"), WaitCondition::NotRunning});
  keeper.expect<protocol::Exited>(protocol::WaitContainer{named("db"), WaitCondition::NextExit});
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  keeper.dockerd().behave([](const std::string& asked) {
    if (!is_for(api::Verb::Wait, asked)) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, R"({"Error":{"Message":"no"},"StatusCode":-1})")};
  });
  keeper.expect<protocol::Exited>(protocol::WaitContainer{named("db"), WaitCondition::Removed});
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  keeper.dockerd().behave({});
  keeper.expect<protocol::Exited>(protocol::WaitContainer{named("db"), WaitCondition::Removed});
  EXPECT_EQ(keeper.expect<Failed>(protocol::InspectContainer{named("db")}).http_status, 404);
}

// Its labels are forged, and the session has named a container by the other's whole id.
TEST(List, ShowsNoContainerOfOthersWhateverItsLabelsAndTheNamesOfOurs) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request(FakeDockerd::id('d').c_str()));
  keeper.dockerd().behave([](const std::string& asked) {
    if (!is_for(api::Verb::List, asked)) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{
        .bytes = FakeDockerd::reply(
            200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","Names":["/x"],"State":"exited"},)" + R"({"Id":")" +
                     FakeDockerd::id('d') + R"(","Names":["/y"],"State":"running","Command":"secret"}])")};
  });
  keeper.send(1, protocol::ListContainers{true});
  const auto first = keeper.reply(1);
  ASSERT_TRUE(first && std::holds_alternative<protocol::ListItem>(first->reply));
  EXPECT_EQ(std::get<protocol::ListItem>(first->reply).container.id.text(), FakeDockerd::id('c'));
  const auto second = keeper.reply(1);
  EXPECT_TRUE(second && std::holds_alternative<protocol::Succeeded>(second->reply)) << "and no other";
  EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{false})));
}

TEST(List, WithoutAllShowsWhatRuns) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  for (const auto& [state, shown] : {std::pair("running", true), std::pair("paused", true), std::pair("created", false),
                                     std::pair("exited", false), std::pair("dead", false)}) {
    keeper.dockerd().behave([state](const std::string& asked) {
      if (!is_for(api::Verb::List, asked)) return FakeDockerd::Answer{};
      return FakeDockerd::Answer{
          .bytes = FakeDockerd::reply(200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","State":")" + state + R"("}])")};
    });
    keeper.send(1, protocol::ListContainers{false});
    const auto reply = keeper.reply(1);
    ASSERT_TRUE(reply);
    EXPECT_EQ(std::holds_alternative<protocol::ListItem>(reply->reply), shown) << state;
    if (shown) ASSERT_TRUE(keeper.reply(1));
  }
}

// --- what must not be done twice, and what must be done again ---

// On a connection that was kept: dockerd has it, or not, and closes without a word.
TEST(Dockerd, ThatClosesWithoutAnAnswerIsNotAskedAgainForWhatChanges) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const api::Endpoint& endpoint = api::row_of(protocol::verb_of(request));
    if (endpoint.method == api::Method::Get || endpoint.verb == api::Verb::Create) return;
    keeper.dockerd().behave({});
    (void)keeper.ask(keeper.create_request("db"));
    keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});  // its connection is kept
    std::atomic<int> asked_for = 0;
    keeper.dockerd().behave([&](const std::string& asked) {
      if (!is_for(request, asked)) return FakeDockerd::Answer{};
      ++asked_for;
      return FakeDockerd::Answer{.then_close = true};
    });
    keeper.expect<Failed>(request);
    EXPECT_EQ(asked_for, 1) << "kind " << request.index();
    keeper.dockerd().behave({});
    keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  });
}

// Its connections that were kept are looked at before they are used for what is not asked twice.
TEST(Dockerd, ThatWasStartedAgainIsAskedForAChangeAtOnce) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  for (int again = 0; again < 3; ++again) {
    keeper.dockerd().go_away();
    keeper.dockerd().listen();
    keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  }
}

// Bytes behind an answer are no answer to what is asked next. More than is read at once, so that some are still there.
TEST(Dockerd, ThatSaysMoreThanItsAnswerIsNotHeardOnThatConnectionAgain) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& asked) {
    if (!is_for(api::Verb::Kill, asked)) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, "{}") + std::string(100'000, 'x')};
  });
  for (int again = 0; again < 3; ++again) {
    keeper.expect<protocol::Succeeded>(protocol::KillContainer{named("db"), 9});
    keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  }
}

TEST(Lifetime, IsCountedFromAStartThatDockerdDoesNotAnswerAndTheKillIsRepeatedUntilItIsDone) {
  KeeperUnderTest::Options options;
  options.profile = std::string(kProfileText) + "lifetime = \"1s\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  std::atomic<int> kills = 0;
  keeper.dockerd().behave([&](const std::string& asked) {
    if (is_for(api::Verb::Start, asked)) return FakeDockerd::Answer{.never = true};
    if (!is_for(api::Verb::Kill, asked)) return FakeDockerd::Answer{};
    return ++kills == 1 ? FakeDockerd::Answer{.bytes = FakeDockerd::reply(500, "{}")} : FakeDockerd::Answer{};
  });
  keeper.send(1, protocol::StartContainer{named("db")});
  EXPECT_TRUE(eventually([&] { return kills == 2; }, 8000)) << kills;
}

TEST(Start, ThatIsRefusedRemovesAContainerThatWouldRemoveItself) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.dockerd().behave(dockerd.behaviour());
  for (const bool removes_itself : {false, true}) {
    const char* name = removes_itself ? "once" : "stays";
    auto ask = keeper.create_request(name);
    ask.auto_remove = removes_itself;
    keeper.expect<protocol::Created>(ask);
    keeper.let_files_grow(false);
    EXPECT_EQ(keeper.expect<Failed>(protocol::StartContainer{named(name)}).http_status, 503);
    keeper.let_files_grow(true);
    EXPECT_EQ(keeper.dockerd().times("DELETE "), removes_itself ? 1U : 0U);
  }
}

}  // namespace
}  // namespace sallyport::testing_support
