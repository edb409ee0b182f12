// TRUSTED SIDE. Creates of ended sessions whose outcome is unknown. dockerd may still make such a container, created
// and never started, when everything else of its session is gone.
#pragma once

#include "broker/keeper/ledger_file.hpp"
#include "broker/keeper/removal.hpp"
#include "broker/keeper/services.hpp"

namespace sallyport::keeper {

// How long they are still looked for where the ledger says that the session ended at that time.
std::chrono::seconds late_creates_may_take(std::int64_t ended);

// The last step of a session's end. With nothing left its ledger's file goes at once. With intents it says that the
// session has ended (`ended`: it says so already), and goes when they have been removed or have not appeared for
// kLateCreate: in the background, and where this broker stops before, by the next one.
void let_go_of_ledger(Services& services, const SessionId& session, LedgerFile ledger, Leftovers intents,
                      std::optional<std::int64_t> ended = {});

}  // namespace sallyport::keeper
