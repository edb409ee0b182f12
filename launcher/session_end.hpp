// TRUSTED SIDE. The last wait of a run that had a session: whoever starts it again must not meet its old containers.
#pragma once

#include "launcher/broker_session.hpp"
#include "launcher/supervise.hpp"

namespace sallyport::launcher {

// Until the broker says that everything of the session is gone. What takes longer than a moment, what is left behind,
// and why nothing more is waited for is told on stderr. A first signal to end is told what is waited for, a second one
// ends the wait; `outcome` knows of it.
void wait_for_session_end(BrokerSession& session, Signals& signals, Outcome& outcome);

}  // namespace sallyport::launcher
