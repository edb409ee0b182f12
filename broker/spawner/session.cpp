#include "broker/spawner/session.hpp"

#include <signal.h>

#include "broker/spawner/cgroup_tree.hpp"

namespace sallyport::spawner {

namespace {

// True once it has ended and is reaped.
bool end(Child& child, Watch& watch) {
  if (!child) return true;
  (void)child.handle().send_signal(SIGKILL);
  if (!child.handle().has_ended()) return false;
  watch.reset();
  child = Child();  // the destructor's kill and wait meet a process that has ended
  return true;
}

}  // namespace

Result<bool> Session::kill_and_check() {
  being_killed = true;
  bool all_ended = true;
  if (init && owns_init) {
    (void)init.send_signal(SIGKILL);
    all_ended = init.has_ended();
  }
  const Result<> killed = cgroup.kill();  // the rest is killed whatever is wrong with the cgroup
  waiting_dials.clear();
  all_ended = end(gate, gate_watch) && all_ended;
  all_ended = end(relay, relay_watch) && all_ended;
  for (auto entry = dialers.begin(); entry != dialers.end();)
    entry = end(entry->second.dialer.child, entry->second.watch) ? dialers.erase(entry) : std::next(entry);
  if (!killed) return std::unexpected(killed.error());
  return both(all_ended && dialers.empty(), cgroup.is_empty());
}

}  // namespace sallyport::spawner
