// TRUSTED SIDE. What the broker makes of itself and of the host before it serves: directories with their owners, one
// lock for one broker id, the control socket, and two processes of which neither holds what the other does.
#pragma once

#include <sys/types.h>

#include "broker/options.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport {

// Root, signals at their defaults, 0-2 open and nothing else but `kept_fd`, a tight umask, room for descriptors.
Result<> normalise_process(std::optional<int> kept_fd);

// Who the keeper becomes: its uid and primary group, and the group that opens docker.sock.
struct KeeperIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  gid_t docker_group = 0;
};
Result<KeeperIdentity> identify_keeper(const BrokerConfig& config);

Result<> make_directories(const BrokerConfig& config, const KeeperIdentity& keeper);

// Held by keeper and spawner until both have ended. An earlier broker that is about to end is waited for.
Result<UniqueFd> lock_broker(const BrokerConfig& config);

// The socket at which launchers ask for sessions. Refused where another broker answers there.
Result<UniqueFd> make_control_socket(const BrokerConfig& config);

// The launcher's end that --private-fd names.
Result<UniqueFd> adopt_private_peer(int fd);

// An empty directory that the spawner mounts empty roots on.
std::string root_mount_point(const BrokerConfig& config);

}  // namespace sallyport
