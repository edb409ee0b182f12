// Every distinct create that real clients and evaluation harnesses were seen to send to dockerd, through the gate's
// decoder. What is not accepted stands here with the row that says why: a create that is newly refused fails, and so
// does one that is newly accepted, until this table says so.
#include <algorithm>
#include <fstream>
#include <map>

#include "broker/gate/json_reader.hpp"
#include "broker/gate/typed_request.hpp"

namespace sallyport::gate {
namespace {

struct Refused {
  int status;
  std::string rule;
};
const std::map<std::string, Refused> kRefused = {
    // nothing of the host is mounted
    {"docker-28.2.2 run -v bind", {403, "HostConfig.Binds"}},
    {"docker-28.2.2 run -v named", {403, "HostConfig.Binds"}},
    {"terminal-bench (docker-py + compose v2.26)", {403, "HostConfig.Binds"}},
    {"aider benchmark", {403, "HostConfig.Binds"}},
    // nothing of the host is mounted
    {"docker-28.2.2 run --mount", {403, "HostConfig.Mounts"}},
    // no power over the host
    {"docker-28.2.2 run --privileged", {403, "HostConfig.Privileged"}},
    // no network, so no ports
    {"docker-28.2.2 run -p", {403, "ExposedPorts"}},
    {"SWE-ReX / SWE-agent", {403, "ExposedPorts"}},
    {"OpenHands docker runtime", {403, "ExposedPorts"}},
    {"smolagents docker executor", {403, "ExposedPorts"}},
    // no volumes; docker-py sends this beside the Binds of the same mount
    {"python3-docker-5.0.3 run volume bind", {403, "Volumes"}},
    {"docker-compose-1.29.2 up net+volume", {403, "Volumes"}},
    {"autogen docker executor", {403, "Volumes"}},
    {"mle-bench", {403, "Volumes"}},
    {"crewAI code interpreter", {403, "Volumes"}},
    // no environment of other containers
    {"docker-compose-1.29.2 run --rm", {403, "HostConfig.Links"}},
    {"docker-compose 1.29 #2", {403, "HostConfig.Links"}},
    {"docker-compose 1.29 #4", {403, "HostConfig.Links"}},
    // no capabilities
    {"swe-bench harness", {403, "HostConfig.CapAdd"}},
    // images are named as the profile names them; these are ids
    {"llm-sandbox", {400, "Image"}},
    {"intercode", {400, "Image"}},
    // no network
    {"vivaria", {403, "HostConfig.NetworkMode"}},
};

Outcome<TypedRequest> decoded(const JsonValue& line) {
  const Route route{&api::row_of(api::Verb::Create), {}, line.find("query")->text};
  Head head;
  head.content_type = "application/json";
  return typed_request(route, head, line.find("body")->text);
}

TEST(ClientCreates, AreAcceptedOrRefusedByANamedRow) {
  std::ifstream file(std::string(SALLYPORT_GATE_TEST_DATA) + "/client_creates.jsonl");
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (std::string text; std::getline(file, text);) {
    const auto line = read_json(text);
    ASSERT_TRUE(line) << text;
    const std::string client = line->find("client")->text;
    const auto typed = decoded(*line);
    const auto expected = kRefused.find(client);
    if (typed) {
      EXPECT_EQ(expected, kRefused.end()) << client << " is accepted now";
      EXPECT_TRUE(std::holds_alternative<protocol::CreateContainer>(typed->request));
      EXPECT_TRUE(
          decode_message<protocol::RequestEnvelope>(encode_message(protocol::RequestEnvelope{1, typed->request})));
      ++accepted;
      continue;
    }
    ++refused;
    ASSERT_NE(expected, kRefused.end()) << client << ": {" << typed.error().status << ", \"" << typed.error().rule
                                        << "\"} " << typed.error().message;
    EXPECT_EQ(typed.error().status, expected->second.status) << client;
    EXPECT_EQ(typed.error().rule, expected->second.rule) << client << ": " << typed.error().message;
  }
  EXPECT_EQ(refused, kRefused.size()) << "a line of the table is no client's";
  EXPECT_GT(accepted, refused);
}

}  // namespace
}  // namespace sallyport::gate
