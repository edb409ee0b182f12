// What holds for a request of each kind: it is admitted by its group, its rate and a connection, it is in the trail
// before dockerd hears of it, and one that is refused is never at dockerd, the hundredth time as the first.
#include "each_request.hpp"

#include <atomic>
#include <condition_variable>

#include "broker/engine/places.hpp"
#include "sallyport/profile/config.hpp"

namespace sallyport::testing_support {
namespace {

using protocol::Failed;

ContainerName named(const std::string& text) { return *ContainerName::parse(text); }

void make_and_start(KeeperUnderTest& keeper) {
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.expect<protocol::Succeeded>(protocol::StartContainer{named("db")});
}

std::string with(std::string profile, const std::string& from, const std::string& to) {
  return profile.replace(profile.find(from), from.size(), to);
}

// So that what was made is there: of a list without it the keeper learns that it has gone.
FakeDockerd::Answer lists_the_container(const std::string& asked) {
  if (!is_for(api::Verb::List, asked)) return {};
  return {.bytes = FakeDockerd::reply(
              200, R"([{"Id":")" + FakeDockerd::id('c') + R"(","Names":["/x"],"State":"running"}])")};
}

std::optional<protocol::Reply> last_reply(KeeperUnderTest& keeper, protocol::RequestId id) {
  for (;;) {
    auto envelope = keeper.reply(id);
    if (!envelope) return {};
    if (!std::holds_alternative<protocol::Waiting>(envelope->reply) &&
        !std::holds_alternative<protocol::ListItem>(envelope->reply))
      return std::move(envelope->reply);
  }
}

TEST(EachRequest, OfAGroupThatIsOffIs403AndDockerdHearsOfNone) {
  std::size_t refused = 0;
  for (const auto& [on, of_it] : {std::pair("observe", ApiGroup::Observe), std::pair("run", ApiGroup::Run)}) {
    KeeperUnderTest keeper(
        {.profile = with(kProfileText, R"("run", "stop", "remove", "observe")", "\"" + std::string(on) + "\"")});
    ASSERT_TRUE(keeper.open()) << keeper.refusal();
    for_each_answered(keeper, [&](const protocol::Request& request) {
      if (api::row_of(protocol::verb_of(request)).group == of_it) return;
      ++refused;
      const auto failed = keeper.expect<Failed>(request);
      EXPECT_EQ(failed.http_status, 403) << request.index();
      EXPECT_THAT(failed.message.value, testing::HasSubstr("is not in docker.allow")) << request.index();
    });
    EXPECT_EQ(times_dockerd_was_asked(keeper), 0U);
    EXPECT_FALSE(keeper.dockerd().saw("GET /v1.41/images"));
  }
  EXPECT_EQ(refused, 8U + 6U) << "each at least once";
}

// Each refusal waits a moment before it is told: so they are asked for together.
TEST(EachRequest, BeyondTheRateIs429TheFirstTimeAndTheHundredthAndDockerdHearsOfNone) {
  KeeperUnderTest keeper({.profile = with(kProfileText, "20000/min", "1/min")});  // a burst of 20
  make_and_start(keeper);
  (void)keeper.ask(protocol::ReadLogs{named("db")});  // the first weighs less
  while (std::holds_alternative<protocol::Inspected>(keeper.ask(protocol::InspectContainer{named("db")}))) {
  }
  const std::size_t before = times_dockerd_was_asked(keeper);
  for_each_answered(keeper, [&](const protocol::Request& request) {
    constexpr protocol::RequestId kTogether = 25;
    for (int round = 0; round < 4; ++round) {
      for (protocol::RequestId id = 1; id <= kTogether; ++id) keeper.send(id, request);
      for (protocol::RequestId id = 1; id <= kTogether; ++id) {
        const auto reply = keeper.reply(id);
        const auto* failed = reply ? std::get_if<Failed>(&reply->reply) : nullptr;
        ASSERT_TRUE(failed != nullptr) << request.index();
        EXPECT_EQ(failed->http_status, 429) << request.index();
        EXPECT_GT(failed->retry_after_seconds, 0U) << request.index();
      }
    }
    EXPECT_EQ(times_dockerd_was_asked(keeper), before) << "kind " << request.index();
  });
}

TEST(EachRequest, BeyondTheRateWaitsAMomentForItsRefusal) {
  KeeperUnderTest keeper({.profile = with(kProfileText, "20000/min", "1/min")});
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  while (std::holds_alternative<protocol::Succeeded>(keeper.ask(protocol::ListContainers{true}))) {
  }
  const auto before = std::chrono::steady_clock::now();
  for (int again = 0; again < 10; ++again)
    EXPECT_EQ(keeper.expect<Failed>(protocol::ListContainers{true}).http_status, 429);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 10 * limits::kSlowDown);
}

// The session's own connections and those that all have in common, all taken by requests that are never answered.
TEST(EachRequest, WithoutAConnectionIs503AndDockerdHearsOfNone) {
  constexpr std::size_t kCommon = 3;
  KeeperUnderTest keeper({.open_files = engine::PlaceBounds{BrokerConfig{}.max_sessions, kCommon}.descriptors()});
  make_and_start(keeper);
  keeper.dockerd().behave([](const std::string&) { return FakeDockerd::Answer{.never = true}; });
  for (protocol::RequestId id = 1; id <= limits::kDockerdShare + kCommon; ++id)
    keeper.send(id, protocol::InspectContainer{named("db")});
  ASSERT_TRUE(eventually([&] {
    return keeper.dockerd().times("GET /v1.41/containers/" + FakeDockerd::id('c') + "/json") ==
           limits::kDockerdShare + kCommon;
  }));
  const std::size_t before = times_dockerd_was_asked(keeper);
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const auto failed = keeper.expect<Failed>(request);
    EXPECT_EQ(failed.http_status, 503) << request.index();
    EXPECT_THAT(failed.message.value, testing::HasSubstr("its share of 8 connections is used up")) << request.index();
    EXPECT_EQ(times_dockerd_was_asked(keeper), before) << "kind " << request.index();
  });
}

// What only takes away is how a session comes back below the bound.
TEST(EachRequest, WithoutMemoryIs503AndDockerdHearsOfNoneButThoseThatTakeAway) {
  KeeperUnderTest keeper({.ballast = 2 * limits::kLeastMemoryCeiling, .ballast_waits = true});
  make_and_start(keeper);
  keeper.take_ballast();
  ASSERT_TRUE(
      eventually([&] { return std::holds_alternative<Failed>(keeper.ask(protocol::InspectContainer{named("db")})); }));
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const api::Verb verb = protocol::verb_of(request);
    const std::size_t before = times_dockerd_was_asked(keeper);
    if (verb == api::Verb::Kill || verb == api::Verb::Stop || verb == api::Verb::Remove) {
      keeper.expect<protocol::Succeeded>(request);
      EXPECT_EQ(times_dockerd_was_asked(keeper), before + 1);
      return;
    }
    const auto failed = keeper.expect<Failed>(request);
    EXPECT_EQ(failed.http_status, 503) << request.index();
    EXPECT_THAT(failed.message.value, testing::HasSubstr("of memory that it may use")) << request.index();
    EXPECT_EQ(times_dockerd_was_asked(keeper), before) << "kind " << request.index();
  });
}

// Looked at by the stand-in at the moment that it is asked.
TEST(EachRequest, IsInTheTrailBeforeDockerdHearsOfIt) {
  KeeperUnderTest keeper;
  make_and_start(keeper);
  const auto lines = [&keeper](const std::string& endpoint) {
    return std::ranges::count_if(keeper.audit(), [&](const std::string& line) {
      return line.contains("\"decision\":\"ALLOW\"") && line.contains("\"endpoint\":\"" + endpoint + "\"");
    });
  };
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const api::Endpoint& endpoint = api::row_of(protocol::verb_of(request));
    keeper.dockerd().behave(lists_the_container);
    const auto before = lines(std::string(endpoint.path));
    std::atomic<std::ptrdiff_t> at_arrival = -1;
    keeper.dockerd().behave([&](const std::string& asked) {
      if (is_for(request, asked)) at_arrival = lines(std::string(endpoint.path));
      return lists_the_container(asked);
    });
    (void)keeper.ask(request);
    EXPECT_EQ(at_arrival, before + 1) << "kind " << request.index();
    (void)keeper.take_fds();
  });
}

TEST(EachRequest, OfAContainerOfOthersIsNotRefusedWithoutARecord) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.let_files_grow(false);
  for_each_answered(
      keeper,
      [&](const protocol::Request& request) {
        if (protocol::verb_of(request) == api::Verb::List) return;
        auto denied = request;
        if (auto* create = std::get_if<protocol::CreateContainer>(&denied))
          create->image = *ImageRef::parse("docker.io/library/alpine:latest");
        const auto failed = keeper.expect<Failed>(denied);
        EXPECT_EQ(failed.http_status, 503) << request.index();
        EXPECT_THAT(failed.message.value, testing::HasSubstr("the audit trail cannot be written")) << request.index();
      },
      "nobody");
  keeper.let_files_grow(true);
  EXPECT_EQ(keeper.expect<Failed>(protocol::KillContainer{named("nobody"), 9}).http_status, 404);
}

TEST(EachRefusal, IsInTheFileOfItsKind) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for_each_answered(
      keeper,
      [&](const protocol::Request& request) {
        const api::Verb verb = protocol::verb_of(request);
        if (verb == api::Verb::List) return;
        auto denied = request;
        if (auto* create = std::get_if<protocol::CreateContainer>(&denied))
          create->image = *ImageRef::parse("docker.io/library/alpine:latest");
        const std::size_t reads = keeper.audit_of_reads().size();
        keeper.expect<Failed>(denied);
        const bool is_read = verb == api::Verb::Wait || verb == api::Verb::Resize || verb == api::Verb::Logs ||
                             verb == api::Verb::Inspect;
        EXPECT_EQ(keeper.audit_of_reads().size() - reads, is_read ? 1U : 0U) << request.index();
      },
      "nobody");
}

TEST(EachGrant, IsInTheFileOfItsKind) {
  KeeperUnderTest keeper;
  make_and_start(keeper);
  keeper.dockerd().behave(lists_the_container);
  for_each_answered(keeper, [&](const protocol::Request& request) {
    const api::Verb verb = protocol::verb_of(request);
    const std::size_t reads = keeper.audit_of_reads().size();
    const std::size_t all = keeper.audit().size();
    (void)keeper.ask(request);
    const bool is_read = verb == api::Verb::Wait || verb == api::Verb::Resize || verb == api::Verb::Logs ||
                         verb == api::Verb::Inspect || verb == api::Verb::List;
    EXPECT_EQ(keeper.audit().size() - all, 1U) << request.index();
    EXPECT_EQ(keeper.audit_of_reads().size() - reads, is_read ? 1U : 0U) << request.index();
    (void)keeper.take_fds();
  });
}

// --- dockerd answers out of order ---

// Answers to one kind are held back until they are let go of.
class HeldBack {
 public:
  explicit HeldBack(const protocol::Request& request) : request_(request) {}
  ~HeldBack() { let_go(); }
  FakeDockerd::Behaviour behaviour() {
    return [this](const std::string& asked) {
      if (is_for(request_, asked)) {
        std::unique_lock lock(mutex_);
        ++arrived_;
        changed_.wait_for(lock, std::chrono::seconds(10), [this] { return gone_; });
      }
      return lists_the_container(asked);
    };
  }
  std::size_t arrived() {
    const std::lock_guard lock(mutex_);
    return arrived_;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    changed_.notify_all();
  }

 private:
  protocol::Request request_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrived_ = 0;
  bool gone_ = false;
};

TEST(EachRequest, ThatDockerdIsSlowToAnswerHoldsUpNoOther) {
  KeeperUnderTest keeper;
  make_and_start(keeper);
  protocol::RequestId id = 0;
  for_each_answered(keeper, [&](const protocol::Request& request) {
    HeldBack held(request);
    keeper.dockerd().behave(held.behaviour());
    keeper.send(++id, request);
    ASSERT_TRUE(eventually([&] { return held.arrived() == 1; })) << request.index();
    if (protocol::verb_of(request) == api::Verb::Inspect)
      keeper.expect<protocol::Succeeded>(protocol::KillContainer{named("db"), 9});
    else keeper.expect<protocol::Inspected>(protocol::InspectContainer{named("db")});
    EXPECT_EQ(held.arrived(), 1U);
    held.let_go();
    EXPECT_TRUE(last_reply(keeper, id)) << request.index();
    (void)keeper.take_fds();
  });
}

// What is answered after the end changes nothing any more: nothing of it is handed on, and nothing is left.
TEST(EachRequest, ThatDockerdAnswersAfterTheEndLeavesNothing) {
  KeeperUnderTest keeper;
  for_each_answered(keeper, [&](const protocol::Request& request) {
    make_and_start(keeper);
    HeldBack held(request);
    keeper.dockerd().behave(held.behaviour());
    keeper.send(1, request);
    ASSERT_TRUE(eventually([&] { return held.arrived() == 1; })) << request.index();
    keeper.close_control();
    const auto end = receive_within(keeper.gate(), 2000);
    EXPECT_TRUE(end && end->bytes.empty()) << "kind " << request.index() << ": it hears the end and no answer";
    EXPECT_TRUE(keeper.take_fds().empty());
    keeper.close_gate();
    ASSERT_TRUE(keeper.spawner_saw("kill"));
    held.let_go();
    keeper.dockerd().behave({});
    EXPECT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); })) << request.index();
    EXPECT_TRUE(keeper.is_alive());
  });
  EXPECT_THAT(keeper.log(), testing::Not(testing::HasSubstr("do not end")));
}

}  // namespace
}  // namespace sallyport::testing_support
