// UNTRUSTED SIDE. Accepts on the sandbox's listeners, asks the keeper for upstream N for each connection, and carries
// bytes both ways when the connected descriptor comes. It parses nothing but the keeper's two messages. One thread, one
// io_context: no locks on purpose.
#pragma once

#include <chrono>
#include <vector>

#include "sallyport/limits.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::relay {

// A connection whose one end has gone and whose other is silent is cut.
struct HalfClosed {
  std::chrono::milliseconds looked_at_every{30'000};
  std::chrono::milliseconds cut_after = limits::kHalfClosedIdle;
};

// Makes everything that needs a call outside the filter, locks down, and serves until the keeper's channel closes.
// The exit code: 0, 1 where the keeper's messages made no sense, 2 where `lock_down` failed (it answers 0 or an errno).
int serve(UniqueFd keeper, std::vector<UniqueFd> listeners, int (*lock_down)() noexcept,
          const HalfClosed& half_closed = {});

}  // namespace sallyport::relay
