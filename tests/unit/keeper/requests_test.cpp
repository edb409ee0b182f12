// What an honest gate gets from the real keeper loop: each granted request, its canonical form at dockerd, its record.
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

TEST(Requests, RunAContainerFromCreateToRemove) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const auto created = keeper.expect<protocol::Created>(keeper.create_request("db"));
  EXPECT_EQ(created.id.text(), FakeDockerd::id('c'));
  EXPECT_TRUE(
      keeper.dockerd().saw("GET /v1.41/images/docker.io/library/busybox:latest/json HTTP/1.1\r\nHost: docker\r\n\r\n"));
  EXPECT_TRUE(keeper.dockerd().saw("POST /v1.41/containers/create?name=sp-" + keeper.session() + "-db HTTP/1.1\r\n"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  EXPECT_TRUE(keeper.dockerd().saw("POST /v1.41/containers/" + FakeDockerd::id('c') +
                                   "/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"));
  const auto inspected = keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("cccc")});
  EXPECT_EQ(inspected.container.name.text(), "db");
  EXPECT_EQ(inspected.container.image.value, "busybox:latest");
  EXPECT_EQ(keeper.expect<protocol::Exited>(protocol::WaitContainer{named("db")}).status, 0);
  keeper.expect<protocol::Succeeded>(protocol::RemoveContainer{named("db"), true});
  EXPECT_EQ(keeper.expect<Failed>(protocol::InspectContainer{named("db")}).http_status, 404);
  EXPECT_TRUE(keeper.audit_has(
      R"("decision":"ALLOW","source":"keeper","method":"POST","endpoint":"/containers/create","object":"busybox:latest as db")"));
  EXPECT_TRUE(keeper.audit_has(R"("method":"DELETE")"));
}

TEST(Requests, ForContainersOfOthersAreTheSame404AsForNone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave([](const std::string&) { return FakeDockerd::Answer{}; });
  const std::size_t before = keeper.dockerd().requests().size();
  for (const std::string& reference :
       {std::string("postgres"), FakeDockerd::id('c'), std::string("c"), std::string("nobody")}) {
    const std::vector<protocol::Request> requests = {
        protocol::StartContainer{named(reference)},  protocol::WaitContainer{named(reference)},
        protocol::AttachContainer{named(reference)}, protocol::ReadLogs{named(reference)},
        protocol::KillContainer{named(reference)},   protocol::StopContainer{named(reference)},
        protocol::ResizeContainer{named(reference)}, protocol::InspectContainer{named(reference)},
        protocol::RemoveContainer{named(reference)}};
    for (const auto& request : requests) {
      const auto failed = keeper.expect<Failed>(request);
      EXPECT_EQ(failed.http_status, 404);
      EXPECT_EQ(failed.message.value, "No such container: " + reference);
    }
  }
  EXPECT_EQ(keeper.dockerd().requests().size(), before) << "dockerd hears of none of them";
  EXPECT_TRUE(keeper.audit_has("container.not-owned"));
}

TEST(Requests, OfADeniedCreateReachNothing) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request();
  ask.image = *ImageRef::parse("docker.io/library/alpine:latest");
  EXPECT_EQ(keeper.expect<Failed>(ask).http_status, 403);
  EXPECT_TRUE(keeper.audit_has(R"("decision":"DENY")"));
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/create"));
  EXPECT_FALSE(keeper.dockerd().saw("GET /v1.41/images"));
}

// That each rule on what image and request make together is asked at all: refused, recorded, and nothing made.
struct ImageRule {
  const char* config;  // members of the image's Config
  const char* platform;
  const char* rule;
  std::uint16_t status;
};
TEST(Requests, OfAnImageThatBreaksARuleMakeNothing) {
  const ImageRule rules[] = {
      {R"("Cmd":["sh"],"WorkingDir":"/proc/self/fd/7")", "", "Image.WorkingDir", 403},
      {R"("Cmd":["sh"],"WorkingDir":"/proc/1/root")", "", "Image.WorkingDir", 403},
      {R"("Cmd":["sh"],"WorkingDir":"/sys/fs/cgroup")", "", "Image.WorkingDir", 403},
      {R"("Cmd":["sh"],"Volumes":{"/dev":{}})", "", "Image.Volumes", 403},
      {R"("Cmd":["sh"],"StopSignal":"a b")", "", "Image.StopSignal", 403},
      {R"("Cmd":["a\u0000b"])", "", "Cmd", 400},
      {R"("Cmd":["a"],"Entrypoint":["a\u0000b"])", "", "Entrypoint", 400},
      {R"("Cmd":["a"],"Env":["A=\u0000"])", "", "Env", 400},
      {R"("Cmd":null)", "", "Cmd", 400},
      {R"("Cmd":["a"])", "linux/arm64", "platform", 403},
  };
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const auto config = std::make_shared<std::string>();
  keeper.dockerd().behave([config](const std::string& request) {
    if (request.find("/images/") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, FakeDockerd::image(*config))};
  });
  for (const ImageRule& rule : rules) {
    *config = rule.config;
    auto ask = keeper.create_request();
    ask.platform = rule.platform;
    EXPECT_EQ(keeper.expect<Failed>(ask).http_status, rule.status) << rule.config;
    EXPECT_TRUE(keeper.audit().back().find("\"rule\":\"" + std::string(rule.rule) + "\"") != std::string::npos)
        << keeper.audit().back();
  }
  *config = R"("Cmd":["a"],"Labels":{"a":")" + std::string(limits::kMaxDescriptionBytes, 'x') + "\"}";
  EXPECT_EQ(keeper.expect<Failed>(keeper.create_request()).http_status, 413);
  EXPECT_EQ(keeper.dockerd().times("POST /v1.41/containers/create"), 0U);
  *config = R"("Cmd":["sh"],"WorkingDir":"/proc/self/fd/7","Env":["NVIDIA_VISIBLE_DEVICES=all"])";
  auto ask = keeper.create_request();
  ask.working_directory = "/tmp";
  const auto created = keeper.expect<protocol::Created>(ask);
  EXPECT_EQ(created.warnings.items.size(), 1U);
  ASSERT_EQ(keeper.dockerd().times("POST /v1.41/containers/create"), 1U);
  EXPECT_THAT(keeper.dockerd().requests().back(), testing::HasSubstr(R"("Env":["NVIDIA_VISIBLE_DEVICES",)"));
  EXPECT_THAT(keeper.dockerd().requests().back(), testing::HasSubstr(R"("WorkingDir":"/tmp")"));
  EXPECT_THAT(keeper.dockerd().requests().back(), testing::HasSubstr(R"("Healthcheck":{"Test":["NONE"]})"));
}

TEST(Requests, ThatAskForWhatTheProfileImposesHearItAndAreRecordedWithIt) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request("db");
  ask.memory = std::int64_t{1} << 40;
  ask.wishes.user = "root";
  const auto created = keeper.expect<protocol::Created>(ask);
  ASSERT_EQ(created.warnings.items.size(), 2U);
  EXPECT_THAT(created.warnings.items[0].value, testing::StartsWith("sallyport: User \"root\" does not hold"));
  EXPECT_TRUE(keeper.audit_has(R"("reason":"imposed: User, HostConfig.Memory")"));
  EXPECT_TRUE(keeper.expect<protocol::Created>(keeper.create_request("silent")).warnings.items.empty());
}

TEST(Requests, ForAnotherRuntimeMakeNothing) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request();
  ask.runtime = "io.containerd.kata.v2";
  EXPECT_EQ(keeper.expect<Failed>(ask).http_status, 403);
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/create"));
  ask.runtime = "runc";
  keeper.expect<protocol::Created>(ask);
}

TEST(Requests, ThatFailAtStartNameTheCommandThatTheSessionAskedFor) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request("db");
  ask.command.emplace();
  ask.command->items = {"nosuch", "x"};
  keeper.expect<protocol::Created>(ask);
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/start") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{
        .bytes = FakeDockerd::reply(
            400, R"({"message":"runc: exec: \"nosuch\": executable file not found in $PATH: unknown"})")};
  });
  EXPECT_EQ(keeper.expect<Failed>(protocol::StartContainer{named("db")}).message.value,
            "sallyport: the command \"nosuch\" was not found: executable file not found in $PATH");
}

TEST(Requests, ShowTheImageAsItWasWritten) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request("db");
  ask.image_as_written = *ImageRef::parse("busybox");
  keeper.expect<protocol::Created>(ask);
  EXPECT_EQ(keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")}).container.image.value,
            "busybox");
}

TEST(Requests, WaitAnswersOnceDockerdHasRegisteredIt) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/wait") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
  });
  keeper.send(7, protocol::WaitContainer{named("db"), protocol::WaitCondition::NextExit});
  const auto waiting = keeper.reply(7);
  ASSERT_TRUE(waiting);
  EXPECT_TRUE(std::holds_alternative<protocol::Waiting>(waiting->reply));
  EXPECT_FALSE(keeper.reply(7, 200)) << "it has not ended yet";
  keeper.send(8, protocol::CancelRequest{7});
  const auto ended = keeper.reply(7);
  ASSERT_TRUE(ended);
  EXPECT_EQ(std::get<protocol::Exited>(ended->reply).status, -1);
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
}

TEST(Requests, OfAStopThatWouldWaitTooLongAreHeldToWhatIsWaitedAndRecordedSo) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::string stop = "POST /v1.41/containers/" + FakeDockerd::id('c') + "/stop?t=";
  const auto words = R"("reason":"imposed: t, at most 30 s are waited")";
  keeper.ask(protocol::StopContainer{named("db"), limits::kMaxStopSeconds});
  EXPECT_EQ(keeper.dockerd().times(stop + "30 "), 1U);
  EXPECT_EQ(keeper.audit().back().find(words), std::string::npos);
  keeper.ask(protocol::StopContainer{named("db"), limits::kMaxStopSeconds + 1});
  EXPECT_EQ(keeper.dockerd().times(stop + "30 "), 2U);
  EXPECT_TRUE(keeper.audit_has(words));
}

TEST(Requests, ForgetContainersThatDockerdHasRemovedByItself) {
  KeeperUnderTest::Options options;
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request("db");
  ask.auto_remove = true;
  keeper.expect<protocol::Created>(ask);
  keeper.expect<protocol::Created>(
      keeper.create_request("db"));  // dockerd's list, asked because of the conflict, is empty
}

TEST(Attach, HandsOverTheConnectionAfter101AndItsEarlyBytes) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/attach") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{
        .bytes = "HTTP/1.1 101 UPGRADED\r\nContent-Type: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"};
  });
  const auto hijacked = keeper.expect<protocol::Hijacked>(protocol::AttachContainer{named("db"), false, true});
  EXPECT_EQ(hijacked.early.value, "early");
  auto fds = keeper.take_fds();
  ASSERT_EQ(fds.size(), 1U);
  keeper.close_control();
  EXPECT_TRUE(keeper.spawner_saw("kill"));
  char byte;
  EXPECT_EQ(::recv(fds[0].get(), &byte, 1, 0), 0) << "a stream is shut down with its session";
}

// dockerd 20.10 hangs with a running container for good once it was attached to without stream (daemon/attach.go).
TEST(Attach, WithoutStreamIsNeverSentAndShowsTheLogsSoFar) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/logs?") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes =
                                   FakeDockerd::reply(200, request.find("tail=0") == std::string::npos ? "said" : "")};
  });
  for (const bool with_logs : {true, false}) {
    keeper.expect<protocol::Hijacked>(protocol::AttachContainer{named("db"), with_logs, false, false, true, true, {}});
    auto fds = keeper.take_fds();
    ASSERT_EQ(fds.size(), 1U);
    std::string heard(16, ' ');
    const ssize_t size = ::recv(fds[0].get(), heard.data(), heard.size(), MSG_WAITALL);
    EXPECT_EQ(heard.substr(0, static_cast<std::size_t>(size)), with_logs ? "said" : "");
  }
  EXPECT_TRUE(keeper.dockerd().saw("GET /v1.41/containers/" + FakeDockerd::id('c') + "/logs?"));
  EXPECT_FALSE(keeper.dockerd().saw("POST /v1.41/containers/" + FakeDockerd::id('c') + "/attach"));
}

FakeDockerd::Behaviour without_a_task(bool is_listed) {
  return [is_listed](const std::string& request) {
    if (request.find("/resize") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(404, R"({"message":"No such task"})")};
    if (request.find("/containers/json") != std::string::npos && is_listed)
      return FakeDockerd::Answer{
          .bytes = FakeDockerd::reply(200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","Names":["/sp-x"]}])")};
    if (request.find("/containers/json") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, "[]")};
    return FakeDockerd::Answer{};
  };
}

TEST(Ledger, KeepsAContainerWhoseTaskAloneIsGone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(without_a_task(true));
  EXPECT_EQ(keeper.expect<Failed>(protocol::ResizeContainer{named("db"), 10, 10}).http_status, 404);
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
}

TEST(Ledger, ForgetsAContainerThatDockerdDoesNotListEither) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(without_a_task(false));
  EXPECT_EQ(keeper.expect<Failed>(protocol::ResizeContainer{named("db"), 10, 10}).http_status, 404);
  EXPECT_EQ(keeper.expect<Failed>(protocol::InspectContainer{named("db")}).http_status, 404);
}

TEST(Lifetime, OfAStartThatCrossesTheKillIsLimitedToo) {
  KeeperUnderTest::Options options;
  options.profile = std::string(kProfileText) + "lifetime = \"1s\"\n";
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/kill?") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(409, R"({"message":"is not running"})")};
    if (request.find("/start") != std::string::npos)  // takes effect after the first lifetime's kill
      return FakeDockerd::Answer{.bytes = "HTTP/1.1 204 No Content\r\n\r\n", .delay_milliseconds = 1500};
    return FakeDockerd::Answer{};
  });
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  EXPECT_TRUE(eventually(
      [&] { return keeper.dockerd().times("POST /v1.41/containers/" + FakeDockerd::id('c') + "/kill?") == 2; }));
}

TEST(Streams, ThatAreOpenOrBeingOpenedAreBoundedTogether) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  const auto attached = std::make_shared<std::atomic<std::size_t>>(0);
  const auto hangs = std::make_shared<std::atomic<bool>>(false);
  keeper.dockerd().behave([attached, hangs](const std::string& request) {
    if (request.find("/attach") == std::string::npos) return FakeDockerd::Answer{};
    ++*attached;
    return FakeDockerd::Answer{.bytes = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
                               .never = *hangs};
  });
  const protocol::AttachContainer attach{named("db"), false, true};
  constexpr std::size_t kMost = limits::kMaxClientConnections;
  for (std::size_t i = 0; i + 2 < kMost; ++i) keeper.expect<protocol::Hijacked>(attach);
  *hangs = true;
  keeper.send(1, attach);
  keeper.send(2, attach);
  ASSERT_TRUE(eventually([&] { return *attached == kMost; }));
  const auto refused = keeper.expect<Failed>(attach);
  EXPECT_EQ(refused.http_status, 429) << "two of them are not open yet, and have their places";
  EXPECT_EQ(refused.message.value, "sallyport: the session has 128 open streams; close one");
  EXPECT_EQ(keeper.expect<Failed>(protocol::ReadLogs{named("db")}).http_status, 429);
  keeper.send(3, protocol::CancelRequest{1});
  ASSERT_TRUE(keeper.reply(1)) << "what is not opened gives its place back";
  *hangs = false;
  keeper.expect<protocol::Hijacked>(attach);
  EXPECT_EQ(keeper.expect<Failed>(attach).http_status, 429);
  EXPECT_EQ(*attached, kMost + 1);
}

TEST(Claims, OfTheGateAreRecordedAsItsClaims) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  protocol::GateClaim claim;
  claim.http_status = 403;
  claim.method = "POST";
  claim.endpoint = "/containers/{name}/exec";
  claim.reason = "said the gate\n";
  claim.repeated = 3;
  keeper.send(5, claim);
  EXPECT_TRUE(keeper.audit_has(
      R"("decision":"DENY","source":"gate","method":"POST","endpoint":"/containers/{name}/exec","object":"403","rule":"","reason":"said the gate\u000a","count":3})"));
}

}  // namespace
}  // namespace sallyport::testing_support
