// TRUSTED SIDE. Rates and sums that a session may not exceed. Pure but for the clock that is passed in.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

#include "sallyport/limits.hpp"

namespace sallyport::keeper {

using Clock = std::chrono::steady_clock;

// How much of a rate may be used at once: a whole minute of what is scarce and dear to miss, a part of what dockerd has
// to work off while others wait.
constexpr std::uint32_t burst_of_requests(std::uint32_t per_minute) {
  return std::max(per_minute / limits::kRequestBurstPart, limits::kLeastRequestBurst);
}

// `burst` tokens at once, refilled evenly, `per_minute` in a minute.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t per_minute, Clock::time_point now) : TokenBucket(per_minute, per_minute, now) {}
  TokenBucket(std::uint32_t per_minute, std::uint32_t burst, Clock::time_point now)
      : per_minute_(std::max<std::uint32_t>(per_minute, 1)),
        burst_(std::max<std::uint32_t>(burst, 1)),
        tokens_(burst_),
        last_(now) {}

  // Empty: granted. Else the seconds after which it would be. What weighs more than the whole burst is granted by a
  // full bucket, which then owes the rest.
  std::optional<std::uint32_t> take(Clock::time_point now, std::uint32_t weight = 1) {
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    tokens_ = std::min<double>(burst_, tokens_ + elapsed * per_minute_ / 60.0);
    const double needed = std::min(weight, burst_);
    if (tokens_ + kRounding >= needed) {
      tokens_ -= weight;
      return {};
    }
    const double wait = std::ceil((needed - tokens_) * 60.0 / per_minute_ - kRounding);
    return std::max(1U, static_cast<std::uint32_t>(wait));
  }
  std::uint32_t per_minute() const { return per_minute_; }

  // --- for whoever keeps it (account.hpp) ---
  double level(Clock::time_point now) const {
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    return std::min<double>(burst_, tokens_ + elapsed * per_minute_ / 60.0);
  }
  bool is_full(Clock::time_point now) const { return level(now) + kRounding >= burst_; }
  void resume(double tokens, Clock::time_point at) {
    tokens_ = tokens;
    last_ = at;
  }
  void set_rate(std::uint32_t per_minute, std::uint32_t burst) {
    per_minute_ = std::max<std::uint32_t>(per_minute, 1);
    burst_ = std::max<std::uint32_t>(burst, 1);
  }

 private:
  static constexpr double kRounding = 1e-6;
  std::uint32_t per_minute_;
  std::uint32_t burst_;
  double tokens_;
  Clock::time_point last_;
};

}  // namespace sallyport::keeper
