// Connections to dockerd, log reads, followers and memory: what one session takes of them, and what is left to others.

#include "broker/engine/places.hpp"
#include "broker/protocol/permits.hpp"
#include "keeper_under_test.hpp"
#include "sallyport/profile/config.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

constexpr std::size_t kForStreams = limits::kDockerdShare - limits::kDockerdShareForRequests;
constexpr std::size_t kCommon = 3;
const std::string kContainer = FakeDockerd::id('c');
const std::string kSwitched = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const std::string kStreaming = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

// A keeper that may open so few files that sessions have kCommon connections in common.
KeeperUnderTest::Options with_few_files() {
  KeeperUnderTest::Options options;
  options.open_files = engine::PlaceBounds{BrokerConfig{}.max_sessions, kCommon}.descriptors();
  return options;
}

// What streams is held open; everything else is answered.
void hold_streams(KeeperUnderTest& keeper) {
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/attach") != std::string::npos) return FakeDockerd::Answer{.bytes = kSwitched};
    if (request.find("/wait") != std::string::npos || request.find("/logs") != std::string::npos)
      return FakeDockerd::Answer{.bytes = kStreaming};
    return FakeDockerd::Answer{};
  });
}

TEST(Connections, OfAttachesCountForAsLongAsDockerdsSideIsOpenWhoeverHoldsThem) {
  KeeperUnderTest keeper(with_few_files());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  hold_streams(keeper);
  const protocol::AttachContainer attach{named("db"), false, true};
  for (protocol::RequestId id = 1; id <= kForStreams + kCommon; ++id) {
    keeper.send(id, attach);
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply)) << id;
  }
  const auto refused = keeper.expect<Failed>(attach);
  EXPECT_EQ(refused.http_status, 503);
  EXPECT_THAT(refused.message.value, testing::HasSubstr("this session has 9 waits and streams and 0 requests open"));
  EXPECT_THAT(refused.message.value, testing::HasSubstr("its share of 8 connections is used up, and so are the 3"));
  EXPECT_THAT(refused.message.value, testing::HasSubstr("end waits, attaches or followed logs"));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"dockerd.connections")"));
  EXPECT_THAT(keeper.log(), testing::HasSubstr("sessions share 3 connections to dockerd instead of 1536"));
  EXPECT_THAT(keeper.log(), testing::HasSubstr(": was refused POST /containers/{name}/attach: this session has 9"));
  (void)keeper.take_fds();  // the gate closes its ends, and the keeper has its duplicates
  EXPECT_EQ(keeper.expect<Failed>(attach).http_status, 503);
  EXPECT_EQ(keeper.expect<Failed>(protocol::WaitContainer{named("db")}).http_status, 503);
  EXPECT_EQ(keeper.expect<Failed>(protocol::ReadLogs{named("db")}).http_status, 503);
  for (int i = 0; i < 5; ++i) keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
  keeper.send(500, protocol::CancelRequest{1});
  keeper.expect<protocol::Hijacked>(attach);
  EXPECT_EQ(keeper.expect<Failed>(attach).http_status, 503);
}

TEST(Connections, OfWaitsAndFollowersCountUntilTheyEnd) {
  KeeperUnderTest keeper(with_few_files());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  const protocol::WaitContainer wait{named("db")};
  const protocol::ReadLogs follow{.container = named("db"), .follow = true};
  for (protocol::RequestId id = 1; id <= kForStreams + kCommon; ++id) {
    keeper.send(id, id % 2 == 0 ? protocol::Request(wait) : protocol::Request(follow));
    ASSERT_TRUE(keeper.reply(id));
  }
  EXPECT_EQ(keeper.expect<Failed>(wait).http_status, 503);
  EXPECT_EQ(keeper.expect<Failed>(follow).http_status, 503);
  keeper.send(500, protocol::CancelRequest{2});
  ASSERT_TRUE(keeper.reply(2)) << "the end of a wait";
  keeper.send(20, wait);
  const auto again = keeper.reply(20);
  EXPECT_TRUE(again && std::holds_alternative<protocol::Waiting>(again->reply));
}

TEST(Connections, UsedUpByOneSessionHoldUpNoEnding) {
  KeeperUnderTest keeper(with_few_files());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  for (protocol::RequestId id = 1; id <= 12; ++id) keeper.send(id, protocol::WaitContainer{named("db")});
  for (protocol::RequestId id = 1; id <= 12; ++id) ASSERT_TRUE(keeper.reply(id));
  keeper.expect<protocol::Succeeded>(protocol::KillContainer{named("db")});
  keeper.close_control();
  EXPECT_TRUE(eventually([&] { return keeper.dockerd().saw("DELETE /v1.41/containers/" + kContainer); }, 2000));
}

TEST(Connections, ThatDoNotFitIntoTheProcessesFilesKeepTheBrokerFromStarting) {
  KeeperUnderTest::Options options = with_few_files();
  options.open_files =
      engine::PlaceBounds{BrokerConfig{}.max_sessions, 0, limits::kLeastDockerdShare}.descriptors() - 1;
  KeeperUnderTest keeper(options);
  EXPECT_EQ(keeper.exit_code(10'000), 1);
  EXPECT_THAT(keeper.log(), testing::HasSubstr("max_sessions is 64: the shares of so many sessions need"));
}

TEST(Connections, OfASessionsOwnAreFewerWhereTheProcessMayOpenFewFilesAndItIsSaid) {
  KeeperUnderTest::Options options;
  options.open_files = engine::PlaceBounds{BrokerConfig{}.max_sessions, 0, limits::kDockerdShare - 1}.descriptors();
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  EXPECT_THAT(keeper.log(),
              testing::HasSubstr("each session has 7 connections to dockerd of its own instead of 8, because "
                                 "this process may have"));
}

TEST(LogReads, GoToDockerdTwoAtATimeAndTheOthersWaitTheirTurn) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  const auto asked = [&] { return keeper.dockerd().times("GET /v1.41/containers/" + kContainer + "/logs?"); };
  const protocol::ReadLogs read{.container = named("db"), .use_stdout = true};
  const protocol::AttachContainer snapshot{.container = named("db"), .logs = true, .use_stdout = true};
  for (const protocol::RequestId id : {1, 2, 3, 4}) keeper.send(id, read);
  keeper.send(5, snapshot);
  ASSERT_TRUE(eventually([&] { return asked() == 2; }));
  ASSERT_TRUE(keeper.reply(1) && keeper.reply(2));
  EXPECT_FALSE(keeper.reply(3, 150)) << "it waits";
  EXPECT_EQ(asked(), 2U);
  keeper.expect<protocol::Streaming>(protocol::ReadLogs{.container = named("db"), .follow = true});
  EXPECT_EQ(asked(), 3U) << "a follower waits for nobody";
  keeper.send(500, protocol::CancelRequest{3});
  const auto gone = keeper.reply(3);
  ASSERT_TRUE(gone && std::holds_alternative<Failed>(gone->reply)) << "a client that goes away leaves the queue";
  EXPECT_EQ(asked(), 3U);
  keeper.send(501, protocol::CancelRequest{1});
  const auto next = keeper.reply(4);
  EXPECT_TRUE(next && std::holds_alternative<protocol::Streaming>(next->reply));
  EXPECT_FALSE(keeper.reply(5, 150));
  keeper.send(502, protocol::CancelRequest{2});
  const auto last = keeper.reply(5);
  EXPECT_TRUE(last && std::holds_alternative<protocol::Hijacked>(last->reply)) << "an attach without stream is a read";
  EXPECT_EQ(asked(), 5U);
}

TEST(LogReads, ThatWaitEndWithTheirSession) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  for (protocol::RequestId id = 1; id <= 10; ++id) keeper.send(id, protocol::ReadLogs{named("db")});
  ASSERT_TRUE(keeper.reply(2));
  keeper.close_control();
  EXPECT_TRUE(eventually([&] { return keeper.audit_has(R"("event":"session-end")"); }));
  EXPECT_TRUE(keeper.is_alive());
}

TEST(Followers, AreBoundedByTheSessionsContainers) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  const protocol::ReadLogs follow{.container = named("db"), .follow = true};
  constexpr std::size_t kMost = limits::kFollowersPerContainer + limits::kFollowersBesides;
  for (protocol::RequestId id = 1; id <= kMost; ++id) {
    keeper.send(id, follow);
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply && std::holds_alternative<protocol::Streaming>(reply->reply)) << id;
  }
  const auto refused = keeper.expect<Failed>(follow);
  EXPECT_EQ(refused.http_status, 429);
  EXPECT_THAT(refused.message.value, testing::HasSubstr("follows logs 6 times, and with 1 containers it may 6 times"));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"followers")"));
  keeper.expect<protocol::Streaming>(protocol::ReadLogs{named("db")});
  keeper.send(500, protocol::CancelRequest{1});
  EXPECT_TRUE(eventually([&] { return std::holds_alternative<protocol::Streaming>(keeper.ask(follow)); }))
      << "one that has ended gives its place back";
}

// Nobody says so: their ends are closed, and dockerd has nothing to send.
TEST(Followers, WhoseClientsLeaveGiveTheirPlacesBack) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  hold_streams(keeper);
  const protocol::ReadLogs follow{.container = named("db"), .follow = true};
  constexpr std::size_t kMost = limits::kFollowersPerContainer + limits::kFollowersBesides;
  for (std::size_t i = 0; i < kMost; ++i) keeper.expect<protocol::Streaming>(follow);
  EXPECT_EQ(keeper.expect<Failed>(follow).http_status, 429);
  (void)keeper.take_fds();
  EXPECT_TRUE(eventually([&] { return std::holds_alternative<protocol::Streaming>(keeper.ask(follow)); }));
}

// A sanitizer's shadow is an eighth of what it shadows, and it holds back some of what was freed
// (keeper_under_test.cpp).
#ifdef SALLYPORT_ASAN
constexpr std::size_t kOfTheSanitizer = limits::kLeastMemoryCeiling / 4;
#else
constexpr std::size_t kOfTheSanitizer = 0;
#endif

TEST(Memory, IsRefusedBeforeTheKeeperGrowsBeyondItsCeilingAndComesBack) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const std::size_t begun = keeper.own_memory();
  // Almost all of a large answer, and never its end.
  keeper.dockerd().behave([](const std::string& request) {
    if (!request.starts_with("GET /v1.41/containers/")) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes =
                                   "HTTP/1.1 200 OK\r\nContent-Length: 1048000\r\n\r\n" + std::string(1'040'000, ' ')};
  });
  protocol::RequestId id = 0;
  for (std::size_t i = 0; i < protocol::kPermit<protocol::InspectContainer>.in_flight_at_most; ++i)
    keeper.send(++id, protocol::InspectContainer{named("db")});
  for (std::size_t i = 0; i < protocol::kPermit<protocol::ListContainers>.in_flight_at_most; ++i)
    keeper.send(++id, protocol::ListContainers{true});
  std::size_t most = 0;
  std::size_t refused = 0;
  for (int i = 0; i < 200; ++i) {
    most = std::max(most, keeper.own_memory());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(keeper.audit_has(R"("rule":"broker.memory")"))
      << "waited for: a slow build needs longer for so many answers";
  for (protocol::RequestId asked = 1; asked <= id; ++asked) {
    const auto reply = keeper.reply(asked, 20);
    if (!reply) continue;
    ++refused;
    const auto* failed = std::get_if<Failed>(&reply->reply);
    ASSERT_TRUE(failed != nullptr) << asked;
    EXPECT_EQ(failed->http_status, 503);
    EXPECT_THAT(failed->message.value, testing::HasSubstr("the broker uses the 64 MiB of memory that it may use"));
  }
  EXPECT_GT(most - begun, 32U << 20) << "the attack must be real";
  EXPECT_LT(most - begun, limits::kLeastMemoryCeiling + kOfTheSanitizer);
  EXPECT_GT(refused, 0U);
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  keeper.dockerd().behave({});
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
}

// A create holds its request, as large as its body, until dockerd answers: memory is looked at where it is written, not
// only where it is admitted.
TEST(Memory, IsLookedAtOnceMoreBeforeACreateIsWritten) {
  KeeperUnderTest::Options options;
  options.ballast = limits::kLeastMemoryCeiling - (2U << 20);
  KeeperUnderTest keeper(options);
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/images/") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, FakeDockerd::image(R"("Cmd":["sh"])")),
                                 .delay_milliseconds = 300};
    return FakeDockerd::Answer{.never = request.starts_with("POST /v1.41/containers/create")};
  });
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  ASSERT_TRUE(eventually([&] { return keeper.own_memory() > options.ballast; }));
  std::string texts;
  for (int i = 0; i < 30'000; ++i) texts += "\u00e9";  // two bytes, which are written as six
  for (protocol::RequestId id = 1; id <= limits::kDockerdShare; ++id) {
    auto ask = keeper.create_request(("c" + std::to_string(id)).c_str());
    ask.environment.items = {"A=" + texts, "B=" + texts};
    keeper.send(id, ask);
  }
  std::size_t refused = 0;
  for (protocol::RequestId id = 1; id <= limits::kDockerdShare; ++id) {
    const auto reply = keeper.reply(id, 500);
    if (!reply) continue;
    const auto* failed = std::get_if<Failed>(&reply->reply);
    ASSERT_TRUE(failed != nullptr);
    EXPECT_EQ(failed->http_status, 503);
    EXPECT_THAT(failed->message.value, testing::HasSubstr("of memory that it may use"));
    ++refused;
  }
  const std::size_t written = keeper.dockerd().times("POST /v1.41/containers/create");
  EXPECT_EQ(written + refused, limits::kDockerdShare);
  EXPECT_GT(written, 0U);
  EXPECT_GT(refused, 0U);
}

}  // namespace
}  // namespace sallyport::testing_support
