// A gate or relay that has been taken over, in what it sends at once: no more of all kinds than is served, no longer in
// a row than others can wait, and not a word more once it has broken the protocol.
#include <fcntl.h>

#include <algorithm>
#include <csignal>

#include "broker/protocol/permits.hpp"
#include "broker/protocol/relay_messages.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

namespace relay = protocol::relay;

// Each kind stays within its own permit.
TEST(HostileGatePermits, EndAGateWithMoreOfAllKindsTogether) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const ContainerName db = *ContainerName::parse("db");
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string&) { return FakeDockerd::Answer{.never = true}; });
  constexpr std::size_t kLists = 32;
  constexpr std::size_t kKills = 64;
  static_assert(protocol::kPermit<protocol::ListContainers>.in_flight_at_most >= kLists);
  static_assert(protocol::kPermit<protocol::KillContainer>.in_flight_at_most >= kKills);
  protocol::RequestId id = 0;
  for (std::size_t i = 0; i < kLists; ++i) keeper.send(++id, protocol::ListContainers{true});
  for (std::size_t i = 0; i < kKills; ++i) keeper.send(++id, protocol::KillContainer{db, 9});
  while (id < limits::kMaxRequestsInFlight) keeper.send(++id, protocol::StopContainer{db, 1});
  EXPECT_FALSE(keeper.spawner_saw("kill", 300)) << "so many are allowed";
  keeper.send(++id, protocol::StopContainer{db, 1});
  EXPECT_TRUE(keeper.spawner_saw("kill"));
  EXPECT_THAT(keeper.log(), testing::HasSubstr("more requests in flight than its permit"));
}

std::vector<std::byte> claims(const std::string& rule, std::size_t count) {
  protocol::GateClaim claim;
  claim.method = "POST";
  claim.rule = rule;
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < count; ++i)
    std::ranges::copy(encode_message(protocol::RequestEnvelope{1, claim}), std::back_inserter(bytes));
  return bytes;
}
auto is_of(const char* rule) {
  return [part = "\"rule\":\"" + std::string(rule)](const std::string& line) { return line.contains(part); };
}

TEST(Claims, OfOneDatagramLetANeighbourIn) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const UniqueFd control = keeper.take_control();
  const UniqueFd neighbour = keeper.take_gate();
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  constexpr std::size_t kFlood = 2000;
  const auto flood = claims("flood", kFlood);
  ASSERT_LT(flood.size(), limits::kMaxMessageBytes);
  keeper.signal_keeper(SIGSTOP);  // so that both are there, this one first
  ASSERT_TRUE(send_datagram(keeper.gate(), flood));
  ASSERT_TRUE(send_datagram(neighbour.get(), claims("neighbour", 1)));
  keeper.signal_keeper(SIGCONT);
  ASSERT_TRUE(keeper.audit_has(R"("rule":"neighbour")"));
  ASSERT_TRUE(eventually([&] { return std::ranges::count_if(keeper.audit(), is_of("flood")) == kFlood; }));
  const auto lines = keeper.audit();
  EXPECT_LE(std::count_if(lines.begin(), std::ranges::find_if(lines, is_of("neighbour")), is_of("flood")), 200);
}

TEST(LastWords, OfAGateThatBrokeTheProtocolAreNotHeard) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.signal_keeper(SIGSTOP);  // so that all of it is there when the end begins
  keeper.send_raw(std::as_bytes(std::span("junk")));
  for (int i = 0; i < 5; ++i) keeper.send_raw(claims("late", 1));
  keeper.signal_keeper(SIGCONT);
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  EXPECT_TRUE(keeper.audit_has_now(R"("rule":"gate.misconduct")"));
  EXPECT_FALSE(keeper.audit_has_now(R"("rule":"late")"));
}

TEST(LastWords, OfARelayThatBrokeTheProtocolAreNotHeard) {
  KeeperUnderTest::Options options;
  options.profile += "[[forward]]\nlisten = \"unix:/run/sallyport/up.sock\"\nto = \"127.0.0.1:6379\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  ASSERT_TRUE(send_datagram(keeper.relay(), encode_message(relay::ToKeeper(relay::Connect{1, 0}))));
  ASSERT_TRUE(keeper.spawner_saw("dial"));
  const UniqueFd upstream = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  keeper.tell_keeper_of_dial({*SessionId::parse(keeper.session()), 1, 0}, upstream.get());
  ASSERT_TRUE(receive_within(keeper.relay(), 2000)) << "it is connected";
  keeper.signal_keeper(SIGSTOP);
  ASSERT_TRUE(send_datagram(keeper.relay(), std::as_bytes(std::span("junk"))));
  ASSERT_TRUE(send_datagram(keeper.relay(), encode_message(relay::ToKeeper(relay::Closed{1, 17, 4}))));
  keeper.signal_keeper(SIGCONT);
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  EXPECT_TRUE(keeper.audit_has_now(R"("rule":"relay.misconduct")"));
  EXPECT_FALSE(keeper.audit_has_now("17 bytes up"));
  EXPECT_TRUE(keeper.audit_has_now("byte counts of forwards are missing"));
}

}  // namespace
}  // namespace sallyport::testing_support
