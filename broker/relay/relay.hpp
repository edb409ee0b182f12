// UNTRUSTED SIDE. Accepts on the sandbox's listeners, asks the keeper for upstream N for each connection, and carries
// bytes both ways when the connected descriptor comes. It parses nothing but the keeper's two messages. One thread, one
// io_context: no locks on purpose.
#pragma once

#include <vector>

#include "sallyport/unique_fd.hpp"

namespace sallyport::relay {

// Makes everything that needs a call outside the filter, locks down, and serves until the keeper's channel closes.
// The exit code: 0, 1 where the keeper's messages made no sense, 2 where `lock_down` failed (it answers 0 or an errno).
int serve(UniqueFd keeper, std::vector<UniqueFd> listeners, int (*lock_down)() noexcept);

}  // namespace sallyport::relay
