// BOTH SIDES (trusted on each). A deadline as poll(2) wants it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace sallyport {

// Rounded up, so that who wakes has reached it; 0 once it has passed, and at most a good week.
inline int milliseconds_until(std::chrono::steady_clock::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30));
}

}  // namespace sallyport
