// An attach to a container that does not run: dockerd is asked for it only when a start follows.
#include <atomic>

#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }
const std::string kContainer = "/v1.41/containers/" + FakeDockerd::id('c');

class WaitingAttach : public testing::Test {
 protected:
  void SetUp() override {
    keeper.dockerd().behave([this](const std::string& request) {
      if (request.starts_with("GET " + kContainer + "/json"))
        return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, R"({"Id":")" + FakeDockerd::id('c') +
                                                                        R"(","State":{"Status":")" + status.load() +
                                                                        R"(","StartedAt":")" + since.load() +
                                                                        R"("},"Config":{},"HostConfig":{}})")};
      if (request.find("/attach") != std::string::npos)
        return FakeDockerd::Answer{.bytes = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly",
                                   .delay_milliseconds = 50};
      return FakeDockerd::Answer{};
    });
    ASSERT_TRUE(keeper.open()) << keeper.refusal();
    keeper.expect<protocol::Created>(keeper.create_request("db"));
  }
  void attach(protocol::RequestId id) { keeper.send(id, protocol::AttachContainer{named("db"), false, true}); }
  void expect_registered(protocol::RequestId id) {
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply && std::holds_alternative<protocol::Registered>(reply->reply));
  }
  std::size_t attaches() { return keeper.dockerd().times("POST " + kContainer + "/attach"); }

  void start() { keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")}); }

  std::atomic<const char*> status = "created";
  std::atomic<const char*> since = "2026-03-14T10:41:13.928778934Z";
  KeeperUnderTest keeper;
};

TEST_F(WaitingAttach, IsAtDockerdBeforeTheStartAndHandedOverThen) {
  for (protocol::RequestId id = 1; id <= 3; ++id) {
    attach(id);
    expect_registered(id);
  }
  EXPECT_EQ(attaches(), 0U);
  keeper.send(10, protocol::StartContainer{named("db")});
  for (protocol::RequestId id = 1; id <= 3; ++id) {
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply)) << id;
    EXPECT_EQ(std::get<protocol::Hijacked>(reply->reply).early.value, "early");
  }
  EXPECT_EQ(keeper.take_fds().size(), 3U);
  const auto started = keeper.reply(10);
  EXPECT_TRUE(started && std::holds_alternative<protocol::Succeeded>(started->reply));
  std::size_t before_start = 0;
  for (const std::string& request : keeper.dockerd().requests()) {
    if (request.starts_with("POST " + kContainer + "/attach")) ++before_start;
    if (request.starts_with("POST " + kContainer + "/start")) break;
  }
  EXPECT_EQ(before_start, 3U) << "no output is missed";
}

TEST_F(WaitingAttach, WhoseClientLeavesIsNeverAtDockerd) {
  for (protocol::RequestId id = 1; id <= 200; ++id) {
    attach(id);
    expect_registered(id);
    keeper.send(1000 + id, protocol::CancelRequest{id});
    const auto over = keeper.reply(id);
    ASSERT_TRUE(over && std::holds_alternative<Failed>(over->reply)) << id;
  }
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  EXPECT_EQ(attaches(), 0U);
}

TEST_F(WaitingAttach, EndsWithItsContainer) {
  attach(1);
  expect_registered(1);
  keeper.expect<protocol::Succeeded>(protocol::RemoveContainer{.container = named("db"), .force = true});
  const auto over = keeper.reply(1);
  EXPECT_TRUE(over && std::holds_alternative<Failed>(over->reply));
  EXPECT_EQ(attaches(), 0U);
}

TEST_F(WaitingAttach, EndsWithItsSession) {
  attach(1);
  expect_registered(1);
  keeper.close_control();
  EXPECT_TRUE(eventually([&] { return keeper.audit_has(R"("event":"session-end")"); }));
  EXPECT_THAT(keeper.log(), testing::Not(testing::HasSubstr("do not end")));
  EXPECT_EQ(attaches(), 0U);
}

TEST_F(WaitingAttach, WaitsForANewStartOfAContainerThatHasEnded) {
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  status = "exited";
  attach(1);
  expect_registered(1);
  EXPECT_EQ(attaches(), 0U);
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
  const auto reply = keeper.reply(1);
  EXPECT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply));
  EXPECT_EQ(keeper.take_fds().size(), 1U);
}

TEST_F(WaitingAttach, IsNoneWhereTheContainerRuns) {
  start();
  status = "running";
  attach(1);
  const auto reply = keeper.reply(1);
  ASSERT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply));
  EXPECT_EQ(keeper.take_fds().size(), 1U);
}

// It comes while the start waits for those that came before: dockerd still says "created".
TEST_F(WaitingAttach, IsNoneWhereAStartIsUnderWay) {
  attach(1);
  expect_registered(1);
  keeper.send(2, protocol::StartContainer{named("db")});
  attach(3);
  for (const protocol::RequestId id : {1U, 3U}) {
    const auto reply = keeper.reply(id);
    EXPECT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply)) << id;
  }
  EXPECT_TRUE(keeper.reply(2));
}

TEST_F(WaitingAttach, ThatWillShowOutputFollowsFromItsRegistrationOn) {
  constexpr std::size_t kMost = limits::kFollowersPerContainer + limits::kFollowersBesides;
  const protocol::AttachContainer shows{named("db"), false, true, false, true, true, {}};
  for (protocol::RequestId id = 1; id <= kMost; ++id) {
    keeper.send(id, shows);
    expect_registered(id);
  }
  EXPECT_EQ(keeper.expect<Failed>(shows).http_status, 429);
  EXPECT_TRUE(keeper.audit_has(R"("rule":"followers")"));
  attach(500);  // its input alone
  expect_registered(500);
  keeper.send(501, protocol::CancelRequest{1});
  ASSERT_TRUE(keeper.reply(1));
  keeper.send(502, shows);
  expect_registered(502);
}

using AttachesOfARun = WaitingAttach;
TEST_F(AttachesOfARun, AreBoundedUntilItIsOver) {
  start();
  status = "running";
  const protocol::AttachContainer shows{named("db"), false, true, false, true, true, {}};
  const auto attach_and_leave = [&](protocol::RequestId id) {
    keeper.send(id, shows);
    const auto reply = keeper.reply(id);
    ASSERT_TRUE(reply && std::holds_alternative<protocol::Hijacked>(reply->reply)) << id;
    (void)keeper.take_fds();
    keeper.send(1000 + id, protocol::CancelRequest{id});
  };
  for (protocol::RequestId id = 1; id <= limits::kMaxAttachesOfARun; ++id) attach_and_leave(id);
  const auto refused = keeper.expect<Failed>(shows);
  EXPECT_EQ(refused.http_status, 429);
  EXPECT_THAT(refused.message.value,
              testing::HasSubstr("this container was attached to 32 times since it was started"));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"attaches")"));
  EXPECT_EQ(attaches(), limits::kMaxAttachesOfARun);
  keeper.expect<protocol::Hijacked>(protocol::AttachContainer{named("db"), false, true});  // its input alone: not held
  since = "2026-03-14T10:42:00Z";
  attach_and_leave(500);
}

}  // namespace
}  // namespace sallyport::testing_support
