// What requests take of their session's budgets, and what is said where one is used up, through the whole keeper.
#include "broker/api/endpoints.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

// So that what was made counts: of a list without it the keeper learns that it has gone.
FakeDockerd::Answer lists_the_container(const std::string& request) {
  if (request.find("/containers/json") == std::string::npos) return {};
  return {.bytes = FakeDockerd::reply(
              200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","Names":["/x"],"State":"running"}])")};
}

KeeperUnderTest::Options with_requests(const std::string& rate) {
  KeeperUnderTest::Options options;
  options.profile.replace(options.profile.find("20000/min"), 9, rate);
  return options;
}

TEST(Requests, BeyondTheBudgetsAreRefusedAndSayWhy) {
  KeeperUnderTest::Options options;
  options.profile = R"([worker]
command = ["/bin/true"]
[sandbox]
root = "host"
[docker]
allow = ["run", "observe"]
images = ["busybox:*"]
[docker.budget]
containers = 1
creates = "2/min"
requests = "3000/min"
)";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(lists_the_container);
  EXPECT_THAT(keeper.expect<Failed>(keeper.create_request("d2")).message.value, testing::HasSubstr("its budget is 1"));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"docker.budget.containers","reason":"sallyport: the session has 1 containers, and its budget is 1)"));
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request("db")).http_status, 409);
  EXPECT_EQ(keeper.expect<Failed>(protocol::KillContainer{named("db")}).http_status, 403) << "group stop is off";
}

TEST(Requests, BeyondTheCreatesOfAMinuteAreRefusedAndSayWhenToComeBack) {
  KeeperUnderTest::Options options;
  options.profile.replace(options.profile.find("200/min"), 7, "2/min");
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (const char* name : {"d1", "d2"}) keeper.expect<protocol::Created>(keeper.create_request(name));
  const auto third = keeper.expect<Failed>(keeper.create_request("d3"));
  EXPECT_EQ(third.http_status, 429);
  EXPECT_THAT(third.message.value, testing::HasSubstr("more than 2 creates in a minute; try again in "));
  EXPECT_THAT(third.retry_after_seconds, testing::AllOf(testing::Ge(1U), testing::Le(30U)));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"docker.budget.creates","reason":"sallyport: more than 2 creates in a minute; try again in )"));
}

TEST(Requests, BeyondTheMemoryOfAllContainersAreRefusedAndSayWhy) {
  KeeperUnderTest::Options options;
  options.profile = std::string(kProfileText) + "memory = \"100MiB\"\n[docker.container]\nmemory = \"60MiB\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(lists_the_container);
  auto ask = keeper.create_request("d2");
  ask.memory = (40 << 20) + 1;
  const auto failed = keeper.expect<Failed>(ask);
  EXPECT_EQ(failed.http_status, 403);
  EXPECT_THAT(
      failed.message.value,
      testing::HasSubstr("the session's containers have 62914560 bytes of memory, this one asks for 41943041, and "
                         "their budget is 104857600"));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"docker.budget.memory","reason":"sallyport: the session's containers have 62914560 bytes)"));
  ask.memory = 40 << 20;
  keeper.expect<protocol::Created>(ask);
}

TEST(Requests, AreCountedByTheirWeightAndOnlyTheFirstStartIsNot) {
  KeeperUnderTest keeper(with_requests("6/min"));  // a burst of 20, and then one in 10 s
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  for (std::uint32_t used = api::row_of(api::Verb::Create).weight; used < 20; ++used)
    keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  const auto failed = keeper.expect<Failed>(protocol::InspectContainer{named("db")});
  EXPECT_EQ(failed.http_status, 429);
  EXPECT_THAT(failed.retry_after_seconds, testing::AllOf(testing::Ge(8U), testing::Le(10U)));
  EXPECT_THAT(failed.message.value, testing::HasSubstr("more than 6 requests in a minute, by their weight"));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"docker.budget.requests","reason":"sallyport: more than 6 requests in a minute, by their weight; try again in )"));
  keeper.expect<protocol::Succeeded>(
      protocol::StartContainer{named("db")});  // accepted at create, never refused at start
  for (int again = 0; again < 5; ++again) {
    const auto second = keeper.expect<Failed>(protocol::StartContainer{named("db")});
    EXPECT_EQ(second.http_status, 429) << again;
    EXPECT_GT(second.retry_after_seconds, 100U) << "true to its weight";
  }
  EXPECT_EQ(keeper.dockerd().times("POST /v1.41/containers/" + FakeDockerd::id('c') + "/start"), 1U);
}

TEST(Requests, MayBeATenthOfAMinutesAtOnce) {
  KeeperUnderTest keeper(with_requests("250/min"));
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const auto begun = std::chrono::steady_clock::now();
  std::uint32_t granted = api::row_of(api::Verb::Create).weight;
  protocol::Reply answer;
  do answer = keeper.ask(protocol::InspectContainer{named("db")});
  while (std::holds_alternative<protocol::Inspected>(answer) && ++granted < 100);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  EXPECT_GE(granted, 250 / limits::kRequestBurstPart);
  EXPECT_LE(granted, 250 / limits::kRequestBurstPart + 1 + took.count() * 250 / 60) << "with what has come since then";
  ASSERT_TRUE(std::holds_alternative<Failed>(answer));
  EXPECT_THAT(std::get<Failed>(answer).message.value,
              testing::HasSubstr("more than 250 requests in a minute, by their weight; try again in 1 s"));
}

// The image's texts are shown as often as the client's: labels of control characters, at six bytes each.
TEST(Requests, WeighWhatTheImageBringsAsWell) {
  KeeperUnderTest keeper(with_requests("400/min"));  // a burst of 40
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/images/") == std::string::npos) return FakeDockerd::Answer{};
    std::string labels;
    for (int i = 0; i < 85'000; ++i) labels += "\\u0001";
    return FakeDockerd::Answer{
        .bytes = FakeDockerd::reply(200, FakeDockerd::image(R"("Cmd":["sh"],"Labels":{"a":")" + labels + "\"}"))};
  });
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));                // 5, and 35 are left
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});  // 1 + 510,009 / 16,384, and 3 are left
  EXPECT_EQ(keeper.expect<Failed>(protocol::InspectContainer{named("db")}).http_status, 429);
}

// No refilling that a slow machine would see: one in a minute, and what weighs all of the burst needs a full bucket.
TEST(Requests, ForAListWeighWhatItShows) {
  for (const std::size_t bytes : {10U, 50'000U}) {
    KeeperUnderTest keeper(with_requests("1/min"));  // a burst of 20
    keeper.dockerd().behave([bytes](const std::string& request) {
      if (request.find("/images/") == std::string::npos) return FakeDockerd::Answer{};
      std::string labels;
      for (std::size_t i = 0; i < bytes; ++i) labels += "\\u0001";
      return FakeDockerd::Answer{
          .bytes = FakeDockerd::reply(200, FakeDockerd::image(R"("Cmd":["sh"],"Labels":{"a":")" + labels + "\"}"))};
    });
    ASSERT_TRUE(keeper.open()) << keeper.refusal();
    keeper.expect<protocol::Created>(keeper.create_request("db"));
    const auto listed = keeper.ask(protocol::ListContainers{true});
    EXPECT_EQ(std::holds_alternative<Failed>(listed), bytes > 10) << bytes;
  }
}

TEST(Requests, ForACreateThatCannotBeWeighTheListThatIsAskedForIt) {
  KeeperUnderTest keeper(with_requests("6/min"));  // a burst of 20
  keeper.dockerd().behave([](const std::string& request) {
    const bool list = request.starts_with("GET /v1.41/containers/json");
    return list ? FakeDockerd::Answer{.bytes = FakeDockerd::reply(
                                          200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","State":"created"}])")}
                : FakeDockerd::Answer{};
  });
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const auto weight = api::row_of(api::Verb::Create).weight + api::row_of(api::Verb::List).weight;
  ASSERT_EQ(weight, 8U);
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request("db")).http_status, 409);
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request("db")).http_status, 429)
      << "7 are left, and the list is not asked";
  EXPECT_EQ(keeper.dockerd().times("GET /v1.41/containers/json"), 1U);
}

}  // namespace
}  // namespace sallyport::testing_support
