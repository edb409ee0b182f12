// Hostile bytes at the real gate: each is refused with a 4xx or 5xx in Docker's shape or a closed connection, reaches
// the keeper as nothing, and leaves the gate serving.
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "gate_harness.hpp"

namespace sallyport::test {
namespace {

std::vector<KeeperReply> created(protocol::RequestId, const protocol::Request& request) {
  std::vector<KeeperReply> replies;
  if (std::holds_alternative<protocol::CreateContainer>(request))
    replies.push_back({protocol::Created{ContainerId::parse(std::string(64, 'a')).value()}, {}});
  else if (!std::holds_alternative<protocol::CancelRequest>(request)) replies.push_back({protocol::Succeeded{}, {}});
  return replies;
}

const std::string kBody = R"({"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}})";
const std::string kCreate = "POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";
const std::string kChunked = kCreate + "Transfer-Encoding: chunked\r\n";

struct HostileCase {
  std::string bytes;
  int status;
  const char* sentence;
};
const HostileCase kHostile[] = {
    {"\r\n\r\n" + get("/_ping"), 400, "LeadingEmptyLines"},
    {"GET /_ping HTTP/1.1\nHost: d\n\n", 400, "BareLineFeeds"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nX: a\rContent-Length: 5\r\n\r\n", 400, "ABareCarriageReturn"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nX: b\r\n\tTransfer-Encoding: chunked\r\n\r\n", 400, "FoldedHeaders"},
    {std::string("GET /_ping\0 HTTP/1.1\r\nHost: d\r\n\r\n", 33), 400, "ANulInTheTarget"},
    {"GET /_ping HTTP/1.1\r\n\r\n", 400, "NoHost"},
    {"GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "TwoHosts"},
    {"GET /_ping\r\n\r\n", 400, "Http09"},
    {"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n", 505, "Http10"},
    {"GET /_ping HTTP/1.2\r\nHost: d\r\n\r\n", 505, "Http12"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "TheHttp2Preface"},
    {"get /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400, "ALowerCaseMethod"},
    {"GET\t/_ping\tHTTP/1.1\r\nHost: d\r\n\r\n", 400, "TabsInTheRequestLine"},
    {"GET  /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400, "TwoBlanksInTheRequestLine"},
    {"GET http://x/_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400, "AnAbsoluteTarget"},
    {"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 400, "Connect"},
    {"OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n", 400, "OptionsAsterisk"},
    {"OPTIONS /v1.41/containers/create HTTP/1.1\r\nHost: d\r\n\r\n", 403, "OptionsOfAPath"},
    {"GET /v1.41/containers/\xc5\xbf/json HTTP/1.1\r\nHost: d\r\n\r\n", 400, "EightBitTargets"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nX Y: z\r\n\r\n", 400, "ABlankInAHeaderName"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nno colon\r\n\r\n", 400, "AHeaderWithoutColon"},
    {kCreate + "Content-Length: 70\r\nContent-Length: 5\r\n\r\n" + kBody, 400, "TwoDifferentLengths"},
    {kCreate + "Content-Length: 70\r\nContent-Length: 70\r\n\r\n" + kBody, 400, "TwoEqualLengths"},
    {kCreate + "Content-Length: +70\r\n\r\n" + kBody, 400, "ASignedLength"},
    {kCreate + "Content-Length: 70, 70\r\n\r\n" + kBody, 400, "AListOfLengths"},
    {kCreate + "Content-Length: 070\r\n\r\n" + kBody, 400, "ALengthWithLeadingZeros"},
    {kCreate + "Content-Length: 0x46\r\n\r\n" + kBody, 400, "AHexadecimalLength"},
    {kCreate + "Content-Length:\r\n\r\n" + kBody, 400, "AnEmptyLength"},
    {kChunked + "Content-Length: 70\r\n\r\n46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "ChunkedWithALength"},
    {kChunked + "Transfer-Encoding: chunked\r\n\r\n46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "ChunkedTwice"},
    {kCreate + "Transfer-Encoding: identity\r\nContent-Length: 70\r\n\r\n" + kBody, 400, "TransferEncodingIdentity"},
    {kCreate + "Transfer-Encoding: gzip, chunked\r\n\r\n46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "GzipThenChunked"},
    {kCreate + "Transfer-Encoding : chunked\r\n\r\n46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "ABlankBeforeTheColon"},
    {kChunked + "\r\n46;a=\"b\r\n" + kBody + "\r\n0\r\n\r\n", 400, "AChunkExtensionThatIsNone"},
    {kChunked + "\r\n46\n" + kBody + "\r\n0\r\n\r\n", 400, "ABareLineFeedAfterTheChunkSize"},
    {kChunked + "\r\n46\r\n" + kBody + "\n0\r\n\r\n", 400, "ABareLineFeedAfterChunkData"},
    {kChunked + "\r\n0x46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "AHexPrefixedChunkSize"},
    {kChunked + "\r\n10000000000000046\r\n" + kBody + "\r\n0\r\n\r\n", 400, "AChunkSizeAbove64Bits"},
    {kChunked + "\r\n-1\r\n" + kBody + "\r\n0\r\n\r\n", 400, "ANegativeChunkSize"},
    {kChunked + "\r\n46\r\n" + kBody + "\r\n0\r\nX-Trailer: 1\r\n\r\n", 400, "Trailers"},
    {kChunked + "Trailer: X\r\n\r\n46\r\n" + kBody + "\r\n0\r\n\r\n", 400, "ATrailerThatIsAnnounced"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: keep alive\r\n\r\n", 400, "AConnectionThatIsNoListOfTokens"},
    {kCreate + "Content-Length: 18446744073709551686\r\n\r\n" + kBody, 400, "ALengthBeyond64Bits"},
    {kCreate + "Content-Encoding: gzip\r\nContent-Length: 70\r\n\r\n" + kBody, 415, "ContentEncoding"},
    {kCreate + "Expect: 200-ok\r\nContent-Length: 70\r\n\r\n" + kBody, 417, "AnUnknownExpectation"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nUpgrade: h2c\r\nUpgrade: tcp\r\n\r\n", 400, "TwoUpgrades"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello", 400, "AGetWithABody"},
    {"DELETE /containers/x HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}", 400, "ADeleteWithABody"},
    {kCreate + "Content-Length: 0\r\n\r\n" + kBody, 400, "ABodyBehindALengthOfZero"},
    {kCreate + "Content-Length: 1200088\r\n\r\n" + std::string(200, ' '), 413, "ABodyAboveTheCeiling"},
    {"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + std::string(90 * 1024, 'a') + "\r\n\r\n", 431, "AHeadAboveTheCeiling"},
    {"GET /" + std::string(9 * 1024, 'a') + " HTTP/1.1\r\nHost: d\r\n\r\n", 404, "ALongTarget"},
    {"GET /containers/" + std::string(9 * 1024, 'a') + "/json HTTP/1.1\r\nHost: d\r\n\r\n", 414,
     "ALongTargetOfAnEndpoint"},
    {"POST /containers/x/kill?signal=CONT HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-www-form-urlencoded\r\n"
     "Content-Length: 11\r\n\r\nsignal=STOP",
     400, "AFormBody"},
    {"POST /containers/x/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
     R"({"Privileged":true})",
     403, "AStartWithAHostConfig"},
    {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), 400, "ATlsHello"},
    {std::string(64, '\0'), 400, "Zeros"},
};

class Hostile : public testing::TestWithParam<HostileCase> {};

TEST_P(Hostile, IsRefusedAndReachesNobody) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  send_all(client, GetParam().bytes);
  ::shutdown(client.get(), SHUT_WR);
  const std::string answer = read_to_end(client);
  EXPECT_EQ(status_of(answer), GetParam().status) << answer;
  EXPECT_NE(answer.find(R"({"message":"sallyport: )"), std::string::npos) << answer;
  EXPECT_TRUE(gate.requests().empty());
  EXPECT_EQ(status_of(ask(gate.connect(), get("/_ping"))), 200);
  EXPECT_TRUE(gate.wait_for_claims(false, 1));
}

INSTANTIATE_TEST_SUITE_P(Bytes, Hostile, testing::ValuesIn(kHostile),
                         [](const auto& info) { return info.param.sentence; });

TEST(GateHttp, ServesPipelinedRequestsInOrder) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  send_all(client, post("/containers/create", kBody) + get("/_ping") +
                       "GET /version HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
  const std::string answers = read_to_end(client);
  const std::size_t first = answers.find("HTTP/1.1 201");
  const std::size_t second = answers.find("OKHTTP/1.1 200");
  EXPECT_EQ(first, 0U);
  EXPECT_LT(first, second);
  EXPECT_LT(second, answers.find("ApiVersion\":"));
}

TEST(GateHttp, ServesChunkedBodiesByteByByte) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  const std::string bytes =
      kChunked + "\r\n20\r\n" + kBody.substr(0, 32) + "\r\n26\r\n" + kBody.substr(32) + "\r\n0\r\n\r\n";
  for (char c : bytes) send_all(client, std::string(1, c));
  EXPECT_EQ(status_of(read_response(client)), 201);
}

// Beast asserts five bytes where it has seen the line of a last chunk.
TEST(GateHttp, TakesALastChunkByteByByte) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  send_all(client, kChunked + "\r\n");
  for (const char* bytes : {"0\r\n", "\r", "\n"}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that each is read alone
    send_all(client, bytes);
  }
  EXPECT_EQ(status_of(read_response(client)), 400);  // an empty body is no create
  EXPECT_TRUE(gate.gate_runs());
}

TEST(GateHttp, SaysContinueToWhoeverExpectsIt) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  send_all(client, kCreate + "Expect: 100-continue\r\nContent-Length: " + std::to_string(kBody.size()) + "\r\n\r\n");
  EXPECT_EQ(read_until(client, [](const std::string& bytes) { return bytes.ends_with("\r\n\r\n"); }),
            "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(status_of(ask(client, kBody)), 201);
}

TEST(GateHttp, RefusesAnUploadToADeniedEndpointWithoutReadingIt) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  send_all(client,
           "PUT /v1.41/containers/x/archive?path=/ HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n");
  const std::string answer = read_response(client);
  EXPECT_EQ(status_of(answer), 403);
  EXPECT_NE(answer.find("(profile worker)"), std::string::npos);
}

TEST(GateHttp, HoldsTheCreateBodyToItsCeiling) {
  GateHarness gate(created);
  const auto padded = [](std::size_t size) { return std::string(size - kBody.size(), ' ') + kBody; };
  EXPECT_EQ(status_of(ask(gate.connect(), post("/containers/create", padded(limits::kMaxCreateBodyBytes)))), 201);
  const std::string refused = ask(gate.connect(), post("/containers/create", padded(limits::kMaxCreateBodyBytes + 1)));
  EXPECT_EQ(status_of(refused), 413);
  EXPECT_NE(refused.find("the body is larger than is served (131072 bytes)"), std::string::npos) << refused;
}

TEST(GateHttp, HoldsTheBodiesOfAllOtherRequestsToTheirs) {
  GateHarness gate(created);
  const auto starting = [&](std::size_t size) {
    return ask(gate.connect(), post("/containers/job/start", "{}" + std::string(size - 2, ' ')));
  };
  EXPECT_EQ(status_of(starting(limits::kMaxOtherBodyBytes)), 204);
  const std::string refused = starting(limits::kMaxOtherBodyBytes + 1);
  EXPECT_EQ(status_of(refused), 413);
  EXPECT_NE(refused.find("the body is larger than is served (8192 bytes)"), std::string::npos) << refused;
}

TEST(GateHttp, HoldsAHeadToItsCeiling) {
  GateHarness gate(created);
  const auto answer_to = [&](std::size_t size) {
    const std::string begin = "GET /_ping HTTP/1.1\r\nHost: d\r\nX: ";
    return ask(gate.connect(), begin + std::string(size - begin.size() - 4, 'a') + "\r\n\r\n");
  };
  EXPECT_EQ(status_of(answer_to(limits::kMaxHeadBytes)), 200);
  for (const std::size_t beyond : {1, 2, 8 * 1024, 16 * 1024}) {
    const std::string refused = answer_to(limits::kMaxHeadBytes + beyond);
    EXPECT_EQ(status_of(refused), 431) << beyond;
    EXPECT_NE(refused.find("the request head is larger than is served (81920 bytes)"), std::string::npos) << refused;
  }
}

TEST(GateHttp, HoldsTheNumberOfHeadersToItsCeiling) {
  GateHarness gate(created);
  const auto with_headers = [](std::size_t count) {
    std::string request = "GET /_ping HTTP/1.1\r\nHost: d\r\n";
    for (std::size_t i = 1; i < count; ++i) request += "X-" + std::to_string(i) + ": y\r\n";
    return request + "\r\n";
  };
  EXPECT_EQ(status_of(ask(gate.connect(), with_headers(limits::kMaxHeaders))), 200);
  EXPECT_EQ(status_of(ask(gate.connect(), with_headers(limits::kMaxHeaders + 1))), 431);
}

TEST(GateHttp, ServesEveryConnectionUpToTheCeilingAndTheRestWhenOneLeaves) {
  GateHarness gate(created);
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < limits::kMaxClientConnections; ++i) {
    clients.push_back(gate.connect());
    ASSERT_EQ(status_of(ask(clients.back(), get("/_ping"))), 200) << i;
  }
  const UniqueFd late = gate.connect();
  send_all(late, get("/_ping"));
  clients.pop_back();
  EXPECT_EQ(status_of(read_response(late)), 200);
}

std::vector<UniqueFd> every_connection_of(const GateHarness& gate) {
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < limits::kMaxClientConnections; ++i) {
    clients.push_back(gate.connect());
    EXPECT_EQ(status_of(ask(clients.back(), get("/_ping"))), 200) << i;
  }
  return clients;
}

TEST(GateHttp, TellsWhoeverFindsEveryConnectionTakenHowManyThereAre) {
  GateHarness gate(created);
  const std::vector<UniqueFd> clients = every_connection_of(gate);
  const UniqueFd late = gate.connect();
  const UniqueFd silent = gate.connect();
  for (const UniqueFd* one : {&late, &silent}) {
    if (one == &late) send_all(late, get("/containers/json"));
    const std::string answer = read_to_end(*one);
    EXPECT_EQ(status_of(answer), 429);
    EXPECT_NE(answer.find("sallyport: 128 connections to this socket are open, and a session may have no more"),
              std::string::npos)
        << answer;
    EXPECT_NE(answer.find("\r\nRetry-After: 1\r\n"), std::string::npos) << answer;
  }
  EXPECT_TRUE(gate.wait_for_claims(false, 2));
  EXPECT_EQ(status_of(ask(clients.front(), get("/_ping"))), 200);
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  EXPECT_EQ(gate.requests().size(), 0U) << "nothing that a client turned away has asked for is done";
}

TEST(GateHttp, TurnsAwayAHostOfConnectionsThatNeverReadWithoutHoldingThemAllAndServesAgainAfterwards) {
  GateHarness gate(created);
  std::vector<UniqueFd> clients = every_connection_of(gate);
  std::vector<UniqueFd> stuck;
  for (std::size_t i = 0; i < limits::kMaxWaitingClients + 100; ++i) stuck.push_back(gate.connect());
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  EXPECT_LE(gate.open_descriptors(), limits::kMaxClientConnections + limits::kMaxWaitingClients + 16);
  ASSERT_TRUE(gate.wait_for_claims(false, limits::kMaxWaitingClients)) << "those are being turned away";
  clients.pop_back();  // which lets the gate look for others again
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  EXPECT_LE(gate.open_descriptors(), limits::kMaxClientConnections + limits::kMaxWaitingClients + 16);
  clients.clear();
  stuck.clear();
  EXPECT_EQ(status_of(ask(gate.connect(), get("/_ping"))), 200);
}

TEST(GateHttp, TheLastingStreamSpeaksHttpAtOnceAndIsServedAgainAndAgain) {
  GateHarness gate(created);
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  EXPECT_EQ(status_of(ask(gate.stream(), post("/containers/create", kBody))), 201);
  EXPECT_EQ(status_of(ask(gate.stream(), get("/nothing"))), 404);
  EXPECT_EQ(status_of(ask(gate.stream(), post("/nothing", ""))), 404) << "no stream begins here";
  EXPECT_EQ(status_of(ask(gate.stream(), post("/v1.99/containers/x/start", ""))), 400);
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
}

TEST(GateHttp, GivesUpAHeadThatDoesNotCome) {
  GateHarness gate(created);
  const UniqueFd slow = gate.connect();
  const UniqueFd idle = gate.connect();
  send_all(slow, "GET /_ping HTTP/1.1\r\nHost: d\r\nX: ");
  std::this_thread::sleep_for(limits::kHeaderDeadline);
  const std::string answer = read_response(slow);
  EXPECT_EQ(status_of(answer), 408);
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_EQ(read_to_end(slow), "");
  EXPECT_EQ(status_of(ask(idle, get("/_ping"))), 200);
}

TEST(GateClaims, AreAllToldWhenTheKeeperEndsItsDirectionThoughItsChannelWasFull) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  gate.stop_reading(true);
  const std::vector<UniqueFd> others = fill_channel(gate);
  // Of many kinds: all of them wait in the gate.
  for (int i = 0; i < 3000; ++i)
    ASSERT_EQ(status_of(ask(client, get("/nothing/" + std::to_string(i) + std::string(100, 'x')))), 404);
  gate.stop_reading(false);
  EXPECT_EQ(gate.end_keepers_direction_and_wait().value, 0);
  EXPECT_TRUE(gate.wait_for_claims(false, 3000));
  EXPECT_EQ(gate.claims(false), 3000U);
}

TEST(GateClaims, OfAFloodAreCountedAndFewMessagesCarryThem) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  for (int i = 0; i < 300; ++i) ASSERT_EQ(status_of(ask(client, post("/containers/x/exec", "{}"))), 403);
  EXPECT_TRUE(gate.wait_for_claims(false, 300));
  EXPECT_EQ(gate.claims(false), 300U);
  EXPECT_LT(gate.claim_messages(), 10U);
}

// A gate that is alone tells at once, and not for each client that leaves it alone again.
TEST(GateClaims, OfClientsThatComeAndGoAreFewMessages) {
  GateHarness gate(created);
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; ++i)
    ASSERT_EQ(status_of(ask(gate.connect(), get("/nothing/" + std::to_string(i % 3)))), 404);
  EXPECT_TRUE(gate.wait_for_claims(false, 300));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  // Three kinds: ten times a second for the last client that leaves, once for each kind, and at the ends.
  EXPECT_LT(static_cast<double>(gate.claim_messages()), 3 * 11 * (took.count() + 1));
}

// Whoever asks for made-up paths first must not hide behind them what it asks for then.
TEST(GateClaims, OfMadeUpPathsLeaveTheOthersTheirNamesAndAreToldAsOthersBeyondTheirPlaces) {
  GateHarness gate(created);
  const UniqueFd client = gate.connect();
  constexpr std::size_t kMadeUp = limits::kMaxMadeUpClaimKinds + 10;
  for (std::size_t i = 0; i < kMadeUp; ++i)
    ASSERT_EQ(status_of(ask(client, get("/nothing/" + std::to_string(i)))), 404);
  ASSERT_EQ(status_of(ask(client, post("/containers/create", R"({"Image":"a","HostConfig":{"Privileged":true}})"))),
            403);
  ASSERT_EQ(status_of(ask(client, get("/z"))), 404);
  EXPECT_EQ(gate.end_keepers_direction_and_wait().value, 0);
  EXPECT_TRUE(gate.wait_for_claims(false, kMadeUp + 2));
  std::size_t privileged = 0;
  std::size_t others = 0;
  for (const protocol::GateClaim& claim : gate.all_claims()) {
    if (claim.rule.value == "HostConfig.Privileged") {
      EXPECT_EQ(claim.method.value + " " + claim.endpoint.value, "POST /containers/create");
      privileged += claim.repeated;
    }
    if (claim.rule.value != "others") continue;
    EXPECT_EQ(claim.method.value + claim.endpoint.value, "others");
    EXPECT_EQ(claim.http_status, 0);
    EXPECT_EQ(claim.reason.value, "more kinds of requests in a minute than are told apart (64)");
    others += claim.repeated;
  }
  EXPECT_EQ(privileged, 1U);
  EXPECT_EQ(others, 11U);
}

}  // namespace
}  // namespace sallyport::test
