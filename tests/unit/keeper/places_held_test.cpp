// What a session's own requests cost is on its own account: their answers count as its memory, its removals come a few
// at a time, and of the connections that it used few are kept.
#include <algorithm>
#include <filesystem>

#include "dockerd_model.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

TEST(Ending, RemovesEightAtATime) {
  KeeperUnderTest keeper;
  DockerdModel dockerd;
  std::atomic<std::size_t> under_way = 0;
  std::atomic<std::size_t> most = 0;
  dockerd.before_delete([&](const std::string&) {
    const std::size_t now = ++under_way;
    for (std::size_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    --under_way;
    return FakeDockerd::Answer{};
  });
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (int number = 0; number < 20; ++number) keeper.expect<protocol::Created>(keeper.create_request());
  keeper.close_control();
  EXPECT_TRUE(eventually([&] { return dockerd.count() == 0; }));
  EXPECT_LE(most, limits::kDockerdShare);
  EXPECT_GT(most, 1U) << "and not one by one";
}

TEST(Connections, ThatAreIdleAreAtMostSixteen) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  const auto files = [&] {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(keeper.keeper_pid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  };
  const std::size_t before = files();  // with one that is idle
  constexpr std::size_t kBurst = 32;
  const auto burst = std::make_shared<std::atomic<std::size_t>>(0);
  const auto together = std::make_shared<Event>();
  keeper.dockerd().behave([burst, together](const std::string& request) {
    if (!request.contains("/json HTTP")) return FakeDockerd::Answer{};
    if (++*burst == kBurst) together->happen();
    together->wait();
    return FakeDockerd::Answer{};
  });
  for (protocol::RequestId id = 1; id <= kBurst; ++id)
    keeper.send(id, protocol::InspectContainer{*ContainerName::parse("db")});
  for (protocol::RequestId id = 1; id <= kBurst; ++id) ASSERT_TRUE(keeper.reply(id)) << id;
  ASSERT_EQ(*burst, kBurst) << "all at once";
  keeper.expect<protocol::Succeeded>(protocol::KillContainer{*ContainerName::parse("db"), 9});
  EXPECT_LE(files(), before + limits::kMaxIdleUpstreams - 1);
}

// Almost all of a large answer, and never its end.
FakeDockerd::Answer large_without_end() {
  return {.bytes = "HTTP/1.1 500 X\r\nContent-Length: 1048000\r\n\r\n" + std::string(1'040'000, ' ')};
}

// As many as have places of the session's own: near the ceiling there are no others.
constexpr std::size_t kTogether = limits::kDockerdShare;

// It leaves room for one of their answers, and not for two.
KeeperUnderTest::Options near_the_ceiling() {
  KeeperUnderTest::Options options;
  options.ballast = limits::kLeastMemoryCeiling - (2U << 20);
  options.ballast_waits = true;
  return options;
}
void take_ballast(const KeeperUnderTest& keeper) {
  keeper.take_ballast();
  ASSERT_TRUE(eventually([&] { return keeper.own_memory() > near_the_ceiling().ballast; }));
}

TEST(Memory, OfAnswersToCreatesIsTheSessions) {
  KeeperUnderTest keeper(near_the_ceiling());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const auto asked = std::make_shared<std::atomic<std::size_t>>(0);
  const auto together = std::make_shared<Event>();
  keeper.dockerd().behave([asked, together](const std::string& request) {
    if (!request.contains("/containers/create")) return FakeDockerd::Answer{};
    if (++*asked == kTogether) together->happen();
    together->wait();  // so that each was written while there was memory
    return large_without_end();
  });
  take_ballast(keeper);
  for (protocol::RequestId id = 1; id <= kTogether; ++id) keeper.send(id, keeper.create_request());
  ASSERT_TRUE(eventually([&] { return *asked == kTogether; }));
  std::size_t refused = 0;
  EXPECT_TRUE(eventually([&] {
    for (protocol::RequestId id = 1; id <= kTogether; ++id) {
      const auto reply = keeper.reply(id, 1);
      if (!reply) continue;
      const auto* failed = std::get_if<Failed>(&reply->reply);
      EXPECT_TRUE(failed != nullptr && failed->http_status == 503);
      ++refused;
    }
    return refused >= kTogether / 2;
  })) << refused;
}

// The removal of what will not start is the request's own as well.
TEST(Memory, OfTheRemovalOfWhatWillNotStartIsTheSessions) {
  KeeperUnderTest keeper(near_the_ceiling());
  DockerdModel dockerd;
  keeper.dockerd().behave(dockerd.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::size_t i = 0; i < kTogether; ++i) {
    auto ask = keeper.create_request(("c" + std::to_string(i)).c_str());
    ask.auto_remove = true;
    keeper.expect<protocol::Created>(ask);
  }
  std::atomic<std::size_t> asked = 0;
  Event together;
  dockerd.before_delete([&](const std::string&) {
    if (++asked == kTogether) together.happen();
    together.wait();
    return large_without_end();
  });
  keeper.let_files_grow(false);
  take_ballast(keeper);
  for (std::size_t i = 0; i < kTogether; ++i)
    keeper.send(static_cast<protocol::RequestId>(i + 1),
                protocol::StartContainer{*ContainerName::parse("c" + std::to_string(i))});
  ASSERT_TRUE(eventually([&] { return asked == kTogether; }));
  std::size_t refused = 0;
  EXPECT_TRUE(eventually([&] {
    for (protocol::RequestId id = 1; id <= kTogether; ++id) {
      const auto reply = keeper.reply(id, 1);
      if (!reply) continue;
      EXPECT_TRUE(std::holds_alternative<Failed>(reply->reply));
      ++refused;
    }
    return refused >= kTogether / 2;
  })) << refused
      << " of the removals were given up";
}

}  // namespace
}  // namespace sallyport::testing_support
