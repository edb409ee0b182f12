// TRUSTED SIDE. The end of a session, whatever caused it: processes killed, containers killed and removed, cgroup gone,
// closing record written, in this order. Nothing can stop it. Containers that cannot be removed in time, as where
// dockerd is away, are left to the reaper, which goes on.
#pragma once

#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

// Only the first call has an effect. `rule` is for the audit trail, `reason` for people.
void end_session(Services& services, const SessionPtr& session, std::string rule, std::string reason);

// Because the broker stops.
void end_for_the_stop(Services& services, const SessionPtr& session);
// The same in order: the launcher ends its worker first, with the profile's grace. Returns what the keeper gives it for
// that, at most stop_within of broker.toml; 0 where nobody could be asked, and it ends at once.
std::chrono::seconds let_end_for_the_stop(Services& services, const SessionPtr& session);

}  // namespace sallyport::keeper
