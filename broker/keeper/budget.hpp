// TRUSTED SIDE. Rates and sums that a session may not exceed. Pure but for the clock that is passed in.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace sallyport::keeper {

using Clock = std::chrono::steady_clock;

// `per_minute` tokens at once, refilled evenly.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t per_minute, Clock::time_point now)
      : per_minute_(std::max<std::uint32_t>(per_minute, 1)), tokens_(per_minute_), last_(now) {}

  // Empty: granted. Else the seconds after which it would be.
  std::optional<std::uint32_t> take(Clock::time_point now) {
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    tokens_ = std::min<double>(per_minute_, tokens_ + elapsed * per_minute_ / 60.0);
    if (tokens_ >= 1.0) {
      tokens_ -= 1.0;
      return {};
    }
    const double wait = (1.0 - tokens_) * 60.0 / per_minute_;
    return static_cast<std::uint32_t>(wait) + 1;
  }
  std::uint32_t per_minute() const { return per_minute_; }

  // --- for whoever keeps it (account.hpp) ---
  double level(Clock::time_point now) const {
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    return std::min<double>(per_minute_, tokens_ + elapsed * per_minute_ / 60.0);
  }
  void resume(double tokens, Clock::time_point at) {
    tokens_ = tokens;
    last_ = at;
  }
  void set_rate(std::uint32_t per_minute) { per_minute_ = std::max<std::uint32_t>(per_minute, 1); }

 private:
  std::uint32_t per_minute_;
  double tokens_;
  Clock::time_point last_;
};

}  // namespace sallyport::keeper
