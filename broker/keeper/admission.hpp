// TRUSTED SIDE. Who may open a session, and whether what came with the hello is what it should be. No descriptor is
// used for anything before it has passed here; whose namespaces the listeners live in is checked by the spawner.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sallyport/handshake.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

struct Peer {
  std::uint32_t uid = 0;
  std::vector<std::uint32_t> gids;  // primary and supplementary, when it connected
};
Result<Peer> peer_of(int control_socket);

// Pure. Whether there is any profile with which the peer may open a session. Who may open none is told so and nothing
// else.
bool may_open_any(const Peer& peer, const BrokerConfig& config);
// Pure. Root always; others by the [[open]] rules of broker.toml.
Result<> may_open(const Peer& peer, const ProfileName& profile, const BrokerConfig& config);

// Pure. The hello against the keeper's own reading of the profile.
Result<> check_hello(const handshake::OpenSession& hello, const Profile& profile, const Peer& peer);

// The descriptors of a hello, by name.
struct SessionFds {
  UniqueFd launcher;
  UniqueFd init;
  UniqueFd uid_lock;         // none where the spawner takes the range
  UniqueFd docker_listener;  // none without [docker]
  UniqueFd stream;
  std::vector<UniqueFd> forward_listeners;
};
Result<SessionFds> check_descriptors(const handshake::OpenSession& hello, const Profile& profile,
                                     std::vector<UniqueFd> fds);

}  // namespace sallyport::keeper
