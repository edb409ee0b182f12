// TRUSTED SIDE, HOSTILE INPUT. Reads one session's gate channel: bounded typed requests, checked against the permit
// table, each answered by a task of its own. A gate that breaks the protocol is ended with its session, never
// corrected.
#pragma once

#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

net::awaitable<void> serve_gate(Services& services, SessionPtr session);

}  // namespace sallyport::keeper
