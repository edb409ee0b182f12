// Who may hold how many connections to dockerd, whose turn it is, and how much memory that may take.
#include <boost/asio/io_context.hpp>
#include <map>
#include <thread>

#include "broker/engine/memory_gauge.hpp"
#include "broker/engine/places.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::engine {
namespace {

using keeper::Turn;
using keeper::Turns;

std::shared_ptr<Share> new_share() { return std::make_shared<Share>(); }

// As many as it gets.
std::vector<Place> take_all(Places& places, const std::shared_ptr<Share>& share, Holding holding,
                            std::size_t most = static_cast<std::size_t>(-1)) {
  std::vector<Place> held;
  while (held.size() < most) {
    auto place = places.take(share, holding);
    if (!place) break;
    held.push_back(std::move(*place));
  }
  return held;
}

constexpr std::size_t kForStreams = limits::kDockerdShare - limits::kDockerdShareForRequests;

TEST(Places, AreAShareForEachSessionThatNoOtherTakes) {
  Places places({.sessions = 17, .common = 100});
  const auto greedy = new_share();
  const auto held = take_all(places, greedy, Holding::Stream);
  EXPECT_EQ(held.size(), kForStreams + 100);
  std::vector<std::vector<Place>> others;
  for (int i = 0; i < 16; ++i) {
    const auto share = new_share();
    others.push_back(take_all(places, share, Holding::Request));
    EXPECT_EQ(others.back().size(), limits::kDockerdShare);
  }
}

TEST(Places, OfAShareAreKeptFromTheSessionsOwnStreamsInPart) {
  Places places({.sessions = 1, .common = 0});
  const auto share = new_share();
  const auto streams = take_all(places, share, Holding::Stream);
  EXPECT_EQ(streams.size(), kForStreams);
  const auto requests = take_all(places, share, Holding::Request);
  EXPECT_EQ(requests.size(), limits::kDockerdShareForRequests);
  EXPECT_FALSE(places.take(share, Holding::Request));
}

TEST(Places, AreGivenBackWhoeverHeldThem) {
  Places places({.sessions = 2, .common = 4});
  const auto one = new_share();
  const auto other = new_share();
  auto held = take_all(places, one, Holding::Stream);
  EXPECT_EQ(held.size(), kForStreams + 4);
  EXPECT_EQ(places.common_taken(), 4U);
  EXPECT_EQ(take_all(places, other, Holding::Stream).size(), kForStreams);
  held.pop_back();
  EXPECT_EQ(take_all(places, other, Holding::Stream).size(), kForStreams + 1);
  Place moved = std::move(held.back());
  held.pop_back();
  EXPECT_EQ(places.common_taken(), 3U) << "a place that was moved is one place";
  moved = Place();
  EXPECT_EQ(places.common_taken(), 2U);
  held.clear();
  EXPECT_EQ(places.common_taken(), 0U);
  EXPECT_EQ(one->streams, 0U);
}

TEST(Places, MayBeTakenAndGivenBackInAnyOrderAndAddUp) {
  Places places({.sessions = 3, .common = 20});
  const std::vector shares = {new_share(), new_share(), new_share()};
  std::vector<Place> held;
  unsigned random = 1;
  for (int step = 0; step < 20'000; ++step) {
    random = random * 1664525 + 1013904223;
    if (const unsigned choice = random >> 16; choice % 5 < 3) {
      const Holding holding = choice % 2 == 0 ? Holding::Stream : Holding::Request;
      if (auto place = places.take(shares[choice % 3], holding)) held.push_back(std::move(*place));
    } else if (!held.empty()) {
      std::swap(held[choice % held.size()], held.back());
      held.pop_back();
    }
    std::size_t common = 0;
    std::size_t all = 0;
    for (const auto& share : shares) common += share->common(places.bounds()), all += share->streams + share->requests;
    ASSERT_EQ(places.common_taken(), common);
    ASSERT_LE(common, 20U);
    ASSERT_EQ(all, held.size());
    ASSERT_LE(all, places.bounds().of_sessions());
  }
}

TEST(Places, OfTheKeeperAreEnoughForAllEndingsAndNoSessions) {
  Places places({.sessions = 4, .common = 3});
  const auto held = take_all(places, new_share(), Holding::Stream);
  std::vector<Place> own;
  while (auto place = places.take_for_keeper()) own.push_back(std::move(*place));
  EXPECT_EQ(own.size(), (4 + limits::kMaxReapedAtOnce) * limits::kDockerdShare + limits::kKeeperDockerdConnections);
  EXPECT_EQ(places.common_taken(), 3U);
}

TEST(Bounds, FitIntoTheDescriptorsOfTheProcess) {
  const auto plenty = bounds_that_fit(64, limits::kMaxWaitingForPlace, 65'536);
  ASSERT_TRUE(plenty);
  EXPECT_EQ(plenty->common, limits::kCommonDockerdConnections);
  EXPECT_EQ(plenty->of_sessions(), 2048U) << "at the default";
  EXPECT_TRUE(bounds_that_fit(limits::kMaxSessions, limits::kMaxWaitingForPlace, 65'536)->common ==
              limits::kCommonDockerdConnections)
      << "the unit's LimitNOFILE serves the most sessions";
  const std::size_t shares = PlaceBounds{64, 0}.descriptors();
  const auto tight = bounds_that_fit(64, limits::kMaxWaitingForPlace, shares + 10 * limits::kDescriptorsPerStream);
  ASSERT_TRUE(tight);
  EXPECT_EQ(tight->common, 10U);
  EXPECT_EQ(tight->share, limits::kDockerdShare);
  EXPECT_LE(tight->descriptors(), shares + 10 * limits::kDescriptorsPerStream);
}

TEST(Bounds, LeaveEachSessionASmallerShareWhereTheDescriptorsAreFewAndAtLeastAFollowerAndItsStop) {
  for (std::size_t share = limits::kDockerdShare; share >= limits::kLeastDockerdShare; --share) {
    const std::size_t needed = PlaceBounds{64, 0, share}.descriptors();
    const auto fits = bounds_that_fit(64, limits::kMaxWaitingForPlace, needed);
    ASSERT_TRUE(fits) << share;
    EXPECT_EQ(fits->share, share);
    EXPECT_EQ(fits->common, 0U);
    EXPECT_LE(fits->descriptors(), needed);
    Places places(*fits);
    const auto streams = take_all(places, new_share(), Holding::Stream);
    EXPECT_EQ(streams.size(), share - limits::kDockerdShareForRequests);
    EXPECT_EQ(take_all(places, new_share(), Holding::Request).size(), share);
  }
  const std::size_t least = PlaceBounds{64, 0, limits::kLeastDockerdShare}.descriptors();
  const auto refused = bounds_that_fit(64, limits::kMaxWaitingForPlace, least - 1);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), testing::HasSubstr("LimitNOFILE"));
  EXPECT_THAT(refused.error().text(), testing::HasSubstr("max_sessions"));
}

TEST(Bounds, OfABrokerForOneRunFitIntoTheUsualLimitOfAProcess) {
  const auto fits = bounds_that_fit(1, 0, 1024);
  ASSERT_TRUE(fits);
  EXPECT_EQ(fits->share, limits::kDockerdShare);
}

TEST(MemoryGauge, KeepsTheLastQuarterForThoseWithinTheirShare) {
  std::size_t held = 0;
  MemoryGauge gauge(64 << 20, [&held] { return held; });
  const auto at = [&](std::size_t bytes) {
    held = bytes;
    std::this_thread::sleep_for(limits::kMemoryIsRead + std::chrono::milliseconds(1));
    return std::pair(gauge.is_above_common(), gauge.is_above_ceiling());
  };
  EXPECT_EQ(at(48 << 20), std::pair(false, false));
  EXPECT_EQ(at((48 << 20) + 1), std::pair(true, false));
  EXPECT_EQ(at(64 << 20), std::pair(true, false));
  EXPECT_EQ(at((64 << 20) + 1), std::pair(true, true));
  EXPECT_EQ(at(1), std::pair(false, false));
}

TEST(MemoryGauge, ReadsWhatThisProcessHolds) {
  auto gauge = MemoryGauge::open(1ULL << 40);
  ASSERT_TRUE(gauge);
  const std::size_t before = gauge->held();
  EXPECT_LT(before, 1U << 20) << "it begins at nothing";
  const std::string block(32 << 20, 'x');
  std::this_thread::sleep_for(limits::kMemoryIsRead + std::chrono::milliseconds(1));
  EXPECT_GT(gauge->held(), before + (30 << 20)) << block.size();
}

struct Waiters {
  net::io_context io;
  async::TaskGroup tasks{io.get_executor(), [](const std::string& task, const std::string& what) {
                           ADD_FAILURE() << task << ": " << what;
                         }};
  Turns turns{io.get_executor(), 2};
  std::vector<std::string> events;
  std::map<std::string, Exchange> exchanges;
  std::map<std::string, Turn> held;

  void ask(const std::string& who) {
    tasks.spawn(who, take(who));
    run();
  }
  void run() {
    io.restart();
    io.poll();
  }
  net::awaitable<void> take(std::string who) {
    auto turn = co_await turns.wait(exchanges[who]);
    events.push_back(who + (turn ? "" : " left"));
    if (turn) held[who] = std::move(*turn);
  }
};

TEST(Turns, AreTwoAtOnceAndThenFirstComeFirstServed) {
  Waiters of;
  for (const char* who : {"a", "b", "c", "d", "e"}) of.ask(who);
  EXPECT_THAT(of.events, testing::ElementsAre("a", "b"));
  of.held.erase("b");
  of.run();
  EXPECT_THAT(of.events, testing::ElementsAre("a", "b", "c"));
  of.held.clear();
  of.run();
  EXPECT_THAT(of.events, testing::ElementsAre("a", "b", "c", "d", "e"));
  of.held.clear();
  of.ask("f");
  of.ask("g");
  of.ask("h");
  EXPECT_EQ(of.held.size(), 2U) << "nobody's turn was lost, and none was made up";
}

TEST(Turns, AreNotGivenToWhoeverHasGone) {
  Waiters of;
  for (const char* who : {"a", "b", "c", "d"}) of.ask(who);
  of.exchanges["c"].cancel();
  EXPECT_EQ(of.turns.waiting(), 2U) << "it has not been resumed yet";
  of.held.erase("a");
  of.run();
  EXPECT_THAT(of.events, testing::UnorderedElementsAre("a", "b", "c left", "d"));
  EXPECT_EQ(of.turns.waiting(), 0U);
  of.ask("e");
  EXPECT_EQ(of.turns.waiting(), 1U);
  of.exchanges["f"].cancel();
  of.ask("f");
  EXPECT_EQ(of.events.back(), "f left");
}

}  // namespace
}  // namespace sallyport::engine
