// TESTS ONLY. What a gate's parts need of each other, with the keeper's end in the test's hand and a clock that runs
// ahead when the test says so.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>

#include "broker/async/tasks.hpp"
#include "broker/gate/claims.hpp"
#include "broker/gate/keeper_client.hpp"
#include "broker/gate/ticker.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::gate {

class GateParts : public testing::Test {
 protected:
  GateParts() {
    auto [ours, theirs] = seqpacket_pair().value();
    keeper_end_ = std::move(ours);
    keeper_.emplace(context_.get_executor(), std::move(theirs), [](std::string_view) {});
    claims_.emplace(*keeper_, ticker_);
    tasks_.spawn("receive replies", keeper_->receive());
  }
  // Called where what the tasks use is still there.
  void end_tasks() {
    tasks_.cancel();
    for (int i = 0; i < 100 && tasks_.running() > 0; ++i) context_.run_one_for(std::chrono::milliseconds(50));
    EXPECT_EQ(tasks_.running(), 0U);
  }

  net::io_context context_{1};
  Clock::duration ahead_{};
  Ticker ticker_{context_.get_executor(), [this] { return Clock::now() + ahead_; }};
  UniqueFd keeper_end_;
  std::optional<KeeperClient> keeper_;
  std::optional<Claims> claims_;
  async::TaskGroup tasks_{context_.get_executor(), [](const std::string&, const std::string& what) { FAIL() << what; }};
};

}  // namespace sallyport::gate
