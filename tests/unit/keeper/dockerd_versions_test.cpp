// dockerds of other versions, as far as their range goes: real ones are in tests/integration/test_engines.py.
#include <algorithm>

#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using testing::HasSubstr;

// Refuses what is outside its range before it does anything, in dockerd's words.
FakeDockerd::Behaviour speaks(int oldest, int newest) {
  return [oldest, newest](const std::string& request) -> FakeDockerd::Answer {
    const std::string range =
        R"({"ApiVersion":"1.)" + std::to_string(newest) + R"(","MinAPIVersion":"1.)" + std::to_string(oldest) + R"("})";
    if (request.starts_with("GET /version ")) return {FakeDockerd::reply(200, range)};
    const std::size_t at = request.find(" /v1.");
    const int asked = at == std::string::npos ? 0 : std::stoi(request.substr(at + 5));
    const std::string version = R"({"message":"client version 1.)" + std::to_string(asked);
    if (asked < oldest)
      return {FakeDockerd::reply(400, version + " is too old. Minimum supported API version is 1." +
                                          std::to_string(oldest) +
                                          R"(, please upgrade your client to a newer version"})")};
    if (asked > newest)
      return {FakeDockerd::reply(
          400, version + " is too new. Maximum supported API version is 1." + std::to_string(newest) + R"("})")};
    return {};
  };
}

std::size_t asked_in(const KeeperUnderTest& keeper, const std::string& version) {
  const auto requests = keeper.dockerd().requests();
  return static_cast<std::size_t>(std::ranges::count_if(
      requests, [&](const std::string& request) { return request.find(" /v" + version + "/") != std::string::npos; }));
}

TEST(DockerdsVersion, IsServedWhereItTakesNothingBelow144) {
  KeeperUnderTest keeper;
  keeper.dockerd().behave(speaks(44, 52));
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{*ContainerName::parse("db")});
  EXPECT_GT(asked_in(keeper, "1.51"), 0U);
  EXPECT_EQ(asked_in(keeper, "1.41"), 0U);
}

TEST(DockerdsVersion, OutsideOfOursRefusesTheSessionWithBothRanges) {
  KeeperUnderTest keeper;
  keeper.dockerd().behave(speaks(12, 40));
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), HasSubstr("dockerd speaks API 1.12 to 1.40, and this broker 1.41 to 1.51"));
  EXPECT_THAT(keeper.refusal(), HasSubstr("install dockerd 20.10"));
  keeper.dockerd().behave(speaks(52, 60));
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), HasSubstr("dockerd speaks API 1.52 to 1.60, and this broker 1.41 to 1.51"));
  EXPECT_THAT(keeper.refusal(), HasSubstr("DOCKER_MIN_API_VERSION=1.51"));
  EXPECT_EQ(asked_in(keeper, "1.41") + asked_in(keeper, "1.51"), 0U) << "it was asked for more than its version";
  keeper.dockerd().behave({});
  EXPECT_TRUE(keeper.open()) << "the version is asked again: " << keeper.refusal();
}

TEST(DockerdsVersion, ThatIsGarbageRefusesTheSessionAndSaysSo) {
  KeeperUnderTest keeper;
  for (const char* body : {R"({"ApiVersion":"new","MinAPIVersion":"1.12"})", R"({"ApiVersion":"1.41"})", "[]", "<html>",
                           R"({"ApiVersion":41})", R"({"ApiVersion":"1.41","MinAPIVersion":"1.51"})"}) {
    keeper.dockerd().behave([body](const std::string& request) -> FakeDockerd::Answer {
      if (request.starts_with("GET /version ")) return {FakeDockerd::reply(200, body)};
      return {};
    });
    EXPECT_FALSE(keeper.open()) << body;
    EXPECT_THAT(keeper.refusal(), HasSubstr("dockerd cannot be used")) << body;
    EXPECT_THAT(keeper.refusal(), HasSubstr("version")) << body;
  }
  keeper.dockerd().behave([](const std::string& request) -> FakeDockerd::Answer {
    if (request.starts_with("GET /version ")) return {FakeDockerd::reply(500, R"({"message":"no"})")};
    return {};
  });
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), HasSubstr("it answered 500"));
}

TEST(DockerdsVersion, IsAskedAgainAfterDockerdHasBeenReplaced) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  EXPECT_GT(asked_in(keeper, "1.41"), 0U);
  keeper.dockerd().go_away();
  keeper.dockerd().behave(speaks(44, 45));
  keeper.dockerd().listen();
  keeper.expect<protocol::Created>(keeper.create_request("db2"));
  EXPECT_GT(asked_in(keeper, "1.45"), 0U);
}

TEST(DockerdsVersion, IsAskedAgainWhereOnlyItsRefusalTellsOfAReplacement) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(speaks(44, 45));  // on the connections that were kept
  keeper.expect<protocol::Created>(keeper.create_request("db2"));
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{*ContainerName::parse("db2")});
  EXPECT_GT(asked_in(keeper, "1.45"), 0U);
}

// Streams are asked on connections of their own, so no kept one tells of the replacement before.
FakeDockerd::Behaviour with_streams(const FakeDockerd::Behaviour& first) {
  return [first](const std::string& request) -> FakeDockerd::Answer {
    if (FakeDockerd::Answer answer = first(request); !answer.bytes.empty()) return answer;
    if (request.find("/attach?") != std::string::npos)
      return {"HTTP/1.1 101 UPGRADED\r\nContent-Type: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"};
    if (request.find("/logs?") != std::string::npos) return {FakeDockerd::reply(200, "said")};
    return {};
  };
}

TEST(DockerdsVersion, IsAskedAgainByAStreamThatIsTheFirstToMeetAReplacement) {
  const ContainerName db = *ContainerName::parse("db");
  const protocol::AttachContainer attach{db, false, true, false, true, true, {}};
  for (const protocol::Request& request :
       {protocol::Request(protocol::WaitContainer{db}), protocol::Request(attach),
        protocol::Request(protocol::ReadLogs{.container = db, .use_stdout = true})}) {
    KeeperUnderTest keeper;
    ASSERT_TRUE(keeper.open()) << keeper.refusal();
    keeper.expect<protocol::Created>(keeper.create_request("db"));
    keeper.expect<protocol::Succeeded>(protocol::StartContainer{db});
    keeper.dockerd().behave(with_streams(speaks(44, 45)));
    const protocol::Reply reply = keeper.ask(request);
    const auto* failed = std::get_if<protocol::Failed>(&reply);
    EXPECT_EQ(failed, nullptr) << failed->message.value;
    // An attach looks first whether the container runs.
    EXPECT_EQ(asked_in(keeper, "1.45"), std::holds_alternative<protocol::AttachContainer>(request) ? 2U : 1U);
  }
}

// dockerd says 400 to a stream for other reasons as well, and a client can have it say so as often as it likes.
TEST(DockerdsVersion, IsNotAskedAgainForAnotherRefusalOfAStream) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{*ContainerName::parse("db")});
  keeper.dockerd().behave([](const std::string& request) -> FakeDockerd::Answer {
    if (request.find("/attach?") == std::string::npos) return {};
    return {FakeDockerd::reply(400, R"({"message":"Invalid escape keys (abc) provided"})")};
  });
  const std::size_t before = keeper.dockerd().times("GET /version ");
  for (int i = 0; i < 3; ++i) {
    protocol::AttachContainer attach{*ContainerName::parse("db"), false, true, false, true, true, {}};
    attach.detach_keys = "abc";
    keeper.expect<protocol::Failed>(attach);
    keeper.expect<protocol::Inspected>(protocol::InspectContainer{*ContainerName::parse("db")});
  }
  EXPECT_EQ(keeper.dockerd().times("GET /version "), before);
}

TEST(DockerdsVersion, OutsideOfOursInTheMidstOfASessionIsSaidToItsClients) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(speaks(52, 60));
  const auto failed = keeper.expect<protocol::Failed>(protocol::InspectContainer{*ContainerName::parse("db")});
  EXPECT_EQ(failed.http_status, 503);
  EXPECT_THAT(failed.message.value, HasSubstr("this dockerd cannot be used; the broker's log says why"));
  keeper.dockerd().behave({});
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{*ContainerName::parse("db")});
}

}  // namespace
}  // namespace sallyport::testing_support
