// A trail that cannot be written: whatever is asked for, nothing is granted, and dockerd and the spawner hear of
// nothing.
#include "broker/protocol/relay_messages.hpp"
#include "each_request.hpp"

namespace sallyport::testing_support {
namespace {

namespace relay = protocol::relay;
using protocol::Failed;

const std::string kForward = R"([[forward]]
listen = "unix:/run/sallyport/up.sock"
to = "127.0.0.1:6379"
)";

TEST(TrailThatCannotBeWritten, GrantsNoRequestOfAnyKindAndDockerdHearsOfNone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::size_t before = times_dockerd_was_asked(keeper);
  keeper.let_files_grow(false);
  std::size_t asked = 0;
  for_each_answered(keeper, [&](const protocol::Request& request) {
    ++asked;
    const auto failed = keeper.expect<Failed>(request);
    EXPECT_EQ(failed.http_status, 503) << "kind " << request.index();
    EXPECT_THAT(failed.message.value, testing::HasSubstr("the audit trail cannot be written")) << request.index();
    EXPECT_EQ(times_dockerd_was_asked(keeper), before) << "kind " << request.index();
  });
  EXPECT_EQ(asked, kAnsweredKinds);
  keeper.let_files_grow(true);
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{*ContainerName::parse("db")});
  EXPECT_EQ(times_dockerd_was_asked(keeper), before + 1) << "and all goes on by itself";
}

TEST(TrailThatCannotBeWritten, CountsWhatItCouldNotTakeAndSaysSoWhenItCan) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.let_files_grow(false);
  for (int i = 0; i < 5; ++i) keeper.expect<Failed>(protocol::ListContainers{true});
  protocol::GateClaim claim;
  claim.method = "POST";
  claim.repeated = 7;
  keeper.send(1, claim);
  keeper.expect<Failed>(protocol::ListContainers{true});  // after the claim
  keeper.let_files_grow(true);
  keeper.close_control();
  EXPECT_TRUE(keeper.audit_has(R"("rule":"audit.unwritten")"));
  EXPECT_TRUE(keeper.audit_has(R"("count":13})"));
}

TEST(TrailThatCannotBeWritten, CountsTheEndingAndWhatTheGateHadNotDescribedOfASessionThatEndsThen) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.tally()->denied = 4000;
  keeper.tally()->allowed = 20;
  keeper.let_files_grow(false);
  keeper.close_control();
  keeper.close_gate();
  ASSERT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); }));
  EXPECT_FALSE(keeper.audit_has(R"("event":"session-end")"));
  keeper.let_files_grow(true);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_TRUE(keeper.audit_has(R"("rule":"audit.unwritten")")) << "with the next record of the profile";
  EXPECT_TRUE(keeper.audit_has(R"("count":4021})")) << "the ending is one of them";
}

TEST(TrailThatCannotBeWritten, CountsWhatAnEarlierBrokerLeftAndIsReapedThen) {
  KeeperUnderTest keeper(after_a_broker_that_left(""));
  keeper.let_cgroups_stay(1'000'000);
  keeper.start();
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.let_files_grow(false);
  keeper.let_cgroups_stay(0);
  ASSERT_TRUE(eventually([&] { return keeper.ledger_of(kLeftSession).empty(); }));
  EXPECT_FALSE(keeper.audit_has(R"("event":"reap")"));
  keeper.let_files_grow(true);
  (void)keeper.ask(protocol::ListContainers{true});
  EXPECT_TRUE(keeper.audit_has(R"("rule":"audit.unwritten")"));
}

TEST(TrailThatCannotBeWritten, OpensNoSession) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.close_control();
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  const std::size_t before = keeper.spawner_events().size();
  keeper.let_files_grow(false);
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("write the audit trail"));
  EXPECT_EQ(keeper.spawner_events().size(), before) << "and no process was started";
  keeper.let_files_grow(true);
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
}

std::optional<relay::FromKeeper> answer_to_connect(const KeeperUnderTest& keeper, std::uint32_t number) {
  (void)send_datagram(keeper.relay(), encode_message(relay::ToKeeper(relay::Connect{number, 0})));
  const auto received = receive_within(keeper.relay(), 300);
  if (!received || received->bytes.empty()) return {};
  return *decode_message<relay::FromKeeper>(received->bytes);
}

TEST(TrailThatCannotBeWritten, ConnectsNoForward) {
  KeeperUnderTest::Options options;
  options.profile += kForward;
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.let_files_grow(false);
  const auto answer = answer_to_connect(keeper, 1);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(std::holds_alternative<relay::Unreachable>(*answer));
  EXPECT_FALSE(keeper.spawner_saw("dial", 200));
  keeper.let_files_grow(true);
  EXPECT_FALSE(answer_to_connect(keeper, 2)) << "the dialer has it";
  EXPECT_TRUE(keeper.spawner_saw("dial"));
}

// --- counted where it can be killed, and told ---

protocol::GateClaim refused_create(std::uint32_t repeated) {
  protocol::GateClaim claim;
  claim.http_status = 403;
  claim.method = "POST";
  claim.endpoint = "/containers/create";
  claim.rule = "HostConfig.Privileged";
  claim.repeated = repeated;
  return claim;
}

TEST(LastWords, OfAGateAreHeardAfterTheEndHasBegun) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.tally()->denied = 5;
  keeper.close_control();
  const auto end = receive_within(keeper.gate(), 2000);
  ASSERT_TRUE(end && end->bytes.empty()) << "it hears the end of the keeper's direction";
  keeper.send(1, refused_create(5));
  keeper.close_gate();
  EXPECT_TRUE(keeper.audit_has(R"("rule":"HostConfig.Privileged","reason":"","count":5})"));
  EXPECT_TRUE(keeper.audit_has(R"("reason":"the launcher closed its connection","count":1})")) << "nothing is missing";
}

TEST(LastWords, OfARequestAreNotActedUpon) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.close_control();
  ASSERT_TRUE(receive_within(keeper.gate(), 2000));
  keeper.send(1, keeper.create_request("late"));
  keeper.close_gate();
  EXPECT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/create"));
}

TEST(LastWords, OfAGateThatDiesBeforeItHasSaidThemAreCountedAllTheSame) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.tally()->denied = 4000;
  keeper.tally()->allowed = 2;
  keeper.send(1, refused_create(1));
  keeper.close_gate();
  EXPECT_TRUE(keeper.audit_has(R"("decision":"DENY","source":"gate")"));
  EXPECT_TRUE(keeper.audit_has(R"("count":3999})"));
  EXPECT_TRUE(keeper.audit_has("4001 answers of its gate are counted, what they were is missing"));
}

TEST(LastWords, AreWaitedForOnlySoLong) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const auto before = std::chrono::steady_clock::now();
  keeper.close_control();  // and the gate neither speaks nor closes
  EXPECT_TRUE(keeper.spawner_saw("kill"));
  EXPECT_LT(std::chrono::steady_clock::now() - before, limits::kLastWordsWithin + std::chrono::seconds(1));
}

// A gate that has been taken over speaks on for as long as it is listened to.
TEST(LastWords, AreHeardToSoManyBytesAndNoFurther) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.close_control();
  ASSERT_TRUE(receive_within(keeper.gate(), 2000));
  protocol::GateClaim claim = refused_create(1);
  claim.reason = std::string(limits::kMaxReasonBytes, 'x');
  const auto bytes = encode_message(protocol::RequestEnvelope{1, claim});
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Result<> sent;
  while (std::chrono::steady_clock::now() < give_up) {
    sent = send_datagram(keeper.gate(), bytes);
    if (!sent && sent.error().code != EAGAIN) break;
  }
  EXPECT_FALSE(sent) << "the keeper has closed the channel";
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  const auto lines = keeper.audit();
  const auto heard = static_cast<std::size_t>(std::ranges::count_if(
      lines, [](const std::string& line) { return line.find("HostConfig.Privileged") != std::string::npos; }));
  EXPECT_GT(heard, 0U);
  // Beside the one that was under way at the end, and the one that crosses the bound.
  EXPECT_LE(heard, limits::kMaxLastWordsBytes / bytes.size() + 2);
}

TEST(LastWords, AreHeardInTurnsSoThatANeighbourNeedNotWaitForAllOfThem) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const UniqueFd control = keeper.take_control();
  const UniqueFd neighbour = keeper.take_gate();
  ASSERT_TRUE(keeper.open());
  keeper.close_control();
  ASSERT_TRUE(receive_within(keeper.gate(), 2000)) << "the end of the keeper's direction";
  keeper.signal_keeper(SIGSTOP);  // so that both are there, this one first
  std::vector<std::byte> flood;
  protocol::GateClaim claim;
  claim.method = "POST";
  claim.rule = "flood";
  // As many as are heard well within kLastWordsWithin on a machine that is slow, too.
  constexpr int kFlood = 500;
  for (int i = 0; i < kFlood; ++i)
    std::ranges::copy(encode_message(protocol::RequestEnvelope{1, claim}), std::back_inserter(flood));
  ASSERT_LT(flood.size(), limits::kMaxMessageBytes);
  ASSERT_TRUE(send_datagram(keeper.gate(), flood));
  claim.rule = "neighbour";
  ASSERT_TRUE(send_datagram(neighbour.get(), encode_message(protocol::RequestEnvelope{1, claim})));
  keeper.signal_keeper(SIGCONT);
  ASSERT_TRUE(keeper.audit_has(R"("rule":"neighbour")"));
  const auto lines = keeper.audit();
  const auto is_of = [](const char* rule) {
    return [part = "\"rule\":\"" + std::string(rule)](const std::string& line) { return line.contains(part); };
  };
  const auto before = std::ranges::find_if(lines, is_of("neighbour"));
  EXPECT_LE(std::count_if(lines.begin(), before, is_of("flood")), 200);
  EXPECT_TRUE(eventually([&] { return std::ranges::count_if(keeper.audit(), is_of("flood")) == kFlood; }))
      << "and all of them are heard";
}

TEST(LastWords, OfARelayAreTheBytesOfItsConnections) {
  for (const bool tells : {true, false}) {
    KeeperUnderTest::Options options;
    options.profile += kForward;
    KeeperUnderTest keeper(options);
    ASSERT_TRUE(keeper.open());
    EXPECT_FALSE(answer_to_connect(keeper, 1));
    const UniqueFd upstream = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    keeper.tell_keeper_of_dial({*SessionId::parse(keeper.session()), 1, 0}, upstream.get());
    ASSERT_TRUE(receive_within(keeper.relay(), 2000));
    keeper.close_control();
    ASSERT_TRUE(receive_within(keeper.relay(), 2000)) << "the end of the keeper's direction";
    if (tells) (void)send_datagram(keeper.relay(), encode_message(relay::ToKeeper(relay::Closed{1, 17, 4})));
    EXPECT_TRUE(keeper.audit_has(tells ? "17 bytes up, 4 bytes down" : "byte counts of forwards are missing"));
  }
}

TEST(LastWords, StandForNoMoreThanAClaimCan) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.tally()->denied = std::numeric_limits<std::uint64_t>::max();
  keeper.tally()->allowed = std::numeric_limits<std::uint64_t>::max() - 1;
  keeper.close_gate();
  ASSERT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  const auto records = keeper.audit();
  EXPECT_EQ(std::ranges::count_if(records,
                                  [](const std::string& line) {
                                    return line.contains("gate.undescribed") && line.ends_with("\"count\":4294967295}");
                                  }),
            2);
  EXPECT_TRUE(keeper.audit_has_now("; 8589934590 answers of its gate are counted"));
}

}  // namespace
}  // namespace sallyport::testing_support
