// What a relay may ask for: a forward of its profile, by a number that is free, recorded before it is dialed. One that
// asks for more is ended with its session.
#include <fcntl.h>

#include "broker/protocol/relay_messages.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

namespace relay = protocol::relay;

KeeperUnderTest::Options with_a_forward() {
  KeeperUnderTest::Options options;
  options.profile += "[[forward]]\nlisten = \"unix:/run/sallyport/up.sock\"\nto = \"127.0.0.1:6379\"\n";
  return options;
}

void tell(const KeeperUnderTest& keeper, const relay::ToKeeper& message, std::span<const int> fds = {}) {
  ASSERT_TRUE(eventually([&] { return send_datagram(keeper.relay(), encode_message(message), fds).has_value(); }));
}

std::optional<relay::FromKeeper> answer(const KeeperUnderTest& keeper, int milliseconds = 2000) {
  const auto received = receive_within(keeper.relay(), milliseconds);
  if (!received || received->bytes.empty()) return {};
  return *decode_message<relay::FromKeeper>(received->bytes);
}

UniqueFd upstream() { return UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

void connect(KeeperUnderTest& keeper, std::uint32_t connection) {
  const auto dials = [&] { return std::ranges::count(keeper.spawner_events(), "dial"); };
  const auto before = dials();
  tell(keeper, relay::Connect{connection, 0});
  ASSERT_TRUE(eventually([&] { return dials() > before; }));
  keeper.tell_keeper_of_dial({*SessionId::parse(keeper.session()), connection, 0}, upstream().get());
  const auto connected = answer(keeper);
  ASSERT_TRUE(connected && std::holds_alternative<relay::Connected>(*connected));
}

struct Misconduct {
  const char* sentence;
  std::function<void(KeeperUnderTest&)> act;
  const char* words;
};
class HostileRelay : public testing::TestWithParam<Misconduct> {};
TEST_P(HostileRelay, IsEndedWithItsSessionAndNothingIsDialed) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  connect(keeper, 1);
  const auto dials = std::ranges::count(keeper.spawner_events(), "dial");
  GetParam().act(keeper);
  EXPECT_TRUE(keeper.spawner_saw("kill")) << GetParam().sentence;
  EXPECT_TRUE(keeper.audit_has(R"("rule":"relay.misconduct")")) << GetParam().sentence;
  EXPECT_TRUE(keeper.audit_has(GetParam().words)) << GetParam().sentence;
  EXPECT_EQ(std::ranges::count(keeper.spawner_events(), "dial"), dials) << GetParam().sentence;
  EXPECT_TRUE(keeper.is_alive());
}
INSTANTIATE_TEST_SUITE_P(
    Messages, HostileRelay,
    testing::Values(
        Misconduct{"the forward behind the last", [](auto& keeper) { tell(keeper, relay::Connect{2, 1}); },
                   "a forward that the profile does not have"},
        Misconduct{"the highest forward", [](auto& keeper) { tell(keeper, relay::Connect{2, 255}); },
                   "a forward that the profile does not have"},
        Misconduct{"a number that is open", [](auto& keeper) { tell(keeper, relay::Connect{1, 0}); },
                   "a connection number in use"},
        Misconduct{"the close of what is not open", [](auto& keeper) { tell(keeper, relay::Closed{2, 1, 1}); },
                   "it closed a connection that is not open"},
        Misconduct{"two closes",
                   [](auto& keeper) {
                     tell(keeper, relay::Closed{1, 1, 1});
                     tell(keeper, relay::Closed{1, 1, 1});
                   },
                   "it closed a connection that is not open"},
        Misconduct{"a descriptor",
                   [](auto& keeper) {
                     const UniqueFd null = UniqueFd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
                     const int fds[] = {null.get()};
                     tell(keeper, relay::Connect{2, 0}, fds);
                   },
                   "it sent descriptors"},
        Misconduct{"what is no message",
                   [](auto& keeper) { (void)send_datagram(keeper.relay(), std::as_bytes(std::span("junk"))); },
                   "the relay: "}));

TEST(Relay, ThatClosesWhatIsStillBeingDialedIsEnded) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  tell(keeper, relay::Connect{1, 0});
  ASSERT_TRUE(keeper.spawner_saw("dial"));
  tell(keeper, relay::Closed{1, 9, 9});
  EXPECT_TRUE(keeper.audit_has("it closed a connection that is not open"));
}

TEST(Forward, IsInTheTrailBeforeItIsDialedAndItsBytesWhenItHasClosed) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  connect(keeper, 1);
  const auto events = keeper.spawner_events();
  const auto dial = std::ranges::find(events, "dial");
  ASSERT_NE(dial, events.end());
  EXPECT_EQ(std::ranges::count(events, "dial with 1 forwards recorded"), 1);
  EXPECT_EQ(std::ranges::count(events, "dial 127.0.0.1:6379 with the group -1"), 1);
  tell(keeper, relay::Closed{1, 17, 4});
  EXPECT_TRUE(keeper.audit_has("17 bytes up, 4 bytes down"));
}

// The bound is of those that are open: what has closed, or was never reached, is not among them.
TEST(Forward, ThatHasClosedGivesItsPlaceBack) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::uint32_t connection = 1; connection < limits::kMaxForwardConnections; ++connection)
    tell(keeper, relay::Connect{1000 + connection, 0});  // their dials hang
  const auto dials = [&] { return static_cast<std::size_t>(std::ranges::count(keeper.spawner_events(), "dial")); };
  ASSERT_TRUE(eventually([&] { return dials() == limits::kMaxForwardConnections - 1; }));
  for (int round = 0; round < 5; ++round) {
    connect(keeper, 7);
    tell(keeper, relay::Closed{7, 0, 0});
  }
  keeper.let_dials_end_with(ECONNREFUSED);
  for (int round = 0; round < 5; ++round) {
    tell(keeper, relay::Connect{7, 0});
    const auto refused = answer(keeper);
    ASSERT_TRUE(refused && std::holds_alternative<relay::Unreachable>(*refused));
  }
  EXPECT_FALSE(keeper.audit_has_now(R"("rule":"forward.connections")"));
}

TEST(Forward, WhoseDialEndsAfterTheSessionIsNotHandedOn) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  tell(keeper, relay::Connect{1, 0});
  ASSERT_TRUE(keeper.spawner_saw("dial"));
  keeper.hold_kills(true);
  keeper.close_gate();
  const auto end = receive_within(keeper.relay(), 2000);
  ASSERT_TRUE(end && end->bytes.empty()) << "the end of the keeper's direction";
  keeper.tell_keeper_of_dial({*SessionId::parse(keeper.session()), 1, 0}, upstream().get());
  const auto nothing = receive_within(keeper.relay(), 200);
  EXPECT_TRUE(!nothing || (nothing->bytes.empty() && nothing->fds.empty()));
  keeper.hold_kills(false);
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  EXPECT_TRUE(keeper.is_alive());
}

// The spawner is trusted, and yet an answer without its descriptor, or a second one, connects nothing.
TEST(Forward, WhoseDialComesWithoutADescriptorOrTwiceIsNoConnection) {
  KeeperUnderTest keeper(with_a_forward());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  tell(keeper, relay::Connect{1, 0});
  ASSERT_TRUE(keeper.spawner_saw("dial"));
  keeper.tell_keeper(protocol::spawner::DialDone{*SessionId::parse(keeper.session()), 1, 0});
  const auto refused = answer(keeper);
  ASSERT_TRUE(refused && std::holds_alternative<relay::Unreachable>(*refused));
  connect(keeper, 2);
  keeper.tell_keeper_of_dial({*SessionId::parse(keeper.session()), 2, 0}, upstream().get());
  EXPECT_FALSE(answer(keeper, 200)) << "it is connected already";
}

TEST(Forward, IsDialedWithTheGroupOfItsOwnSection) {
  KeeperUnderTest::Options options = with_a_forward();
  options.profile += "[[forward]]\nlisten = \"unix:/run/sallyport/a.sock\"\nto = \"unix:/run/a.sock\"\n";
  options.profile += "group = \"4711\"\n";
  options.profile += "[[forward]]\nlisten = \"unix:/run/sallyport/b.sock\"\nto = \"unix:/run/b.sock\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::uint8_t forward = 0; forward < 3; ++forward) tell(keeper, relay::Connect{1U + forward, forward});
  EXPECT_TRUE(keeper.spawner_saw("dial 127.0.0.1:6379 with the group -1"));
  EXPECT_TRUE(keeper.spawner_saw("dial /run/a.sock with the group 4711"));
  EXPECT_TRUE(keeper.spawner_saw("dial /run/b.sock with the group -1"));
}

}  // namespace
}  // namespace sallyport::testing_support
