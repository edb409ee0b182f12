// TRUSTED SIDE, UNTRUSTED INPUT: anybody on the host can connect. Conversations on the control socket: a launcher opens
// a session, which lives as long as the connection; an operator ends one.
#pragma once

#include "broker/keeper/services.hpp"

namespace sallyport::keeper {

// One connection, from its hello to its end.
net::awaitable<void> converse(Services& services, UniqueFd connection);
// Accepts until the listener is closed.
net::awaitable<void> accept_control(Services& services, UniqueFd listener);

}  // namespace sallyport::keeper
