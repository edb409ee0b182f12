// A gate that reads its answers late, or never: none is lost, none is held without a bound, and the session of one that
// does not read at all is ended.
#include <thread>

#include "broker/protocol/permits.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

// Every inspection is answered with one of 80 KB: a channel holds two or three of them.
void answer_with_large_inspections(KeeperUnderTest& keeper) {
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::string argument(40'000, 'a');
  const std::string body = R"({"Id":")" + FakeDockerd::id('c') + R"(","State":{"Status":"running"},"Args":[")" +
                           argument + R"("],"Config":{"Cmd":[")" + argument + R"("]},"HostConfig":{}})";
  keeper.dockerd().behave([body](const std::string& request) {
    if (request.find("/json HTTP") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, body)};
  });
}
void inspect(KeeperUnderTest& keeper, std::size_t times) {
  for (protocol::RequestId id = 1; id <= times; ++id)
    keeper.send(id, protocol::InspectContainer{*ContainerName::parse("db")});
}

TEST(FullChannel, AGateThatReadsLateHearsEveryReplyOnce) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  answer_with_large_inspections(keeper);
  inspect(keeper, 30);
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  for (protocol::RequestId id = 1; id <= 30; ++id) {
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply) << id;
    EXPECT_TRUE(std::holds_alternative<protocol::Inspected>(reply->reply)) << id;
  }
  EXPECT_FALSE(keeper.reply(1, 200)) << "and none twice";
}

TEST(FullChannel, WhatAGateDoesNotReadStaysInFlightAndCountsAgainstItsPermit) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  answer_with_large_inspections(keeper);
  const std::size_t most = protocol::kPermit<protocol::InspectContainer>.in_flight_at_most;
  inspect(keeper, most);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // dockerd has answered all of them by now
  for (protocol::RequestId id = 1000; id < 1000 + most / 2; ++id)
    keeper.send(id, protocol::InspectContainer{*ContainerName::parse("db")});
  EXPECT_TRUE(keeper.audit_has("more requests in flight than its permit"));
}

TEST(FullChannel, AGateThatNeverReadsIsEndedAndTheKeeperLives) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  answer_with_large_inspections(keeper);
  inspect(keeper, 30);
  const auto patience = std::chrono::milliseconds(limits::kGateReadsWithin) + std::chrono::seconds(10);
  EXPECT_TRUE(keeper.spawner_saw("kill", static_cast<int>(patience.count())));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"gate.unread","reason":"the gate does not read its answers)"));
  EXPECT_TRUE(keeper.is_alive());
}

}  // namespace
}  // namespace sallyport::testing_support
