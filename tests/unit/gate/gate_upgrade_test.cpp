// What a client may take for the beginning of a stream, at the real gate: bytes behind a refusal were meant for the
// stream and are never read as requests; where no stream begins, Upgrade changes nothing.
#include <sys/socket.h>

#include <algorithm>

#include "broker/api/endpoints.hpp"
#include "gate_harness.hpp"

namespace sallyport::test {
namespace {

// A keeper that has no container and makes any.
std::vector<KeeperReply> creating(protocol::RequestId, const protocol::Request& request) {
  std::vector<KeeperReply> replies;
  if (std::holds_alternative<protocol::CreateContainer>(request))
    replies.push_back({protocol::Created{ContainerId::parse(std::string(64, 'a')).value()}, {}});
  else if (!std::holds_alternative<protocol::CancelRequest>(request))
    replies.push_back({protocol::Failed{404, "No such container: job", 0}, {}});
  return replies;
}

const std::string kBody = R"({"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}})";
const std::string kPrivileged = R"({"Image":"busybox","HostConfig":{"Privileged":true}})";
constexpr std::string_view kUpgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
// What curl --http2 and Java's client send.
constexpr std::string_view kH2c =
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";

std::string request(std::string_view line, std::string_view headers = {}) {
  return std::string(line) + " HTTP/1.1\r\nHost: d\r\n" + std::string(headers) + "\r\n";
}
std::string create(std::string_view headers, const std::string& body) {
  return request("POST /v1.41/containers/create",
                 std::string(headers) +
                     "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") +
         body;
}
std::vector<int> statuses(const std::string& answers) {
  std::vector<int> found;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 ", at)) != std::string::npos; at += 9)
    if (const int status = std::atoi(answers.substr(at + 9, 3).c_str()); status != 0) found.push_back(status);
  return found;
}
// With a ping behind it: the last status is its 200 where the connection has stayed open.
std::vector<int> answers_to(GateHarness& gate, const std::string& bytes) {
  const UniqueFd client = gate.connect();
  send_all(client, bytes + request("GET /_ping", "Connection: close\r\n"));
  return statuses(read_to_end(client));
}
std::size_t creates(GateHarness& gate) {
  const auto requests = gate.requests();
  return static_cast<std::size_t>(std::ranges::count_if(
      requests, [](const auto& one) { return std::holds_alternative<protocol::CreateContainer>(one.request); }));
}

struct StreamCase {
  std::string request;
  int status;
  const char* sentence;
};
const StreamCase kRefused[] = {
    {request("POST /v9.99/containers/abc/attach?stream=1"), 400, "AnAttachOfAVersionThatIsNotServed"},
    {request("POST /v9.99/containers/abc/attach?stream=1", kUpgrade), 400, "TheSameWithUpgrade"},
    {request("POST /v1.41//containers/abc/attach"), 404, "AnAttachWithAnEmptySegment"},
    {request("POST /v1.41/containers/abc/attach/"), 404, "AnAttachWithASlashBehind"},
    {request("POST /v1.41/containers/a/b/attach"), 404, "AnAttachThatIsNoEndpoint"},
    {request("POST /v1.41/containers/%zz/attach"), 400, "AnAttachWithABadEscape"},
    {request("POST /v1.41/containers/" + std::string(9000, 'a') + "/attach"), 414, "AnAttachOfALongName"},
    {request("POST /v1.41/containers/abc/attach?stream=1;x"), 400, "AnAttachWithASemicolon"},
    {request("POST /v1.41/containers/abc/attach?nonsense=1"), 400, "AnAttachWithAnUnknownParameter"},
    {request("POST /v1.41/containers/abc/attach?stream=1"), 404, "AnAttachToWhatIsNotThere"},
    {request("POST /v1.41/exec/abc/start"), 403, "AnExec"},
    {request("POST /v1.41/exec/abc/start", "Content-Type: application/json\r\nContent-Length: 2\r\n") + "{}", 403,
     "AnExecWithItsBody"},
    {request("POST /v9.99/exec/abc/start"), 400, "AnExecOfAVersionThatIsNotServed"},
    {request("POST /session", kH2c), 403, "ASessionOfBuildKit"},
    {request("POST /session"), 403, "ASessionWithoutUpgrade"},
    {request("POST /grpc", kH2c), 403, "Grpc"},
    {request("GET /v1.41/containers/abc/attach/ws?stream=1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 403,
     "AnAttachByWebSocket"},
    {request("GET /v1.41/containers/abc/attach/ws?stream=1"), 403, "AnAttachByWebSocketWithoutUpgrade"},
    {request("POST /nothing"), 404, "APostToNothing"},
    {request("GET /nothing", kUpgrade), 404, "AGetOfNothingWithUpgrade"},
    {request("GET /events", kUpgrade), 403, "EventsWithUpgrade"},
    {request("GET /_ping?x=1", kH2c), 400, "ABadPingWithUpgrade"},
    {request("POST /v1.41/containers/abc/start", kUpgrade), 404, "AStartOfWhatIsNotThereWithUpgrade"},
    {request("POST /v1.41/containers/abc/kill?signal=32", kUpgrade), 400, "ABadSignalWithUpgrade"},
    {request("GET /v1.41/containers/abc/logs?stdout=1", kUpgrade), 404, "LogsOfWhatIsNotThereWithUpgrade"},
    {create(kUpgrade, kPrivileged), 403, "APrivilegedCreateWithUpgrade"},
    {create(kH2c, "[]"), 400, "ABadCreateWithUpgrade"},
};

class RefusedStream : public testing::TestWithParam<StreamCase> {};
TEST_P(RefusedStream, LeavesNothingBehindItToBeReadAsARequest) {
  GateHarness gate(creating);
  EXPECT_EQ(answers_to(gate, GetParam().request + create("", kBody)), std::vector<int>{GetParam().status});
  EXPECT_EQ(creates(gate), 0U);
  EXPECT_EQ(answers_to(gate, create("", kBody)), (std::vector<int>{201, 200}));
}
INSTANTIATE_TEST_SUITE_P(Requests, RefusedStream, testing::ValuesIn(kRefused),
                         [](const auto& info) { return info.param.sentence; });

// The twin: no stream can begin with these, and a client that pipelines is served on.
TEST(RefusedRequest, ThatBeginsNoStreamLeavesItsConnectionOpen) {
  GateHarness gate(creating);
  const std::pair<const char*, int> requests[] = {{"GET /nothing", 404},
                                                  {"GET /v9.99/containers/json", 400},
                                                  {"GET /events", 403},
                                                  {"POST /v1.41/containers/abc/exec", 403},
                                                  {"POST /v1.41/containers/abc/start", 404},
                                                  {"POST /v1.41/containers/abc/kill?signal=32", 400},
                                                  {"GET /v1.41/containers/abc/logs?stdout=1", 404},
                                                  {"DELETE /v1.41/images/x", 403}};
  for (const auto& [line, status] : requests)
    EXPECT_EQ(answers_to(gate, request(line) + create("", kBody)), (std::vector<int>{status, 201, 200})) << line;
  EXPECT_EQ(creates(gate), 8U);
}

// A path of each row of the table, whether it is served or not.
std::string path_of(const api::Endpoint& row) {
  std::string path(row.path);
  for (std::size_t at = 0; (at = path.find('{')) != std::string::npos;)
    path.replace(at, path.find('}', at) + 1 - at, "abc");
  return path;
}
std::string method_of(const api::Endpoint& row) {
  for (const char* name : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
    if (api::method_of(name) == row.method) return name;
  return "";
}

TEST(EveryEndpoint, ThatIsRefusedInAnyWayReadsNothingBehindWhatMayBeginAStream) {
  GateHarness gate(creating);
  std::size_t streams = 0;
  for (const api::Endpoint& row : api::kEndpoints) {
    const std::string method = method_of(row);
    ASSERT_NE(method, "");
    const std::pair<std::string, bool> targets[] = {// and whether it has its row
                                                    {"/v9.99" + path_of(row), false},
                                                    {path_of(row) + "/", false},
                                                    {path_of(row) + "?nonsense=1", true},
                                                    {"/v1.41" + path_of(row) + "?a;b", true}};
    for (const auto& [target, is_routed] : targets) {
      for (const std::string_view headers : {std::string_view(), kUpgrade, kH2c}) {
        const bool may_stream = !headers.empty() || (is_routed ? api::begins_stream(row) : method == "POST");
        const auto answers = answers_to(gate, request(method + " " + target, headers) + create("", kBody));
        ASSERT_FALSE(answers.empty()) << method << " " << target;
        EXPECT_GE(answers[0], 400) << method << " " << target;
        EXPECT_EQ(answers.size(), may_stream ? 1U : 3U) << method << " " << target << " " << headers;
        streams += may_stream ? 1 : 0;
      }
    }
  }
  EXPECT_GT(streams, std::size(api::kEndpoints) * 8);
}

// Where it is not known where a request ends, all that follows is of it.
TEST(ARefusal, OfWhatHasABodyThatWasNotReadReadsNothingBehindIt) {
  GateHarness gate(creating);
  const std::string length = "Content-Length: " + std::to_string(create("", kBody).size()) + "\r\n";
  const std::pair<std::string, int> requests[] = {
      {request("PUT /nothing", length), 404},
      {request("DELETE /nothing", length), 404},
      {request("PUT /v9.99/containers/abc/archive", length), 400},
      {request("GET /_ping", length), 400},
      {request("DELETE /v1.41/containers/abc", length), 400},
      {request("PUT /nothing", "Transfer-Encoding: chunked\r\n"), 404},
      {request("GET /_ping", "Transfer-Encoding: chunked\r\n"), 400},
      {request("PUT /v1.41/containers/abc/archive?path=/", "Content-Length: 9000\r\n"), 403},
      {request("PUT /v1.41/containers/abc/archive?path=/", "Transfer-Encoding: chunked\r\n"), 403},
      {request("PUT /v1.41/containers/abc/archive?path=/", "Expect: 100-continue\r\n" + length), 403},
      {request("POST /v1.41/containers/abc/start", "Content-Length: 9000\r\n"), 413},
      {request("POST /v1.41/containers/create", "Transfer-Encoding: chunked\r\n") + "x\r\n", 400},
      {"POST /v1.41/containers/create HTTP/1.0\r\nHost: d\r\n\r\n", 505},
      {request("GET /_ping", "Host: e\r\n"), 400},
      {request("GET /_ping", "Transfer-Encoding: gzip\r\n"), 400},
      {request("GET /_ping", "no colon\r\n"), 400},
      {request("GET /_ping", "Expect: nothing\r\n"), 417}};
  for (const auto& [bytes, status] : requests)
    EXPECT_EQ(answers_to(gate, bytes + create("", kBody)), std::vector<int>{status}) << bytes;
  EXPECT_EQ(creates(gate), 0U);
}

TEST(ARefusal, OfAClientThatSaysItClosesIsTheLast) {
  GateHarness gate(creating);
  const std::pair<const char*, int> requests[] = {{"GET /nothing", 404},
                                                  {"GET /_ping?x=1", 400},
                                                  {"GET /events", 403},
                                                  {"POST /v1.41/containers/abc/start", 404},
                                                  {"POST /v1.41/containers/abc/kill?signal=32", 400},
                                                  {"GET /v1.41/containers/abc/logs?stdout=1", 404},
                                                  {"GET /v1.41/containers/abc/json", 404},
                                                  {"POST /v1.41/containers/abc/wait", 404}};
  for (const char* close : {"Connection: close\r\n", "Connection: keep-alive, Close\r\n"})
    for (const auto& [line, status] : requests)
      EXPECT_EQ(answers_to(gate, request(line, close) + create("", kBody)), std::vector<int>{status}) << line;
  EXPECT_EQ(creates(gate), 0U);
}

// How much of so many bytes the gate took before it closed.
std::size_t taken_of(const UniqueFd& client, std::size_t most) {
  const std::string block(64 * 1024, 'x');
  std::size_t sent = 0;
  while (sent < most) {
    const ssize_t size = ::send(client.get(), block.data(), block.size(), MSG_NOSIGNAL);
    if (size <= 0) break;
    sent += static_cast<std::size_t>(size);
  }
  return sent;
}

TEST(ARefusal, IsHeardByAClientThatFirstSendsAllItHas) {
  GateHarness gate(creating);
  constexpr std::size_t kUpload = limits::kMaxDrainedBytes / 2;
  for (const std::string& bytes :
       {request("PUT /v1.41/containers/x/archive?path=/", "Content-Length: 100000000\r\n"),
        request("POST /v1.41/containers/job/attach?stream=1&stdin=1", kUpgrade)}) {  // refused by the keeper
    const UniqueFd client = gate.connect();
    send_all(client, bytes);
    EXPECT_EQ(taken_of(client, kUpload), kUpload) << bytes;
    EXPECT_EQ(statuses(read_to_end(client)).size(), 1U) << bytes;
  }
}

TEST(ARefusal, OfAClientThatNeverStopsIsReadForSoManyBytesAndNoMore) {
  GateHarness gate(creating);
  const UniqueFd client = gate.connect();
  send_all(client, request("PUT /v1.41/containers/x/archive?path=/", "Content-Length: 100000000\r\n"));
  const std::size_t taken = taken_of(client, 8 * limits::kMaxDrainedBytes);
  EXPECT_GE(taken, limits::kMaxDrainedBytes - 64 * 1024);
  EXPECT_LE(taken, 2 * limits::kMaxDrainedBytes) << "and what its socket holds";
}

TEST(RefusedAttach, ClosesTheLastingStreamToo) {
  GateHarness gate(creating);
  send_all(gate.stream(), request("POST /v1.41/containers/job/attach?stream=1", kUpgrade) + create("", kBody));
  EXPECT_EQ(statuses(read_to_end(gate.stream())), std::vector<int>{403});
  EXPECT_EQ(creates(gate), 0U);
}

TEST(Upgrade, OnWhatIsNoStreamChangesNothing) {
  GateHarness gate(creating);
  for (const std::string_view upgrade :
       {kUpgrade, kH2c, std::string_view("Upgrade:\r\n"), std::string_view("Upgrade: websocket, h2c\r\n")}) {
    EXPECT_EQ(answers_to(gate, request("GET /_ping", upgrade)), (std::vector<int>{200, 200})) << upgrade;
    EXPECT_EQ(answers_to(gate, request("GET /v1.41/version", upgrade)), (std::vector<int>{200, 200})) << upgrade;
    EXPECT_EQ(answers_to(gate, create(upgrade, kBody)), (std::vector<int>{201, 200})) << upgrade;
  }
  EXPECT_EQ(creates(gate), 4U);
}

// HTTP goes on behind a plain answer, so what comes there is a request like any other.
TEST(Upgrade, BehindAPlainAnswerEachRequestIsWhatItIs) {
  GateHarness gate(creating);
  EXPECT_EQ(answers_to(gate, request("GET /_ping", kH2c) + create("", kPrivileged)), (std::vector<int>{200, 403, 200}));
  EXPECT_EQ(answers_to(gate, create(kUpgrade, kBody) + create("", kPrivileged)), (std::vector<int>{201, 403, 200}));
  EXPECT_EQ(answers_to(gate, request("GET /_ping", kH2c) + create("", kBody)), (std::vector<int>{200, 201, 200}));
  EXPECT_EQ(answers_to(gate, request("GET /_ping", kH2c) + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            (std::vector<int>{200, 505}));
  EXPECT_EQ(creates(gate), 2U);
}

TEST(Upgrade, OfAnAttachIsToTcpWhateverIsAskedFor) {  // dockerd looks at the header's presence alone
  for (const std::string_view upgrade :
       {kUpgrade, kH2c, std::string_view("Upgrade: websocket\r\n"), std::string_view("Upgrade:\r\n")}) {
    GateHarness gate([](protocol::RequestId, const protocol::Request&) {
      int ends[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      ::close(ends[0]);
      std::vector<KeeperReply> replies;
      replies.push_back({protocol::Hijacked{false, {}}, {}});
      replies.back().fds.push_back(UniqueFd::adopt(ends[1]));
      return replies;
    });
    const UniqueFd client = gate.connect();
    send_all(client, request("POST /v1.41/containers/job/attach?stream=1", upgrade));
    const std::string answer = read_to_end(client);
    EXPECT_EQ(status_of(answer), 101) << upgrade;
    EXPECT_NE(answer.find("Upgrade: tcp\r\n"), std::string::npos) << answer;
  }
}

std::string chunked(std::string_view body) {
  return request("POST /v1.41/containers/create", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n") +
         std::string(body);
}

TEST(ChunkExtension, IsReadByItsGrammarAndMeansNothing) {
  GateHarness gate(creating);
  for (const char* extension : {";a", ";a=b", ";a=\"b c\"", " ; a = b ;c", ";a=b;a=c"})
    EXPECT_EQ(answers_to(gate, chunked("46" + std::string(extension) + "\r\n" + kBody + "\r\n0;last=1\r\n\r\n")),
              (std::vector<int>{201, 200}))
        << extension;
  EXPECT_EQ(creates(gate), 5U);
  // Its twins, with a request behind each.
  for (const char* extension :
       {";", ";=b", ";a=", " a", ";a=\"b", ";a b", ";a=b\rc", ";a=\"\r\n\"", ";\x01", ";a=\"\x01\""})
    EXPECT_EQ(
        answers_to(gate, chunked("46" + std::string(extension) + "\r\n" + kBody + "\r\n0\r\n\r\n") + create("", kBody)),
        std::vector<int>{400})
        << extension;
  EXPECT_EQ(creates(gate), 5U);
}

TEST(ChunkedBody, IsHeldToTheCeilingOfABodyWhoseLengthIsSaid) {
  GateHarness gate(creating);
  const auto padded = [](std::size_t size) {
    const std::string body = std::string(size - kBody.size(), ' ') + kBody;
    char length[20];
    std::snprintf(length, sizeof length, "%zx\r\n", size);
    return chunked(length + body + "\r\n0\r\n\r\n");
  };
  EXPECT_EQ(answers_to(gate, padded(limits::kMaxCreateBodyBytes)), (std::vector<int>{201, 200}));
  EXPECT_EQ(answers_to(gate, padded(limits::kMaxCreateBodyBytes + 1)), std::vector<int>{413});
  std::string start = request("POST /v1.41/containers/job/start", "Transfer-Encoding: chunked\r\n") + "2001\r\n";
  EXPECT_EQ(answers_to(gate, start + std::string(limits::kMaxOtherBodyBytes + 1, ' ') + "\r\n0\r\n\r\n"),
            std::vector<int>{413});
}

// The connection stays open: nothing but its size ends it.
TEST(ALineOfAChunkedBody, ThatDoesNotEndIsRefusedWhenItIsLongerThanAHead) {
  GateHarness gate(creating);
  const UniqueFd client = gate.connect();
  send_all(client, chunked("46;" + std::string(limits::kMaxHeadBytes + 16 * 1024, 'x')));
  EXPECT_EQ(status_of(read_response(client)), 400);
}

TEST(AHead, ThatDoesNotEndIsRefusedWhenItIsLongerThanIsServed) {
  GateHarness gate(creating);
  const UniqueFd client = gate.connect();
  send_all(client, "GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + std::string(limits::kMaxHeadBytes + 16 * 1024, 'x'));
  EXPECT_EQ(status_of(read_response(client)), 431);
}

TEST(ChunkExtension, IsHeldWithItsBodyToACeiling) {
  GateHarness gate(creating);
  const auto framed = [](std::size_t size) {
    const std::string end = "0\r\n\r\n";
    const std::size_t each = (size - end.size()) / kBody.size();
    std::string bytes;
    for (std::size_t i = 0; i < kBody.size(); ++i) {
      const std::size_t whole = i + 1 < kBody.size() ? each : size - end.size() - each * i;
      bytes += "1;" + std::string(whole - 7, 'x') + "\r\n" + kBody[i] + "\r\n";
    }
    return bytes + end;
  };
  const std::size_t ceiling = limits::kMaxCreateBodyBytes * limits::kMaxFramingFactor;
  EXPECT_EQ(answers_to(gate, chunked(framed(ceiling))), (std::vector<int>{201, 200}));
  EXPECT_EQ(answers_to(gate, chunked(framed(ceiling + 1))), std::vector<int>{413});
  const UniqueFd client = gate.connect();
  send_all(client, chunked(framed(ceiling + 1)));
  EXPECT_THAT(read_to_end(client), testing::HasSubstr("the body's framing is larger than is served"));
}

}  // namespace
}  // namespace sallyport::test
