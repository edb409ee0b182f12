// TRUSTED SIDE, HOSTILE INPUT. Reads one session's relay channel: "somebody connected to forward N" is checked,
// recorded and dialed by the spawner; the connected descriptor goes to the relay. Nothing here reads or writes an
// upstream.
#pragma once

#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

net::awaitable<void> serve_relay(Services& services, SessionPtr session);
// The spawner's answer to a dial; `upstream` is empty where it failed.
void finish_dial(Services& services, const SessionPtr& session, const protocol::spawner::DialDone& done,
                 UniqueFd upstream);

}  // namespace sallyport::keeper
