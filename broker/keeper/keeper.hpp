// TRUSTED SIDE. The keeper's entry: sallyport-broker calls it in the process that holds docker.sock's group and nothing
// else.
#pragma once

#include "sallyport/profile/config.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

struct KeeperInputs {
  BrokerConfig config;
  UniqueFd control_listener;  // none with private_peer or reap_only
  UniqueFd spawner_channel;
  UniqueFd private_peer;  // serve exactly this connected control socket, then exit
  UniqueFd ready;  // a pipe: one byte is written once sessions can be opened (the spawner tells systemd), then closed
  bool reap_only = false;  // reap what an earlier broker left, then exit
};

// Returns the exit code of the process.
int run_keeper(KeeperInputs inputs);

}  // namespace sallyport::keeper
