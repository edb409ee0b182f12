// TRUSTED SIDE. Children that stay in the host's namespaces: systemctl, and the dialer's fork. The code between fork
// and exec (or _exit) is async-signal-safe, as everywhere.
#pragma once

#include "sallyport/child.hpp"
#include "sallyport/result.hpp"

namespace sallyport::spawner {

// fork(2) with a pidfd and every signal unblocked in the child. The child gets an empty Child.
struct Forked {
  bool in_child = false;
  Child child;
};
Result<Forked> fork_with_pidfd();

// Executes a program of ours or systemd's with an empty environment and nothing open but /dev/null as 0, 1 and 2.
Result<Child> start_plain(int executable, char* const argv[], int null_device);

}  // namespace sallyport::spawner
