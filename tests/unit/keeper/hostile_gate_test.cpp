// From the seat of an attacker who has taken over a gate: every message that breaks the protocol ends its session, with
// the reason recorded; the keeper lives on and serves the next session.
#include <fcntl.h>

#include "broker/protocol/permits.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}
std::vector<std::byte> valid() { return encode_message(protocol::RequestEnvelope{1, protocol::ListContainers{true}}); }
std::vector<std::byte> changed(std::size_t at, unsigned char to) {
  auto bytes = valid();
  bytes[at] = std::byte{to};
  return bytes;
}
std::vector<std::byte> with_more() {
  auto bytes = valid();
  bytes.push_back(std::byte{0});
  return bytes;
}
template <class T>
std::vector<std::byte> forged(T message) {
  return encode_message(protocol::RequestEnvelope{1, protocol::Request(std::move(message))});
}
std::vector<std::byte> name_of(std::string_view name) {  // StartContainer with a name that no parse would give
  Writer writer;
  codec::encode(writer, std::uint32_t{1});
  codec::encode(writer, std::uint8_t{1});
  codec::encode(writer, Text<4096>(name));
  return writer.take();
}

struct Attack {
  const char* sentence;
  std::vector<std::byte> bytes;
};
class HostileGate : public testing::TestWithParam<Attack> {};
TEST_P(HostileGate, IsEndedWithItsSessionAndTheKeeperLives) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.send_raw(GetParam().bytes);
  EXPECT_TRUE(keeper.spawner_saw("kill")) << GetParam().sentence;
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  EXPECT_TRUE(keeper.audit_has(R"("event":"session-end")"));
  EXPECT_TRUE(keeper.audit_has("gate.misconduct"));
  EXPECT_TRUE(keeper.is_alive());
  EXPECT_TRUE(keeper.open()) << "the next session is served";
  EXPECT_FALSE(keeper.dockerd().saw("POST"));
}
std::vector<std::byte> too_long_argument() {
  protocol::GateClaim claim;
  claim.method = std::string(17, 'x');
  return forged(claim);
}
std::vector<std::byte> too_many_labels() {
  protocol::CreateContainer create;
  create.image = *ImageRef::parse("docker.io/library/busybox:latest");
  create.labels.items.resize(limits::kMaxLabels + 1);
  return forged(create);
}
std::vector<std::byte> enumerator_out_of_range() {
  auto bytes = forged(protocol::WaitContainer{*ContainerName::parse("db"), protocol::WaitCondition::NotRunning});
  bytes.back() = std::byte{3};
  return bytes;
}
std::vector<std::byte> forged_count() {
  Writer writer;
  codec::encode(writer, std::uint32_t{1});
  codec::encode(writer, std::uint8_t{0});  // CreateContainer
  codec::encode(writer, false);            // no name
  codec::encode(writer, Text<512>("busybox"));
  codec::encode(writer, true);
  codec::encode(writer, std::uint32_t{1000});  // a thousand arguments, and none follows
  return writer.take();
}
INSTANTIATE_TEST_SUITE_P(
    Messages, HostileGate,
    testing::Values(
        Attack{"text that is no message", bytes_of("GET /containers/json HTTP/1.1\r\n\r\n")},
        Attack{"one byte", bytes_of("x")}, Attack{"a cut message", bytes_of(std::string_view("\1\0\0\0\0", 5))},
        Attack{"bytes after the message", with_more()}, Attack{"an unknown kind", changed(4, 13)},
        Attack{"the highest kind", changed(4, 255)}, Attack{"a truth value that is neither 0 nor 1", changed(5, 2)},
        Attack{"a name with a slash", name_of("../../images/json")},
        Attack{"a name with a line break", name_of("x HTTP/1.1\r\nHost: x\r\n\r\n")},
        Attack{"an empty name", name_of("")}, Attack{"a name that is too long", name_of(std::string(129, 'a'))},
        Attack{"a text longer than its field", too_long_argument()},
        Attack{"a list longer than its field", too_many_labels()},
        Attack{"an enumerator out of range", enumerator_out_of_range()}, Attack{"a forged count", forged_count()},
        Attack{"a datagram larger than any message", std::vector<std::byte>(limits::kMaxMessageBytes + 1)},
        Attack{"a datagram of zeros", std::vector<std::byte>(limits::kMaxMessageBytes)}));

TEST(HostileGateDescriptors, AreRefusedWhateverTheMessageIs) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const UniqueFd null = UniqueFd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fds[] = {null.get()};
  keeper.send_raw(valid(), fds);
  EXPECT_TRUE(keeper.audit_has("it sent descriptors"));
  EXPECT_TRUE(keeper.spawner_saw("kill"));
}

FakeDockerd::Answer never_answers(const std::string&) { return {.never = true}; }  // so that all stay in flight

TEST(HostileGatePermits, EndAGateThatUsesAnIdTwice) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(never_answers);
  keeper.send(1, protocol::ListContainers{});
  keeper.send(1, protocol::ListContainers{});
  EXPECT_TRUE(keeper.audit_has("a request id that is in flight"));
}

std::vector<std::byte> together(std::initializer_list<std::vector<std::byte>> messages) {
  std::vector<std::byte> bytes;
  for (const auto& message : messages) bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}
std::vector<std::byte> list_request(protocol::RequestId id) {
  return encode_message(protocol::RequestEnvelope{id, protocol::ListContainers{true}});
}

TEST(HostileGateDatagram, OfSeveralGoodRequestsIsAnsweredWhole) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.send_raw(together({list_request(1), list_request(2), list_request(3)}));
  for (protocol::RequestId id = 1; id <= 3; ++id) EXPECT_TRUE(keeper.reply(id)) << id;
}

TEST(HostileGateDatagram, OfMoreThanAMessageIsNamedInTheTrailAndInTheLog) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.send_raw(std::vector<std::byte>(limits::kMaxMessageBytes + 1));
  EXPECT_TRUE(keeper.audit_has(
      R"("rule":"gate.misconduct","reason":"the gate's channel: receive a message: larger than this protocol allows)"));
  EXPECT_TRUE(eventually([&] {
    return keeper.log().contains("ends: the gate's channel: receive a message: larger than this protocol allows");
  }));
}

TEST(HostileGateDatagram, IsJudgedToItsEnd) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.send_raw(together({list_request(1), list_request(2), bytes_of("junk")}));
  EXPECT_TRUE(keeper.audit_has("gate.misconduct"));
  EXPECT_TRUE(keeper.spawner_saw("kill"));
}

TEST(HostileGateDatagram, EndsAGateThatUsesAnIdTwiceInIt) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(never_answers);
  keeper.send_raw(together({list_request(1), list_request(1)}));
  EXPECT_TRUE(keeper.audit_has("a request id that is in flight"));
}

TEST(HostileGateDatagram, HoldsNoMoreRequestsThanTheirPermit) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(never_answers);
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i <= protocol::kPermit<protocol::ListContainers>.in_flight_at_most; ++i) {
    const auto one = list_request(static_cast<protocol::RequestId>(i + 1));
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  keeper.send_raw(bytes);
  EXPECT_TRUE(keeper.audit_has("more requests in flight than its permit"));
  EXPECT_TRUE(keeper.spawner_saw("kill"));
}

TEST(HostileGatePermits, AllowSoManyInFlightAndEndTheGateAtOneMore) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(never_answers);
  const std::size_t most = protocol::kPermit<protocol::CreateContainer>.in_flight_at_most;
  for (std::size_t i = 0; i < most; ++i) keeper.send(static_cast<protocol::RequestId>(i + 1), keeper.create_request());
  EXPECT_FALSE(keeper.spawner_saw("kill", 300)) << "so many are allowed";
  keeper.send(900, keeper.create_request());
  EXPECT_TRUE(keeper.audit_has("more requests in flight than its permit"));
  EXPECT_TRUE(keeper.spawner_saw("kill"));
}

TEST(HostileGatePermits, LetACancelCrossItsEnd) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  for (protocol::RequestId id = 1; id < 200; ++id) keeper.send(id, protocol::CancelRequest{id + 5});
  EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{true})));
}

// Beyond their rate each is read a moment later than the last, and the channel is full meanwhile: the gate itself
// waits.
TEST(HostileGateFlood, OfAnswerlessMessagesIsHeldBackAndHurtsNoNeighbour) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const auto one = encode_message(protocol::RequestEnvelope{1, protocol::CancelRequest{9}});
  const auto take = [&] { return static_cast<bool>(send_datagram(keeper.gate(), one)); };
  Writer many;
  for (int i = 0; i < 4000; ++i) codec::encode(many, protocol::RequestEnvelope{1, protocol::CancelRequest{9}});
  for (std::uint32_t sent = 0; sent < limits::kMaxUntoldPerMinute; sent += 4000) keeper.send_raw(many.bytes());
  keeper.send_raw(many.bytes());  // all beyond the rate, but for what has been refilled meanwhile
  const auto before = std::chrono::steady_clock::now();
  std::size_t taken = 0;
  while (std::chrono::steady_clock::now() - before < std::chrono::seconds(1)) {
    if (take()) ++taken;
    else std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(take()) << "the channel is full";
  EXPECT_LT(taken, 1000U) << "as many as the channel holds";
  const UniqueFd control = keeper.take_control();
  const UniqueFd flooding = keeper.take_gate();
  EXPECT_TRUE(keeper.open());
  EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{true})));
  EXPECT_FALSE(send_datagram(flooding.get(), one)) << "and still is";
}

TEST(HostileGate, HasNoSignalSentThatIsNone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const ContainerName db = *ContainerName::parse("db");
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  for (const std::uint8_t signal : {0, 32, 33, 65, 255})
    EXPECT_EQ(keeper.expect<protocol::Failed>(protocol::KillContainer{db, signal}).http_status, 400) << +signal;
  EXPECT_EQ(keeper.dockerd().times("POST /v1.41/containers/" + FakeDockerd::id('c') + "/kill"), 0U);
  for (const std::uint8_t signal : {1, 31, 34, 64})
    keeper.expect<protocol::Succeeded>(protocol::KillContainer{db, signal});
}

TEST(HostileGate, HasNoDetachKeysSentThatAreNotPrintable) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  for (const std::string keys : {"a\r\nHost: x", "\x01", "\x7f", "\xff", "a b\t"}) {
    protocol::AttachContainer attach{*ContainerName::parse("db"), false, false};
    attach.detach_keys = keys;
    EXPECT_EQ(keeper.expect<protocol::Failed>(attach).http_status, 400);
  }
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/" + FakeDockerd::id('c') + "/attach"));
}

// Only what waits can be called back: everything else is under way, and its answer is needed.
TEST(HostileGate, CancelsNoRequestThatChanges) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& asked) {
    const bool slow =
        asked.starts_with("POST ") || asked.starts_with("DELETE ") || asked.find("/images/") != std::string::npos;
    if (!slow || asked.find("/create") != std::string::npos) return FakeDockerd::Answer{};
    const bool image = asked.starts_with("GET ");
    return FakeDockerd::Answer{.bytes = image ? FakeDockerd::reply(200, FakeDockerd::image(R"("Cmd":["sh"])"))
                                              : "HTTP/1.1 204 No Content\r\n\r\n",
                               .delay_milliseconds = 100};
  });
  const ContainerName db = *ContainerName::parse("db");
  const std::vector<protocol::Request> requests = {
      keeper.create_request("d2"),    protocol::StartContainer{db},        protocol::KillContainer{db, 9},
      protocol::StopContainer{db, 1}, protocol::ResizeContainer{db, 9, 9}, protocol::RemoveContainer{db, true}};
  protocol::RequestId id = 0;
  for (const protocol::Request& request : requests) {
    keeper.send(++id, request);
    keeper.send(500, protocol::CancelRequest{id});
    const auto answer = keeper.reply(id);
    ASSERT_TRUE(answer) << id;
    EXPECT_FALSE(std::holds_alternative<protocol::Failed>(answer->reply)) << "kind " << request.index();
  }
}

TEST(HostileGate, CancelsTheStreamThatItNamesAndNoOther) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& asked) {
    if (asked.find("/logs?") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
  });
  for (protocol::RequestId id = 1; id <= 3; ++id) {
    keeper.send(id, protocol::ReadLogs{.container = *ContainerName::parse("db"), .follow = true});
    ASSERT_TRUE(keeper.reply(id));
  }
  auto streams = keeper.take_fds();
  ASSERT_EQ(streams.size(), 3U);
  keeper.send(500, protocol::CancelRequest{2});
  char byte;
  EXPECT_TRUE(eventually([&] { return ::recv(streams[1].get(), &byte, 1, MSG_DONTWAIT) == 0; }));
  for (const std::size_t other : {0U, 2U}) {
    EXPECT_EQ(::recv(streams[other].get(), &byte, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
}

}  // namespace
}  // namespace sallyport::testing_support
