// TRUSTED SIDE. Removes what earlier brokers with our id left, by their ledgers in the state directory, and what
// sessions that have ended here had to leave. A container counts as theirs only by a record there, never by its labels
// alone, which any image can carry. First everything that runs is killed by its cgroup, for all sessions at once; then
// each is removed, and none holds up another.
#pragma once

#include <vector>

#include "broker/keeper/ledger_file.hpp"
#include "broker/keeper/removal.hpp"
#include "broker/keeper/services.hpp"

namespace sallyport::keeper {

// Before any session is opened: so that who opens one hears what is in its way.
void know_what_is_left(Services& services, const std::vector<LeftLedger>& left);

// What is in the way of a session with these uids; null where nothing is. 0, the spawner chooses: it gives out no range
// that was left.
const LeftSession* left_in_the_way(const Services& services, std::uint32_t uid_base);

// An error where so many sessions of this profile are left that another might be one too many.
Result<> may_leave_more(const Services& services, const ProfileName& profile);

// The rest of an ending whose containers could not be removed, `why`. They are dead, and their session's cgroup is
// gone; its uids are kept from others until they are removed, by this broker or the next.
void go_on_removing(Services& services, LeftLedger left, const NotRemoved& why);

// Goes on until nothing is left, however long dockerd is away. A create whose outcome is still unknown is looked for
// after that (late_creates.hpp). `on_bug` ends the broker: nothing is known of what is left.
net::awaitable<void> reap(Services& services, std::vector<LeftLedger> left, async::TaskGroup::OnBug on_bug);

}  // namespace sallyport::keeper
