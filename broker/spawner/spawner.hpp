// TRUSTED SIDE. The spawner: holds the capabilities, not the Docker socket. It takes the keeper's fixed requests
// (broker/protocol/spawner_messages.hpp), verifies them, starts and kills the processes of sessions, dials upstreams,
// and ends everything when the keeper is gone. One thread, one loop; nothing in it waits for a process that is not its
// own fork on its way to exec.
#pragma once

#include <sys/types.h>

#include <string>

#include "broker/spawner/programs.hpp"
#include "sallyport/child.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

struct SpawnerInputs {
  BrokerConfig config;
  Programs programs;
  gid_t docker_group = 0;  // no dialer gets it
  UniqueFd keeper_channel;
  Child keeper;
  UniqueFd ready;                // a byte comes once the keeper serves: systemd is told
  UniqueFd signals;              // signalfd of SIGTERM and SIGINT, blocked: passed on to the keeper, whose end is ours
  std::string root_mount_point;  // an empty directory, mode 0700
};

// Gives up all but the capabilities that the work needs. Call it before run_spawner.
Result<> lock_down_spawner();

// Runs until the keeper has ended and everything of its sessions is dead. The exit code: the keeper's own, or 1 where
// it was killed or broke the protocol.
int run_spawner(SpawnerInputs inputs);

}  // namespace sallyport::spawner
