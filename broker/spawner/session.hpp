// TRUSTED SIDE. What the spawner holds of one session: its processes, its uid range and its cgroup.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>

#include "broker/spawner/dialer.hpp"
#include "broker/spawner/poller.hpp"
#include "broker/spawner/session_cgroup.hpp"
#include "sallyport/child.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::spawner {

struct RunningDialer {
  Dialer dialer;
  Watch watch;
  Poller::Clock::time_point begun;
};

struct Session {
  SessionId id;
  std::uint32_t uid_base = 0;
  UniqueFd uid_lock;
  ProcessHandle init;
  // A peer that is not root could have passed any process as its init: such a one is watched, never killed or moved.
  bool owns_init = false;
  Child gate;
  Child relay;
  SessionCgroup cgroup;
  std::map<std::uint32_t, RunningDialer> dialers;     // by connection
  std::deque<protocol::spawner::Dial> waiting_dials;  // for a place among the dialers (dialing.hpp)
  bool being_killed = false;                          // ends of processes are no news any more
  Watch init_watch;                                   // the watches go before the processes that they watch
  Watch gate_watch;
  Watch relay_watch;

  std::uint32_t uid(limits::UidPart part) const { return uid_base + static_cast<std::uint32_t>(part); }
  // Signals everything by pidfd and cgroup. True once all have ended, ours reaped.
  Result<bool> kill_and_check();
};

}  // namespace sallyport::spawner
