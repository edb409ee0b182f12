// What a gate decided alone: counted at once in the memory that the keeper reads, told in bounded messages, of a
// bounded number of kinds.
#include "broker/gate/claims.hpp"

#include <gmock/gmock.h>

#include <array>

#include "gate_parts.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

using namespace std::chrono_literals;

class AClaim : public GateParts {
 protected:
  ~AClaim() override { end_tasks(); }
  void welcome() {
    auto [tally, memory] = protocol::SharedTally::make().value();
    tally_ = std::move(tally);
    const protocol::Welcome welcome{SessionId::parse("0123456789ab").value(), ProfileName::parse("worker").value(),
                                    "27.3.1"};
    const int fd = memory.get();
    ASSERT_TRUE(
        send_datagram(keeper_end_.get(), encode_message(protocol::ReplyEnvelope{0, welcome}), std::span(&fd, 1)));
    context_.run_for(20ms);
  }
  void add(const std::string& endpoint, Claims::Named named = Claims::Named::Row) {
    claims_->add(false, 403, "GET", endpoint, "rule", "reason", named);
  }
  // All that has been told, each message as the keeper would take it.
  std::vector<protocol::GateClaim> told() {
    std::vector<protocol::GateClaim> all;
    std::vector<std::byte> buffer(limits::kMaxMessageBytes);
    context_.run_for(20ms);
    while (auto datagram = receive_datagram(keeper_end_.get(), buffer)) {
      if (datagram->size == 0) break;
      Reader messages(std::span(buffer).first(datagram->size));
      while (messages.left() > 0) {
        protocol::RequestEnvelope envelope;
        const auto decoded = decode_next(messages, envelope);
        EXPECT_TRUE(decoded) << decoded.error().text();
        if (!decoded) return all;
        all.push_back(std::get<protocol::GateClaim>(envelope.request));
      }
      context_.run_for(1ms);
    }
    return all;
  }
  static std::uint64_t sum_of(const std::vector<protocol::GateClaim>& claims, std::string_view endpoint) {
    std::uint64_t sum = 0;
    for (const protocol::GateClaim& claim : claims)
      if (endpoint.empty() || claim.endpoint.value == endpoint) sum += claim.repeated;
    return sum;
  }

  protocol::SharedTally tally_;
};

TEST_F(AClaim, IsCountedInTheKeepersMemoryAtOnce) {
  welcome();
  for (std::uint64_t i = 1; i <= 100; ++i) {
    add("/a");
    EXPECT_EQ(tally_.get()->denied, i);
    claims_->add(true, 200, "GET", "/b", "rule", "reason");
    EXPECT_EQ(tally_.get()->allowed, i);
  }
}

TEST_F(AClaim, OfBeforeTheWelcomeIsCountedInTheKeepersMemoryAsSoonAsThatIsThere) {
  for (int i = 0; i < 3; ++i) add("/a");
  claims_->add(true, 200, "GET", "/b", "rule", "reason");
  welcome();
  EXPECT_EQ(tally_.get()->denied, 3U);
  EXPECT_EQ(tally_.get()->allowed, 1U);
}

TEST_F(AClaim, IsCutToWhatItsFieldsHold) {  // the keeper ends a gate whose message it cannot read
  const std::string endless(100'000, 'x');
  claims_->add(false, 403, endless, endless, endless, endless);
  const auto claims = told();
  ASSERT_EQ(claims.size(), 1U);
  EXPECT_EQ(claims[0].method.value.size(), 16U);
  EXPECT_EQ(claims[0].endpoint.value.size(), 128U);
  EXPECT_EQ(claims[0].rule.value.size(), 128U);
  EXPECT_EQ(claims[0].reason.value.size(), limits::kMaxReasonBytes);
}

TEST_F(AClaim, OfMoreKindsThanHavePlacesIsToldAsOneOfOthersAndCounted) {
  for (const auto named : {Claims::Named::Row, Claims::Named::MadeUp}) {
    const std::size_t most = named == Claims::Named::Row ? limits::kMaxClaimKinds : limits::kMaxMadeUpClaimKinds;
    std::vector<protocol::GateClaim> all;
    for (std::size_t i = 0; i < most + 50; ++i) {
      add((named == Claims::Named::Row ? "/row/" : "/made/") + std::to_string(i), named);
      if (i % 20 == 0) std::ranges::move(told(), std::back_inserter(all));
    }
    claims_->tell_all();
    std::ranges::move(told(), std::back_inserter(all));
    EXPECT_EQ(sum_of(all, ""), most + 50);
    EXPECT_EQ(sum_of(all, "others"), 50U);
  }
}

TEST_F(AClaim, OfAKindThatWasNotMetForAMinuteGivesItsPlaceBack) {
  for (std::size_t i = 0; i < limits::kMaxClaimKinds + 10; ++i) {
    add("/first/" + std::to_string(i));
    if (i % 20 == 0) (void)told();
  }
  claims_->tell_all();
  (void)told();
  ahead_ = 62s;
  ticker_.start();
  context_.run_for(1200ms);
  (void)told();
  ahead_ = {};
  add("/second");
  EXPECT_EQ(sum_of(told(), "/second"), 1U);
}

// A client that comes and goes asks for that each time.
TEST_F(AClaim, IsToldEarlyTenTimesASecond) {
  const Clock::time_point begun = Clock::now();
  for (int i = 0; i < 50; ++i) {
    add("/a");
    claims_->tell_early();
  }
  const auto tenths = (Clock::now() - begun) / 100ms;
  EXPECT_LE(std::ssize(told()), 3 + tenths);  // the first, and the first early
}

TEST_F(AClaim, IsLostByNoFullChannel) {
  constexpr std::size_t kKinds = 200;
  for (int again = 0; again < 50; ++again) {
    for (std::size_t i = 0; i < kKinds; ++i)
      claims_->add(false, 403, "GET", "/" + std::to_string(i), "rule", std::string(1000, 'x'));
    claims_->tell_all();
    context_.run_for(1ms);
  }
  std::uint64_t sum = 0;
  for (int i = 0; i < 200 && sum < 50 * kKinds; ++i) {
    sum += sum_of(told(), "");
    claims_->tell_all();
  }
  EXPECT_EQ(sum, 50 * kKinds);
}

}  // namespace
}  // namespace sallyport::gate
