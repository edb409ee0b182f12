// Openers and endings that meet: a place, or a budget, that is about to be free is waited for; who waits in vain, and
// who need not wait, is told what is left and why.
#include "dockerd_model.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

KeeperUnderTest::Options one_session_at_a_time() {
  KeeperUnderTest::Options options;
  options.max_sessions = 1;
  return options;
}

TEST(FullHouse, IsWaitedForWhileASessionEnds) {
  KeeperUnderTest keeper(one_session_at_a_time());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  DockerdModel dockerd;
  dockerd.before_delete([](const std::string&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    return FakeDockerd::Answer{};
  });
  keeper.dockerd().behave(dockerd.behaviour());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("kill"));
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
}

TEST(FullHouse, IsRefusedAtOnceWhereNoSessionEnds) {
  KeeperUnderTest keeper(one_session_at_a_time());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const UniqueFd control = keeper.take_control();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(keeper.open());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("max_sessions in broker.toml allows no more"));
}

TEST(FullHouse, IsRefusedWithWordsWhereTheEndingTakesTooLong) {
  KeeperUnderTest keeper(one_session_at_a_time());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.let_cgroups_stay(1000);
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("kill"));
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("one of them is ending, and has not ended yet"));
  EXPECT_TRUE(
      eventually([&] { return keeper.log().contains("has not ended after 5 s: it keeps its uids: still in"); }));
}

TEST(Launcher, ThatIsLetGoHearsWhatIsLeftAndWhy) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  dockerd.before_delete(
      [](const std::string&) { return FakeDockerd::Answer{FakeDockerd::reply(500, R"({"message":"no way"})")}; });
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  (void)send_datagram(keeper.control(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{false, 0, false})));
  const auto left = receive_within(keeper.control(), 8000);
  ASSERT_TRUE(left && !left->bytes.empty());
  const auto word = decode_message<handshake::FromKeeper>(left->bytes);
  ASSERT_TRUE(word && std::holds_alternative<handshake::LeftBehind>(*word));
  EXPECT_THAT(std::get<handshake::LeftBehind>(*word).what.value,
              testing::AllOf(testing::HasSubstr("sp-" + keeper.session() + "-db"),
                             testing::HasSubstr("dockerd answered 500: no way")));
  const auto done = receive_within(keeper.control(), 1000);
  ASSERT_TRUE(done && !done->bytes.empty());
  EXPECT_TRUE(std::holds_alternative<handshake::Done>(*decode_message<handshake::FromKeeper>(done->bytes)));
  EXPECT_TRUE(eventually([&] { return keeper.log().contains("no way; trying until it is done"); }));
}

// Eight containers are all that the budget allows.
KeeperUnderTest::Options budget_of_eight() {
  KeeperUnderTest::Options options;
  const std::string forty = "containers = 40";
  options.profile.replace(options.profile.find(forty), forty.size(), "containers = 8");
  return options;
}

class LargeList : public testing::TestWithParam<std::size_t> {};
TEST_P(LargeList, HidesFromTheBudgetNothingThatHasGone) {
  KeeperUnderTest keeper(budget_of_eight());
  DockerdModel dockerd;
  dockerd.pad_entries(GetParam());
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (int number = 0; number < 8; ++number)
    keeper.expect<protocol::Created>(keeper.create_request(("c" + std::to_string(number)).c_str()));
  const auto full = keeper.expect<protocol::Failed>(keeper.create_request());
  EXPECT_EQ(full.http_status, 403);
  EXPECT_THAT(full.message.value, testing::Not(testing::HasSubstr("could not be asked")));
  dockerd.lose("sp-" + keeper.session() + "-c3");
  keeper.expect<protocol::Created>(keeper.create_request());
  EXPECT_EQ(keeper.expect<protocol::Failed>(keeper.create_request()).http_status, 403);
  EXPECT_EQ(dockerd.count(), 8U);
  const protocol::Reply listed = keeper.ask(protocol::ListContainers{true});
  if (GetParam() < limits::kMaxReplyBytes) {
    EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(listed));
  } else {
    ASSERT_TRUE(std::holds_alternative<protocol::Failed>(listed));
    EXPECT_THAT(std::get<protocol::Failed>(listed).message.value,
                testing::HasSubstr("alone is larger than this broker reads"));
  }
}
INSTANTIATE_TEST_SUITE_P(Bytes, LargeList, testing::Values(1, 200'000, limits::kMaxReplyBytes + 1));

// What is known to be too large together is never asked for together.
TEST(Lists, OfContainersWithLongTextsAreAskedForInParts) {
  KeeperUnderTest keeper(budget_of_eight());
  DockerdModel dockerd;
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (int number = 0; number < 8; ++number) {
    auto ask = keeper.create_request(("c" + std::to_string(number)).c_str());
    ask.command.emplace();
    for (int i = 0; i < 3; ++i)
      ask.command->items.emplace_back(std::string(10'000, '<'));  // 180,000 bytes as dockerd writes them
    keeper.expect<protocol::Created>(ask);
  }
  EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{true})));
  std::size_t lists = 0;
  for (const std::string& request : keeper.dockerd().requests()) {
    if (!request.starts_with("GET /v1.41/containers/json")) continue;
    ++lists;
    EXPECT_NE(request.find("%22id%22"), std::string::npos) << request.substr(0, 300);
  }
  EXPECT_EQ(lists, 4U) << "two in each";
}

TEST(Budget, KnowsWhatHasGoneAlsoNearTheCeilingOfMemory) {
  auto options = budget_of_eight();
  options.ballast = limits::kLeastMemoryCeiling / 8 * 7;
  KeeperUnderTest keeper(options);
  DockerdModel dockerd;
  dockerd.pad_entries(2 * limits::kSmallReplyBytes);
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (int number = 0; number < 8; ++number)
    keeper.expect<protocol::Created>(keeper.create_request(("c" + std::to_string(number)).c_str()));
  EXPECT_TRUE(eventually([&] {
    const protocol::Reply listed = keeper.ask(protocol::ListContainers{true});
    const auto* failed = std::get_if<protocol::Failed>(&listed);
    return failed != nullptr && failed->http_status == 503;
  })) << "there is memory: this test tests nothing";
  dockerd.lose("sp-" + keeper.session() + "-c3");
  keeper.expect<protocol::Created>(keeper.create_request());
}

TEST(Budget, SaysSoWhereWhatHasGoneCannotBeKnown) {
  KeeperUnderTest keeper(budget_of_eight());
  DockerdModel dockerd;
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (int number = 0; number < 8; ++number) keeper.expect<protocol::Created>(keeper.create_request());
  keeper.dockerd().behave([](const std::string& request) {
    return FakeDockerd::Answer{
        .bytes = request.starts_with("GET /v1.41/containers/json") ? FakeDockerd::reply(500, "{}") : ""};
  });
  const auto refused = keeper.expect<protocol::Failed>(keeper.create_request());
  EXPECT_EQ(refused.http_status, 403);
  EXPECT_THAT(refused.message.value, testing::HasSubstr("could not be asked which of them are gone, so all count"));
  EXPECT_THAT(keeper.log(), testing::HasSubstr("which of its containers are gone is not known"));
  keeper.dockerd().behave(dockerd.behaviour());
}

// The budget would allow hundreds more: what they keep is memory of the broker's, which all sessions share.
TEST(Budget, OfWhatTheLedgerKeepsOfLabelsIsMetByACreateThatIsRefusedAndSaysWhy) {
  KeeperUnderTest::Options options;
  const std::string forty = "containers = 40";
  options.profile.replace(options.profile.find(forty), forty.size(), "containers = 700");
  KeeperUnderTest keeper(options);
  DockerdModel dockerd;
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const auto labelled = [&](std::size_t number) {
    auto ask = keeper.create_request(("c" + std::to_string(number)).c_str());
    for (int label = 0; label < 31; ++label)
      ask.labels.items.push_back({{"k" + std::to_string(label)}, {std::string(4000, 'x')}});
    return ask;
  };
  for (std::size_t made = 0; made < 4; ++made) keeper.expect<protocol::Created>(labelled(made));
  const auto failed = keeper.expect<protocol::Failed>(labelled(4));
  EXPECT_EQ(failed.http_status, 403);
  EXPECT_THAT(failed.message.value,
              testing::AllOf(testing::HasSubstr("the labels, names and images of the session's 4"),
                             testing::HasSubstr("and a session may have 524288")));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"docker.ledger")"));
  keeper.expect<protocol::Created>(keeper.create_request("plain"));
  dockerd.lose("sp-" + keeper.session() + "-c2");
  keeper.expect<protocol::Created>(labelled(4));
}

}  // namespace
}  // namespace sallyport::testing_support
