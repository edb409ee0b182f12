// The real gate, its filter installed, between a client that may be hostile and a keeper played by the test.
#include <sys/socket.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "broker/protocol/permits.hpp"
#include "gate_harness.hpp"

namespace sallyport::test {
namespace {

using protocol::Request;

constexpr std::string_view kBusybox = R"({"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}})";

// A keeper that has one container, "job", and says yes to everything.
std::vector<KeeperReply> obliging(protocol::RequestId, const Request& request) {
  std::vector<KeeperReply> replies;
  const auto say = [&](protocol::Reply reply) { replies.push_back({std::move(reply), {}}); };
  const protocol::Summary job = summary("job", 'a', 100, protocol::ContainerStatus::Running);
  if (std::holds_alternative<protocol::CreateContainer>(request)) {
    say(protocol::Created{job.id});
  } else if (std::holds_alternative<protocol::InspectContainer>(request)) {
    protocol::Inspected inspected;
    inspected.container = job;
    say(inspected);
  } else if (std::holds_alternative<protocol::ListContainers>(request)) {
    say(protocol::ListItem{job});
    say(protocol::ListItem{summary("old", 'c', 50, protocol::ContainerStatus::Exited)});
    say(protocol::Succeeded{});
  } else if (std::holds_alternative<protocol::WaitContainer>(request)) {
    say(protocol::Waiting{});
    say(protocol::Exited{3, {}});
  } else if (!std::holds_alternative<protocol::CancelRequest>(request) &&
             !std::holds_alternative<protocol::AttachContainer>(request) &&
             !std::holds_alternative<protocol::ReadLogs>(request)) {
    say(protocol::Succeeded{});
  }
  return replies;
}

TEST(GateProgram, AnswersPingVersionAndInfoAlone) {
  GateHarness gate(obliging);
  const UniqueFd client = gate.connect();
  send_all(client, "HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  const std::string head = read_until(client, [](const std::string& bytes) { return bytes.ends_with("\r\n\r\n"); });
  EXPECT_EQ(status_of(head), 200);
  EXPECT_NE(head.find("Api-Version: 1.51\r\n"), std::string::npos);
  EXPECT_TRUE(ask(client, get("/_ping")).ends_with("OK"));
  const std::string version = ask(client, get("/v1.41/version"));
  EXPECT_THAT(version, testing::HasSubstr(R"("ApiVersion":"1.51","MinAPIVersion":"1.24")"));
  EXPECT_THAT(version, testing::HasSubstr(R"("Version":"27.3.1")"));
  EXPECT_THAT(version, testing::HasSubstr(R"({"Name":"Sallyport","Version":")"));
  EXPECT_THAT(ask(client, get("/info")), testing::HasSubstr(R"("ServerVersion":"27.3.1")"));
  EXPECT_TRUE(gate.requests().empty());
  EXPECT_TRUE(gate.wait_for_claims(true, 4));
}

TEST(GateProgram, MakesTypedRequestsOfTheWholeLifeOfAContainer) {
  GateHarness gate(obliging);
  const UniqueFd client = gate.connect();
  EXPECT_EQ(status_of(ask(client, post("/v1.41/containers/create?name=job", kBusybox))), 201);
  EXPECT_EQ(status_of(ask(client, post("/v1.41/containers/job/start"))), 204);
  const std::string waited = ask(client, post("/v1.41/containers/job/wait?condition=next-exit"));
  EXPECT_NE(waited.find(R"("StatusCode":3)"), std::string::npos);
  EXPECT_EQ(status_of(ask(client, post("/containers/job/kill?signal=TERM"))), 204);
  EXPECT_EQ(status_of(ask(client, post("/containers/job/stop?t=1000"))), 204);
  EXPECT_EQ(status_of(ask(client, post("/containers/job/resize?h=10&w=20"))), 200);
  EXPECT_NE(ask(client, get("/v1.24/containers/job/json")).find(R"("Name":"/job")"), std::string::npos);
  const std::string listed = ask(client, get("/v1.41/containers/json"));
  EXPECT_NE(listed.find("/job"), std::string::npos);
  EXPECT_EQ(listed.find("/old"), std::string::npos);
  EXPECT_EQ(status_of(ask(client, "DELETE /v1.41/containers/job?force=True&v=False HTTP/1.1\r\nHost:\r\n\r\n")), 204);
  const auto requests = gate.requests();
  ASSERT_EQ(requests.size(), 9U);
  EXPECT_EQ(std::get<protocol::CreateContainer>(requests[0].request).image.text(), "docker.io/library/busybox:latest");
  EXPECT_EQ(std::get<protocol::WaitContainer>(requests[2].request).condition, protocol::WaitCondition::NextExit);
  EXPECT_EQ(std::get<protocol::KillContainer>(requests[3].request).signal, 15);
  EXPECT_EQ(std::get<protocol::StopContainer>(requests[4].request).timeout, 1000U) << "the keeper bounds it";
  EXPECT_TRUE(std::get<protocol::RemoveContainer>(requests[8].request).force);
}

TEST(GateProgram, TakesSeveralRepliesOutOfOneDatagram) {
  GateHarness gate(obliging);
  gate.join_replies();
  const UniqueFd client = gate.connect();
  const std::string listed = ask(client, get("/v1.41/containers/json?all=1"));
  EXPECT_NE(listed.find("/job"), std::string::npos);
  EXPECT_NE(listed.find("/old"), std::string::npos);
  EXPECT_NE(ask(client, post("/v1.41/containers/job/wait?condition=next-exit")).find(R"("StatusCode":3)"),
            std::string::npos);
}

TEST(GateProgram, LosesNoRequestWhereTheKeeperDoesNotReadForAWhile) {
  GateHarness gate(obliging);
  gate.stop_reading(true);
  std::vector<UniqueFd> clients;
  const std::string variable(90'000, 'x');  // a channel holds two such requests
  for (int i = 0; i < 60; ++i) {
    clients.push_back(gate.connect());
    send_all(clients.back(),
             post("/v1.41/containers/create", R"({"Image":"busybox","Cmd":["true"],"Env":["A=)" + variable +
                                                  R"("],"HostConfig":{"NetworkMode":"none"}})"));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(gate.requests().size(), 10U);
  gate.stop_reading(false);
  for (const UniqueFd& client : clients) EXPECT_EQ(status_of(read_response(client)), 201);
  EXPECT_EQ(gate.requests().size(), 60U);
}

std::vector<KeeperReply> silent(protocol::RequestId, const Request&) { return {}; }

// The keeper would end a gate for one more.
TEST(GateProgram, HasNoMoreOfAKindUnderWayThanItsPermitAndSendsTheNextWhenOneEnds) {
  GateHarness gate(silent);
  const std::size_t most = protocol::kPermit<protocol::CreateContainer>.in_flight_at_most;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < most + 8; ++i) {
    clients.push_back(gate.connect());
    send_all(clients.back(), post("/containers/create", kBusybox));
  }
  ASSERT_TRUE(gate.wait_for_requests(most));
  const UniqueFd other = gate.connect();
  send_all(other, get("/containers/json"));  // another kind is served meanwhile
  ASSERT_TRUE(gate.wait_for_requests(most + 1));
  EXPECT_TRUE(std::holds_alternative<protocol::ListContainers>(gate.requests()[most].request));
  for (std::size_t ended = 0; ended < 8; ++ended) {
    gate.reply(gate.requests()[ended].id, {protocol::Failed{503, "no", 0}, {}});
    ASSERT_TRUE(gate.wait_for_requests(most + 2 + ended));
  }
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  EXPECT_EQ(gate.requests().size(), most + 9);
}

TEST(GateProgram, HasNoMoreRequestsUnderWayThanTheKeeperTakes) {
  GateHarness gate(silent);
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < limits::kMaxRequestsInFlight; ++i) {
    clients.push_back(gate.connect());
    send_all(clients.back(), post("/containers/job/wait"));
  }
  ASSERT_TRUE(gate.wait_for_requests(limits::kMaxRequestsInFlight));
  EXPECT_EQ(status_of(ask(gate.stream(), get("/_ping") + get("/containers/json"))), 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(gate.requests().size(), limits::kMaxRequestsInFlight);
  gate.reply(gate.requests()[0].id, {protocol::Failed{503, "no", 0}, {}});
  ASSERT_TRUE(gate.wait_for_requests(limits::kMaxRequestsInFlight + 1));
}

TEST(GateProgram, LivesOnWhereAClientHasGoneBeforeItsAnswer) {
  GateHarness gate(silent);
  UniqueFd client = gate.connect();
  send_all(client, get("/containers/json"));
  ASSERT_TRUE(gate.wait_for_requests(1));
  client.reset();
  gate.reply(gate.requests()[0].id, {protocol::Succeeded{}, {}});
  EXPECT_EQ(status_of(ask(gate.connect(), get("/_ping"))), 200);
  EXPECT_TRUE(gate.gate_runs());
}

// What a keeper of ours never sends: the gate must not look for a descriptor that is not there.
TEST(GateProgram, AnswersWhereAStreamCameWithoutItsDescriptor) {
  for (const char* target : {"/containers/job/logs?stdout=1&follow=1", "/containers/job/attach?stream=1"}) {
    const bool logs = std::string_view(target).contains("logs");
    GateHarness gate([logs](protocol::RequestId, const Request&) {
      std::vector<KeeperReply> replies;
      if (logs) replies.push_back({protocol::Streaming{false}, {}});
      else replies.push_back({protocol::Hijacked{false, {}}, {}});
      return replies;
    });
    EXPECT_EQ(status_of(ask(gate.connect(), logs ? get(target) : post(target))), 500) << target;
    EXPECT_TRUE(gate.gate_runs());
  }
}

TEST(GateProgram, HasItsFilter) {
  GateHarness gate(silent);
  ASSERT_EQ(status_of(ask(gate.stream(), get("/_ping"))), 200);
  std::ifstream status("/proc/" + std::to_string(gate.pid()) + "/status");
  const std::string text(std::istreambuf_iterator<char>(status), {});
  EXPECT_THAT(text, testing::HasSubstr("\nSeccomp:\t2\n"));
  EXPECT_THAT(text, testing::HasSubstr("\nNoNewPrivs:\t1\n"));
}

TEST(GateProgram, EndsQuietlyWhenTheKeeperCloses) {
  GateHarness gate(obliging);
  const ExitStatus status = gate.close_keeper_and_wait();
  EXPECT_FALSE(status.signalled);
  EXPECT_EQ(status.value, 0);
}

}  // namespace
}  // namespace sallyport::test
