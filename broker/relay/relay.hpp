// UNTRUSTED SIDE. Accepts on the sandbox's listeners, asks the keeper for upstream N for each connection, and carries bytes
// both ways when the connected descriptor comes. It parses nothing but the keeper's two messages.
// One thread, one io_context: no locks on purpose.
#pragma once

#include <boost/asio/io_context.hpp>
#include <vector>

#include "sallyport/unique_fd.hpp"

namespace sallyport::relay {

// Until the keeper's channel closes. The exit code: 0, or 1 where the keeper's messages made no sense.
int serve(boost::asio::io_context& io, UniqueFd keeper, std::vector<UniqueFd> listeners);

}  // namespace sallyport::relay
