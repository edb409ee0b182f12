// What a session meets and no answer tells of: the launcher hears it, the trail has it, and neither is flooded.
#include <poll.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "broker/protocol/relay_messages.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

namespace relay = protocol::relay;

KeeperUnderTest::Options with_a_forward() {
  KeeperUnderTest::Options options;
  options.profile = std::string(kProfileText) + "[[forward]]\nlisten = \"unix:/run/sallyport/up.sock\"\n" +
                    "to = \"unix:/run/upstream.sock\"\n";
  return options;
}

void connect(const KeeperUnderTest& keeper, std::uint32_t connection) {
  const auto bytes = encode_message(relay::ToKeeper(relay::Connect{connection, 0}));
  for (int tries = 0; tries < 5000; ++tries) {
    if (send_datagram(keeper.relay(), bytes)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "the keeper does not read its relay";
}

bool is_unreachable(const KeeperUnderTest& keeper, std::uint32_t connection) {
  const auto received = receive_within(keeper.relay(), 5000);
  if (!received) return false;
  const auto message = decode_message<relay::FromKeeper>(received->bytes);
  return message && std::holds_alternative<relay::Unreachable>(*message) &&
         std::get<relay::Unreachable>(*message).connection == connection;
}

// The next thing that the launcher is told; "" where it is nothing for so long.
template <class Message>
std::string told(const KeeperUnderTest& keeper, int milliseconds = 5000) {
  const auto received = receive_within(keeper.control(), milliseconds);
  if (!received || received->bytes.empty()) return "";
  const auto message = decode_message<handshake::FromKeeper>(received->bytes);
  const auto* of = message ? std::get_if<Message>(&*message) : nullptr;
  if constexpr (std::is_same_v<Message, handshake::Notice>) return of ? of->text.value : "something else";
  else return of ? of->reason.value : "something else";
}
constexpr auto kNotice = &told<handshake::Notice>;

bool is_in_log(const KeeperUnderTest& keeper, const std::string& words) {
  return eventually([&] { return keeper.log().contains("session " + keeper.session() + ": " + words); });
}

std::size_t records_of(const KeeperUnderTest& keeper, const std::string& rule) {
  std::size_t count = 0;
  for (const std::string& line : keeper.audit()) count += line.find("\"rule\":\"" + rule + "\"") != std::string::npos;
  return count;
}

TEST(Notice, OfAnUpstreamThatCannotBeReachedNamesItAndIsGivenOnceWhileEachIsRecorded) {
  KeeperUnderTest keeper(with_a_forward());
  keeper.let_dials_end_with(ECONNREFUSED);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::uint32_t connection = 1; connection <= 3; ++connection) {
    connect(keeper, connection);
    EXPECT_TRUE(is_unreachable(keeper, connection));
  }
  constexpr const char* kWords =
      "a connection of its forward is closed: dial unix:/run/upstream.sock: Connection refused";
  EXPECT_EQ(kNotice(keeper, 5000), kWords);
  EXPECT_TRUE(is_in_log(keeper, kWords));
  EXPECT_EQ(kNotice(keeper, 100), "");
  EXPECT_EQ(records_of(keeper, "forward.unreachable"), 3U);
}

TEST(Notice, OfForwardConnectionsComesWithTheFirstThatIsOneTooMany) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::uint32_t connection = 0; connection < limits::kMaxForwardConnections; ++connection)
    connect(keeper, connection);
  EXPECT_EQ(kNotice(keeper, 200), "");
  connect(keeper, 1000);
  EXPECT_TRUE(is_unreachable(keeper, 1000));
  constexpr const char* kWords =
      "the session has 256 connections of its forwards open, and may have no more: a new one to "
      "unix:/run/upstream.sock is closed";
  EXPECT_EQ(kNotice(keeper, 5000), kWords);
  EXPECT_TRUE(is_in_log(keeper, kWords));
  EXPECT_TRUE(keeper.audit_has(R"("decision":"DENY")"));
  EXPECT_EQ(records_of(keeper, "forward.connections"), 1U);
}

// So many answers are taken; without the time that a buffer for any message costs.
void take_answers(const KeeperUnderTest& keeper, std::size_t count) {
  std::array<std::byte, 64> buffer;
  for (std::size_t i = 0; i < count; ++i) {
    pollfd entry{keeper.relay(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 20'000), 1) << "an answer is missing";
    ASSERT_TRUE(receive_datagram(keeper.relay(), buffer));
  }
}

TEST(Notice, OfAForwardThatIsHeldBackSaysFromWhichRateOnAndIsInTheTrail) {
  constexpr std::uint32_t kRate = 600;  // a minute, and at once
  KeeperUnderTest::Options options = with_a_forward();
  options.profile += "[limits]\nconnections = \"600/min\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  // The dials hang, so that all that follow are refused at once. In portions, which the channel holds.
  std::uint32_t sent = 0;
  while (sent < limits::kMaxForwardConnections) connect(keeper, sent++);
  connect(keeper, sent++);
  EXPECT_THAT(kNotice(keeper, 5000), testing::HasSubstr("may have no more"));
  take_answers(keeper, 1);
  while (sent + 8 <= kRate && !testing::Test::HasFatalFailure()) {
    for (std::uint32_t i = 0; i < 8; ++i) connect(keeper, sent++);
    take_answers(keeper, 8);
  }
  EXPECT_EQ(kNotice(keeper, 0), "") << "up to the rate nothing is held back";
  std::string said;
  for (int tries = 0; said.empty() && tries < 2000; ++tries) {
    connect(keeper, sent++);
    said = kNotice(keeper, 1);
    while (receive_within(keeper.relay(), 0)) continue;  // or both would wait, where none are held back
  }
  for (int i = 0; i < 20; ++i) connect(keeper, sent++);
  EXPECT_EQ(
      said,
      "its forwards open more than the 600 connections a minute of limits.connections: those beyond are held back");
  while (receive_within(keeper.relay(), 0)) continue;
  const auto begun = std::chrono::steady_clock::now();
  take_answers(keeper, 10);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  EXPECT_GT(taken.count(), 0.5) << "ten a second, but for what came free while the first ones were sent";
  EXPECT_TRUE(is_in_log(keeper, said));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"forward.rate","reason":"its forwards open more than the 600 connections a minute of limits.connections: those beyond are held back")"));
  // And so all is there that is written of one opening and its end whatever share is used up.
  keeper.tally()->denied = keeper.tally()->allowed = 4'000'000'000;
  keeper.close_gate();
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  std::size_t bytes = 0, records = 0;
  for (const std::string& line : keeper.audit()) {
    if (!line.contains("session-") && !line.contains("gate.undescribed") && !line.contains("forward.rate")) continue;
    bytes += line.size() + 1;
    ++records;
  }
  EXPECT_EQ(records, 5U);
  EXPECT_GT(bytes, limits::kAuditRestartBytes / 2);
  EXPECT_LE(bytes, limits::kAuditRestartBytes);
}

TEST(Notice, OfAGateThatIsHeldBackSaysSo) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  Writer many;
  for (std::uint32_t i = 0; i < 4000; ++i)
    codec::encode(many, protocol::RequestEnvelope{i + 1, protocol::CancelRequest{7}});
  for (std::uint32_t sent = 0; sent < limits::kMaxUntoldPerMinute; sent += 4000) keeper.send_raw(many.bytes());
  EXPECT_EQ(kNotice(keeper, 100), "") << "up to the bound nothing is held back";
  keeper.send_raw(many.bytes());
  constexpr const char* kWords =
      "its gate sends more than 12000 cancels and claims a minute: all of its requests are held back";
  EXPECT_EQ(kNotice(keeper, 5000), kWords);
  EXPECT_TRUE(is_in_log(keeper, kWords));
}

TEST(Notice, OfALifetimeNamesTheContainerThatIsKilled) {
  KeeperUnderTest::Options options;
  options.profile = std::string(kProfileText) + "lifetime = \"1s\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{*ContainerName::parse("db")});
  constexpr const char* kWords = "container db: the container has run for 1 s, its lifetime; it is killed";
  EXPECT_EQ(kNotice(keeper, 5000), kWords);
  EXPECT_TRUE(is_in_log(keeper, kWords));
  EXPECT_EQ(records_of(keeper, "docker.budget.lifetime"), 1U);
}

TEST(Answer, OfDockerdsThatIsLargerThanIsReadIsA502ThatSaysSo) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::string largest = "{" + std::string(limits::kMaxReplyBytes - 2, ' ') + "}";  // read, and no inspection
  const auto words_about = [&](const std::string& body) {
    keeper.dockerd().behave([body](const std::string& request) {
      if (!request.starts_with("GET /v1.41/containers/")) return FakeDockerd::Answer{};
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, body)};
    });
    const auto failed = keeper.expect<protocol::Failed>(protocol::InspectContainer{*ContainerName::parse("db")});
    EXPECT_EQ(failed.http_status, 502);
    return failed.message.value;
  };
  EXPECT_THAT(words_about(largest), testing::HasSubstr("could not be read"));
  EXPECT_THAT(words_about(largest + " "), testing::HasSubstr("dockerd's answer is larger than this broker reads"));
}

struct End {
  const char* sentence;
  std::function<void(KeeperUnderTest&)> act;
  const char* reason;
};
class LauncherIsToldWhy : public testing::TestWithParam<End> {};
TEST_P(LauncherIsToldWhy, BeforeAnythingIsKilled) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.hold_kills(true);
  GetParam().act(keeper);
  EXPECT_THAT(told<handshake::Ended>(keeper), testing::StartsWith(GetParam().reason));
  keeper.hold_kills(false);
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
}
INSTANTIATE_TEST_SUITE_P(
    Ends, LauncherIsToldWhy,
    testing::Values(End{"the gate closes", [](auto& keeper) { keeper.close_gate(); }, "the gate closed its channel"},
                    End{"the gate says what it may not",
                        [](auto& keeper) { keeper.send_raw(std::vector<std::byte>(3, std::byte{0xff})); },
                        "the gate broke the protocol: "},
                    End{"the broker is asked twice to stop",
                        [](auto& keeper) {
                          keeper.signal_keeper(SIGTERM);
                          EXPECT_TRUE(keeper.hears_of_the_stop());
                          keeper.signal_keeper(SIGTERM);
                        },
                        "the broker is stopping"}));

}  // namespace
}  // namespace sallyport::testing_support
