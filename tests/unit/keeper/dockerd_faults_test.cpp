// dockerd at its worst: whatever it answers, the client gets a status and our words, the gate never gets a connection
// that could still speak HTTP to dockerd, and the keeper lives on.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "broker/engine/docker_client.hpp"
#include "keeper_under_test.hpp"
#include "unit/thorough.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;
namespace net = boost::asio;

ContainerName db() { return *ContainerName::parse("db"); }

struct Fault {
  const char* sentence;
  FakeDockerd::Answer answer;
  unsigned status;
};
class Inspecting : public testing::TestWithParam<Fault> {};
TEST_P(Inspecting, AFaultyAnswerIsAnErrorInOurWords) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    return request.find("/json HTTP") != std::string::npos ? GetParam().answer : FakeDockerd::Answer{};
  });
  const auto failed = keeper.expect<Failed>(protocol::InspectContainer{db()});
  EXPECT_EQ(failed.http_status, GetParam().status) << GetParam().sentence;
  EXPECT_THAT(failed.message.value, testing::Not(testing::HasSubstr("secret")));
  keeper.dockerd().behave({});
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{db()});  // it recovers by itself
}
std::string ok(const std::string& body) { return FakeDockerd::reply(200, body); }
INSTANTIATE_TEST_SUITE_P(
    Answers, Inspecting,
    testing::Values(
        Fault{"half a head, then nothing", {.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .then_close = true}, 503},
        Fault{"half a body, then nothing",
              {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Id\":", .then_close = true},
              503},
        Fault{"not HTTP", {.bytes = "SSH-2.0-OpenSSH\r\n\r\n", .then_close = true}, 502},
        Fault{"a head without end",
              {.bytes = "HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'x'), .then_close = true},
              502},
        Fault{"a body larger than we read", {.bytes = ok("{\"x\":\"" + std::string(2'000'000, 'x') + "\"}")}, 502},
        Fault{"a length that is no number",
              {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .then_close = true},
              502},
        Fault{"two lengths",
              {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", .then_close = true},
              502},
        Fault{"JSON that is cut", {.bytes = ok("{\"Id\":\"ccc")}, 502},
        Fault{"another container", {.bytes = ok("{\"Id\":\"" + FakeDockerd::id('d') + "\"}")}, 502},
        Fault{"an error that names a host path",
              {.bytes = FakeDockerd::reply(500, R"({"message":"open /var/lib/secret"})")},
              500},
        Fault{"an upgrade nobody asked for",
              {.bytes = "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n", .then_close = true},
              502}));

TEST(Dockerd, WhoseHeadIsLongerThanIsReadIsA502InOurWords) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const auto removed_with_a_head_of = [&](std::size_t size) {
    const std::string begin = "HTTP/1.1 204 No Content\r\nX: ";
    const std::string head = begin + std::string(size - begin.size() - 4, 'x') + "\r\n\r\n";
    keeper.dockerd().behave([head](const std::string& request) {
      return FakeDockerd::Answer{.bytes = request.starts_with("DELETE ") ? head : ""};
    });
    return keeper.ask(protocol::RemoveContainer{db(), true});
  };
  const auto refused = removed_with_a_head_of(limits::kMaxUpstreamHeadBytes + 1);
  ASSERT_TRUE(std::holds_alternative<Failed>(refused)) << refused.index();
  EXPECT_EQ(std::get<Failed>(refused).http_status, 502);
  EXPECT_THAT(std::get<Failed>(refused).message.value, testing::HasSubstr("dockerd's answer could not be read"));
  EXPECT_TRUE(std::holds_alternative<protocol::Succeeded>(removed_with_a_head_of(limits::kMaxUpstreamHeadBytes)));
}

TEST(Dockerd, ThatDoesNotAnswerIsA504WithinItsTime) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string&) { return FakeDockerd::Answer{.never = true}; });
  keeper.send(7, protocol::InspectContainer{db()});
  const int deadline = static_cast<int>(std::chrono::milliseconds(limits::kUpstreamDeadline).count());
  EXPECT_FALSE(keeper.reply(7, deadline - 2000)) << "up to its time it is waited for";
  const auto late = keeper.reply(7, 5000);
  ASSERT_TRUE(late && std::holds_alternative<Failed>(late->reply));
  EXPECT_EQ(std::get<Failed>(late->reply).http_status, 504);
  EXPECT_EQ(std::get<Failed>(late->reply).message.value, "sallyport: dockerd did not answer in time");
}

class SilentDockerd : public testing::TestWithParam<const char*> {};
TEST_P(SilentDockerd, LetsNoSessionBeginAndTheOpenerHearsIt) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper;
  keeper.dockerd().behave([](const std::string& request) {
    return FakeDockerd::Answer{.never = request.find(GetParam()) != std::string::npos};
  });
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(keeper.open(0, 40'000));
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("dockerd cannot be used"));
  EXPECT_GT(std::chrono::steady_clock::now() - before, std::chrono::seconds(9));
}
INSTANTIATE_TEST_SUITE_P(Asked, SilentDockerd, testing::Values("/version", "/info"));

struct AttachFault {
  const char* sentence;
  std::string bytes;
  unsigned status;
};
class Attaching : public testing::TestWithParam<AttachFault> {};
TEST_P(Attaching, NeverHandsOverWhatHasNotSwitchedProtocols) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{db()});
  keeper.dockerd().behave([](const std::string& request) {
    return request.find("/attach") != std::string::npos
               ? FakeDockerd::Answer{.bytes = GetParam().bytes, .then_close = true}
               : FakeDockerd::Answer{};
  });
  const auto failed = keeper.expect<Failed>(protocol::AttachContainer{db(), false, true});
  EXPECT_EQ(failed.http_status, GetParam().status) << GetParam().sentence;
  EXPECT_TRUE(keeper.take_fds().empty()) << GetParam().sentence;
}
INSTANTIATE_TEST_SUITE_P(
    Answers, Attaching,
    testing::Values(AttachFault{"a raw stream after 200",
                                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nraw", 502},
                    AttachFault{"101 without Upgrade", "HTTP/1.1 101 UPGRADED\r\n\r\n", 502},
                    AttachFault{"101 to another protocol",
                                "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502},
                    AttachFault{"101 to tcp and more",
                                "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp, h2c\r\n\r\n", 502},
                    AttachFault{"a refusal",
                                FakeDockerd::reply(409, R"({"message":"cannot attach to a paused container"})"), 409},
                    AttachFault{"half a head", "HTTP/1.1 101 UPG", 503}));

TEST(Attach, ThatIsRefusedWithABodyWithoutEndIsAnsweredAllTheSame) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{*ContainerName::parse("db")});
  keeper.dockerd().behave([](const std::string& request) -> FakeDockerd::Answer {
    if (request.find("/attach?") == std::string::npos) return {};
    return {"HTTP/1.1 400 X\r\nContent-Length: 100\r\n\r\n{"};
  });
  keeper.send(1, protocol::AttachContainer{*ContainerName::parse("db"), false, true, false, true, true, {}});
  const auto within = std::chrono::milliseconds(limits::kUpstreamDeadline) + std::chrono::seconds(5);
  const auto answer = keeper.reply(1, static_cast<int>(within.count()));
  ASSERT_TRUE(answer);
  EXPECT_EQ(std::get<protocol::Failed>(answer->reply).http_status, 504);
}

TEST(Dockerd, ThatHasGoneIs503AndRecoversByItself) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().go_away();
  for (const protocol::Request& request : std::vector<protocol::Request>{
           protocol::InspectContainer{db()}, protocol::StartContainer{db()}, protocol::ListContainers{},
           keeper.create_request("d2"), protocol::ReadLogs{db()}}) {
    const auto failed = keeper.expect<Failed>(request);
    EXPECT_EQ(failed.http_status, 503);
    EXPECT_THAT(failed.message.value, testing::HasSubstr("dockerd cannot be reached"));
  }
  keeper.dockerd().listen();
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{db()});
  keeper.expect<protocol::Created>([&] {
    auto ask = keeper.create_request("d3");
    return ask;
  }());
}

TEST(Dockerd, ThatIsAwayLetsNoSessionBegin) {
  KeeperUnderTest keeper;
  keeper.dockerd().go_away();
  EXPECT_FALSE(keeper.open());
  EXPECT_THAT(keeper.refusal(), testing::HasSubstr("dockerd cannot be used"));
  keeper.dockerd().listen();
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
}

// Labels of the client's and what dockerd tells are bounded each, and not together.
TEST(Inspection, ThatIsLargerThanAMessageIsAnErrorOfItsRequestAlone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  auto ask = keeper.create_request("db");
  for (std::size_t i = 0; i < limits::kMaxLabels; ++i)
    ask.labels.items.push_back({"l" + std::to_string(i), std::string(64'000 / limits::kMaxLabels, 'v')});
  keeper.expect<protocol::Created>(ask);
  const auto inspect = [&](std::size_t argument_bytes) {
    keeper.dockerd().behave([=](const std::string& request) {
      return FakeDockerd::Answer{.bytes = request.find("/json HTTP") == std::string::npos
                                              ? ""
                                              : ok(R"({"Id":")" + FakeDockerd::id('c') +
                                                   R"(","State":{"Status":"running"},"Args":[")" +
                                                   std::string(argument_bytes, 'a') + R"("],"Config":{"Cmd":[")" +
                                                   std::string(argument_bytes, 'a') + R"("]},"HostConfig":{}})")};
    });
    return keeper.ask(protocol::InspectContainer{db()});
  };
  const auto served = inspect(40'000);
  ASSERT_TRUE(std::holds_alternative<protocol::Inspected>(served)) << served.index();
  // The largest that is served, and one byte more: each byte of an argument counts twice here.
  const std::size_t size = encode_message(protocol::ReplyEnvelope{1, served}).size();
  const std::size_t more = (limits::kMaxMessageBytes - size) / 2;
  EXPECT_TRUE(std::holds_alternative<protocol::Inspected>(inspect(40'000 + more)));
  for (const std::size_t beyond : {more + 1, more + 15'000}) {
    const auto refused = inspect(40'000 + beyond);
    ASSERT_TRUE(std::holds_alternative<Failed>(refused)) << refused.index();
    EXPECT_EQ(std::get<Failed>(refused).http_status, 500);
    EXPECT_THAT(std::get<Failed>(refused).message.value, testing::HasSubstr("larger than is served"));
  }
  EXPECT_FALSE(keeper.spawner_saw("kill", 100)) << "the session goes on";
  keeper.dockerd().behave({});
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{db()});
}

TEST(Logs, AreFedPieceByPieceAndEndWithTheirSource) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/logs") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{
        .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n7\r\n second\r\n0\r\n\r\n"};
  });
  keeper.expect<protocol::Streaming>(protocol::ReadLogs{db(), false, true, true});
  auto fds = keeper.take_fds();
  ASSERT_EQ(fds.size(), 1U);
  std::string text;
  char buffer[64];
  for (ssize_t size; (size = ::recv(fds[0].get(), buffer, sizeof buffer, 0)) != 0;) {
    if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
    else if (errno != EAGAIN) break;
  }
  EXPECT_EQ(text, "first second");
}

// What would be queued in the keeper for nobody.
TEST(Logs, TakeNothingFromTheGate) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/logs") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
  });
  keeper.expect<protocol::Streaming>(protocol::ReadLogs{.container = db(), .follow = true, .use_stdout = true});
  const auto fds = keeper.take_fds();
  ASSERT_EQ(fds.size(), 1U);
  EXPECT_EQ(::send(fds[0].get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST(Attach, ThatIsRefusedWithMoreThanIsReadIsA502) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{db()});
  const auto refused_with = [&](std::size_t bytes) {
    const std::string begin = R"({"message":")";
    const std::string text = begin + std::string(bytes - begin.size() - 2, 'x') + "\"}";
    keeper.dockerd().behave([text](const std::string& request) {
      return FakeDockerd::Answer{.bytes = request.contains("/attach") ? FakeDockerd::reply(409, text) : ""};
    });
    return keeper.expect<Failed>(protocol::AttachContainer{db(), false, true}).http_status;
  };
  EXPECT_EQ(refused_with(limits::kMaxUpstreamHeadBytes - 1024), 409);
  EXPECT_EQ(refused_with(limits::kMaxUpstreamHeadBytes + 1024), 502);
}

// The watch over deadlines sleeps where nothing is under way.
TEST(Dockerd, ThatDoesNotAnswerIsGivenUpInTimeWhereNothingElseIsUnderWay) {
  const KeeperUnderTest with_a_dockerd;
  FakeDockerd dockerd(with_a_dockerd.directory() + "/silent.sock");
  dockerd.behave([](const std::string& request) { return FakeDockerd::Answer{.never = request.contains("/info")}; });
  net::io_context io(1);
  engine::DockerClient client(io.get_executor(), with_a_dockerd.directory() + "/silent.sock", engine::PlaceBounds{},
                              engine::MemoryGauge(limits::kLeastMemoryCeiling, [] { return 0; }));
  std::optional<Error> error;
  engine::Exchange exchange;
  const auto asks = [&]() -> net::awaitable<void> {
    const auto reply = co_await client.ask(engine::render_info(), exchange, std::chrono::seconds(1));
    if (!reply) error = reply.error();
    io.stop();
  };
  net::co_spawn(io, client.watch_deadlines(), net::detached);
  io.poll();
  net::co_spawn(io, asks, net::detached);
  io.run_for(std::chrono::seconds(10));
  ASSERT_TRUE(error) << "it is waited for";
  EXPECT_EQ(error->code, ETIMEDOUT);
}

}  // namespace
}  // namespace sallyport::testing_support
