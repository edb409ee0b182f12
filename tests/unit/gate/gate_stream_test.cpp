// Streams and lasting answers through the real gate: attach, logs, wait.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "gate_harness.hpp"

namespace sallyport::test {
namespace {

using protocol::Request;

struct Pair {
  UniqueFd ours;
  UniqueFd theirs;
};
Pair stream_pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
}

std::vector<KeeperReply> silent(protocol::RequestId, const Request&) { return {}; }

std::string head_of(const UniqueFd& client) {
  return read_until(client, [](const std::string& bytes) { return bytes.find("\r\n\r\n") != std::string::npos; });
}

constexpr std::string_view kUpgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
std::string attach(std::string_view headers) {
  return "POST /v1.41/containers/job/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n" +
         std::string(headers) + "\r\n";
}

// Opens an attach; `raw` becomes dockerd's end of the stream.
void open_attach(GateHarness& gate, const UniqueFd& client, std::string_view request, UniqueFd& raw,
                 std::string early = {}) {
  send_all(client, request);
  ASSERT_TRUE(gate.wait_for_requests(1));
  Pair pair = stream_pair();
  raw = std::move(pair.ours);
  KeeperReply reply{protocol::Hijacked{false, early}, {}};
  reply.fds.push_back(std::move(pair.theirs));
  gate.reply(gate.requests()[0].id, std::move(reply));
}

TEST(GateAttach, SwitchesProtocolsWhereTheClientAsksForIt) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd raw;
  open_attach(gate, client, attach(kUpgrade), raw, "read past the head");
  const std::string answer =
      read_until(client, [](const std::string& bytes) { return bytes.ends_with("past the head"); });
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 UPGRADED\r\n"));
  EXPECT_NE(answer.find("Content-Type: application/vnd.docker.raw-stream\r\n"), std::string::npos);
  send_all(raw, "output");
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.size() == 6; }), "output");
}

TEST(GateAttach, AnswersA200RawStreamWithoutUpgradeHeaders) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd raw;
  open_attach(gate, client, attach(""), raw);
  const std::string answer = head_of(client);
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(answer.find("Content-Length"), std::string::npos);
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
}

TEST(GateAttach, SendsEarlyInputFirstAndCarriesHalfCloseBothWays) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd raw;
  open_attach(gate, client, attach(kUpgrade) + "EARLY\n", raw);
  (void)head_of(client);
  send_all(client, "LATE\n");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(raw), "EARLY\nLATE\n");  // the end of input has reached the container
  send_all(raw, "still running");
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.size() == 13; }), "still running");
  ::shutdown(raw.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(client), "");
}

// To a container that does not run: the client has its head at once, and starts it then.
TEST(GateAttach, ThatIsRegisteredAnswersAtOnceAndCarriesWhatCameEarlyWhenTheStreamFollows) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  send_all(client, attach(kUpgrade) + "EARLY");
  ASSERT_TRUE(gate.wait_for_requests(1));
  const protocol::RequestId id = gate.requests()[0].id;
  gate.reply(id, KeeperReply{protocol::Registered{}, {}});
  EXPECT_TRUE(head_of(client).starts_with("HTTP/1.1 101 UPGRADED\r\n"));
  const std::string more(100'000, 'x');  // more than is held of input before an answer: it stays in the socket
  std::thread sender([&] {
    send_all(client, more);
    ::shutdown(client.get(), SHUT_WR);  // the end of its input, and not of the client
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(gate.requests().size(), 1U) << "it is there still";
  Pair pair = stream_pair();
  KeeperReply follows{protocol::Hijacked{false, "said"}, {}};
  follows.fds.push_back(std::move(pair.theirs));
  gate.reply(id, std::move(follows));
  EXPECT_EQ(read_to_end(pair.ours), "EARLY" + more);
  sender.join();
  send_all(pair.ours, " more");
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.size() == 9; }), "said more");
}

TEST(GateAttach, ThatIsRegisteredIsCancelledWhenTheClientGoes) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  send_all(client, attach(kUpgrade) + "EARLY");
  ASSERT_TRUE(gate.wait_for_requests(1));
  const protocol::RequestId id = gate.requests()[0].id;
  gate.reply(id, KeeperReply{protocol::Registered{}, {}});
  (void)head_of(client);
  ::shutdown(client.get(), SHUT_WR);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(gate.requests().size(), 1U);
  client.reset();
  ASSERT_TRUE(gate.wait_for_requests(2));
  EXPECT_EQ(std::get<protocol::CancelRequest>(gate.requests()[1].request).request, id);
}

TEST(GateAttach, ThatIsRegisteredEndsWhereNoStreamFollows) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  send_all(client, attach(kUpgrade));
  ASSERT_TRUE(gate.wait_for_requests(1));
  const protocol::RequestId id = gate.requests()[0].id;
  gate.reply(id, KeeperReply{protocol::Registered{}, {}});
  (void)head_of(client);
  gate.reply(id, KeeperReply{protocol::Failed{404, "gone", 0}, {}});
  EXPECT_EQ(read_to_end(client), "");
}

TEST(GateAttach, DropsTheBodyThatDockerodeSendsAndNeverGivesItToTheContainer) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  const std::string body = R"({"stream":true,"stdin":true,"hijack":true})";
  send_all(
      client,
      "POST /containers/job/attach?stream=true&stdin=true HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
          std::to_string(body.size()) + "\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  UniqueFd raw;
  open_attach(gate, client, body, raw);
  (void)head_of(client);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(raw), "");
}

TEST(GateAttach, ClosesAfterARefusalSoThatInputIsNeverReadAsARequest) {
  GateHarness gate([](protocol::RequestId, const Request&) {
    std::vector<KeeperReply> replies;
    replies.push_back({protocol::Failed{404, "No such container: job", 0}, {}});
    return replies;
  });
  const UniqueFd client = gate.connect();
  send_all(client, attach(kUpgrade) + post("/containers/create", R"({"Image":"busybox"})"));
  const std::string answer = read_to_end(client);
  EXPECT_EQ(status_of(answer), 404);
  EXPECT_EQ(answer.find("HTTP/1.1", 5), std::string::npos);
  EXPECT_EQ(gate.requests().size(), 1U);
}

TEST(GateAttach, IsRefusedOnTheLastingStream) {
  GateHarness gate(silent);
  const std::string answer = ask(gate.stream(), attach(kUpgrade));
  EXPECT_EQ(status_of(answer), 403);
  EXPECT_NE(answer.find("DOCKER_HOST"), std::string::npos);
  EXPECT_TRUE(gate.requests().empty());
}

// The keeper holds a duplicate of what it gave, so that the gate's end alone ends nothing at dockerd.
TEST(GateAttach, EndsTheStreamItselfWhenItsClientGoes) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  send_all(client, attach(kUpgrade));
  ASSERT_TRUE(gate.wait_for_requests(1));
  Pair pair = stream_pair();
  const UniqueFd duplicate = UniqueFd::adopt(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, 3));
  KeeperReply reply{protocol::Hijacked{false, {}}, {}};
  reply.fds.push_back(std::move(pair.theirs));
  gate.reply(gate.requests()[0].id, std::move(reply));
  (void)head_of(client);
  client.reset();
  EXPECT_EQ(read_to_end(pair.ours), "");
  bool is_ended = false;  // both ways: what is written there goes to nobody
  for (int i = 0; i < 1000 && !is_ended; ++i) {
    is_ended = ::send(pair.ours.get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(is_ended);
}

TEST(GateAttach, CarriesManyMegabytesUnchanged) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd raw;
  open_attach(gate, client, attach(kUpgrade), raw);
  (void)head_of(client);
  std::string sent(16 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761U >> 13U);
  std::thread writer([&] {
    send_all(raw, sent);
    ::shutdown(raw.get(), SHUT_WR);
  });
  EXPECT_TRUE(read_to_end(client) == sent);
  writer.join();
}

TEST(GateWait, FlushesItsHeadBeforeTheContainerEnds) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  send_all(client, post("/containers/job/wait?condition="));
  ASSERT_TRUE(gate.wait_for_requests(1));
  const auto id = gate.requests()[0].id;
  gate.reply(id, {protocol::Waiting{}, {}});
  EXPECT_EQ(status_of(head_of(client)), 200);
  gate.reply(id, {protocol::Exited{7, {}}, {}});
  EXPECT_NE(read_until(client, [](const std::string& bytes) { return bytes.ends_with("0\r\n\r\n"); })
                .find("\"StatusCode\":7"),
            std::string::npos);
  gate.reply(id, {protocol::Exited{8, {}}, {}});  // nobody waits for it: it is dropped
  EXPECT_EQ(status_of(ask(client, get("/_ping"))), 200);
}

TEST(GateWait, IsCancelledWhenTheClientGoes) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  send_all(client, post("/containers/job/wait"));
  ASSERT_TRUE(gate.wait_for_requests(1));
  client.reset();
  ASSERT_TRUE(gate.wait_for_requests(2));
  const auto requests = gate.requests();
  EXPECT_EQ(std::get<protocol::CancelRequest>(requests[1].request).request, requests[0].id);
}

TEST(GateWait, IsCancelledAlsoWhereTheChannelWasFullWhenTheClientWent) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  send_all(client, post("/containers/job/wait"));
  ASSERT_TRUE(gate.wait_for_requests(1));
  gate.stop_reading(true);
  const std::vector<UniqueFd> others = fill_channel(gate);
  const UniqueFd other = gate.connect();
  client.reset();
  ASSERT_EQ(status_of(ask(other, get("/_ping"))), 200);
  gate.stop_reading(false);
  ASSERT_TRUE(gate.wait_for_requests(1 + others.size()));
  // Whatever the keeper says next gives the gate the turn to say what it could not.
  const protocol::RequestId id = gate.requests()[0].id;
  gate.reply(id, {protocol::Waiting{}, {}});
  ASSERT_TRUE(gate.wait_for_requests(2 + others.size()));
  std::vector<protocol::RequestId> cancelled;
  for (const auto& one : gate.requests())
    if (const auto* cancel = std::get_if<protocol::CancelRequest>(&one.request)) cancelled.push_back(cancel->request);
  EXPECT_EQ(cancelled, std::vector<protocol::RequestId>{id});
}

std::optional<protocol::GateClaim> claim_of(GateHarness& gate, std::string_view rule) {
  for (protocol::GateClaim& claim : gate.all_claims())
    if (claim.rule.value == rule) return std::move(claim);
  return {};
}

// A client that pipelines behind a wait is served afterwards, as far as what it sends is held until then.
TEST(GateWait, IsEndedByMoreInputBehindItThanIsHeldAndTheTrailSaysSo) {
  GateHarness gate(silent);
  const auto with_behind = [&](std::size_t bytes) {
    UniqueFd client = gate.connect();
    const std::size_t before = gate.requests().size();
    send_all(client, post("/containers/job/wait"));
    EXPECT_TRUE(gate.wait_for_requests(before + 1));
    gate.reply(gate.requests().back().id, {protocol::Waiting{}, {}});
    EXPECT_EQ(status_of(head_of(client)), 200);
    const std::string begin = "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\nX: ";
    send_all(client, begin + std::string(bytes - begin.size() - 4, 'x') + "\r\n\r\n");
    return client;
  };
  const UniqueFd within = with_behind(limits::kMaxEarlyStreamBytes);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // so that all of it is read while the wait lasts
  gate.reply(gate.requests().back().id, {protocol::Exited{7, {}}, {}});
  const std::string answers = read_to_end(within);
  EXPECT_NE(answers.find("\"StatusCode\":7"), std::string::npos) << answers;
  EXPECT_TRUE(answers.ends_with("OK")) << answers;
  EXPECT_FALSE(claim_of(gate, "early-input"));
  const UniqueFd beyond = with_behind(limits::kMaxEarlyStreamBytes + 1);
  EXPECT_EQ(read_to_end(beyond), "");
  ASSERT_TRUE(gate.wait_for_claims(false, 1));
  const auto claim = claim_of(gate, "early-input");
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->endpoint.value, "/containers/{name}/wait");
  EXPECT_EQ(claim->reason.value,
            "more than 65536 bytes came behind this request before its answer had ended: no more are held, and its "
            "connection was closed");
}

TEST(GateWait, SaysWhatWentWrongAfterItsHead) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  send_all(client, post("/containers/job/wait"));
  ASSERT_TRUE(gate.wait_for_requests(1));
  const auto id = gate.requests()[0].id;
  gate.reply(id, {protocol::Waiting{}, {}});
  gate.reply(id, {protocol::Failed{503, "dockerd is gone", 0}, {}});
  const std::string answer = read_response(client);
  EXPECT_NE(answer.find(R"({"Error":{"Message":"dockerd is gone"},"StatusCode":-1})"), std::string::npos);
}

// Opens logs; `source` becomes the keeper's end.
void open_logs(GateHarness& gate, const UniqueFd& client, UniqueFd& source) {
  send_all(client, get("/containers/job/logs?stdout=1&follow=1"));
  ASSERT_TRUE(gate.wait_for_requests(1));
  Pair pair = stream_pair();
  source = std::move(pair.ours);
  KeeperReply reply{protocol::Streaming{false}, {}};
  reply.fds.push_back(std::move(pair.theirs));
  gate.reply(gate.requests()[0].id, std::move(reply));
}

TEST(GateLogs, ComeInChunksAndEndWithTheStream) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd source;
  open_logs(gate, client, source);
  EXPECT_NE(head_of(client).find("Transfer-Encoding: chunked"), std::string::npos);
  send_all(source, "hello");
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.size() == 10; }), "5\r\nhello\r\n");
  source.reset();
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.size() == 5; }), "0\r\n\r\n");
  EXPECT_EQ(status_of(ask(client, get("/_ping"))), 200);
}

TEST(GateLogs, EndAtTheKeeperWhenTheClientGoes) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  UniqueFd source;
  open_logs(gate, client, source);
  (void)head_of(client);
  client.reset();
  EXPECT_EQ(read_to_end(source), "");
  ASSERT_TRUE(gate.wait_for_requests(2));
  EXPECT_TRUE(std::holds_alternative<protocol::CancelRequest>(gate.requests()[1].request));
}

TEST(GateLogs, OfManyMegabytesAreCompleteAndPipelinedRequestsAreServedAfterwards) {
  GateHarness gate(silent);
  const UniqueFd client = gate.connect();
  UniqueFd source;
  open_logs(gate, client, source);
  send_all(client, get("/_ping"));
  const std::string sent(8 << 20, '\x01');
  std::thread writer([&] {
    send_all(source, sent);
    source.reset();
  });
  const std::string answer = read_until(client, [](const std::string& bytes) { return bytes.ends_with("\r\n\r\nOK"); });
  writer.join();
  EXPECT_EQ(std::count(answer.begin(), answer.end(), '\x01'), static_cast<std::ptrdiff_t>(sent.size()));
}

}  // namespace
}  // namespace sallyport::test
