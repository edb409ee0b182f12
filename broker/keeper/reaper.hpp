// TRUSTED SIDE. Removes what earlier brokers with our id left: by their ledgers in the state directory. A container
// counts as theirs only by a record there, never by its labels alone, which any image can carry.
#pragma once

#include <vector>

#include "broker/keeper/ledger_file.hpp"
#include "broker/keeper/services.hpp"

namespace sallyport::keeper {

// Goes on until nothing is left, however long dockerd is away; then services.reaped is set. A create whose outcome is
// still unknown is looked for after that (late_creates.hpp). `on_bug` ends the broker: nothing is known of what is
// left.
net::awaitable<void> reap(Services& services, std::vector<LeftLedger> left, async::TaskGroup::OnBug on_bug);

}  // namespace sallyport::keeper
