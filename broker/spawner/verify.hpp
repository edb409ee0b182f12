// TRUSTED SIDE. Is what the keeper passes on from a launcher what it says it is? A launcher may be an ordinary user's,
// so every descriptor is judged here, by what the kernel says of it. On any doubt the session is refused, with the
// reason.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "broker/protocol/spawner_messages.hpp"
#include "sallyport/child.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

struct SessionInputs {
  UniqueFd init;             // pidfd of the sandbox's init
  UniqueFd uid_lock;         // none where the spawner takes the range
  UniqueFd docker_listener;  // these two only with [docker]
  UniqueFd stream;
  std::vector<UniqueFd> forward_listeners;
};

// Sorts the descriptors that came with the request. Too few or too many: refused, and all are closed.
Result<SessionInputs> sort_descriptors(const protocol::spawner::StartSession& request, std::vector<UniqueFd> received);

// The range is one of the span's and the passed lock is RUNTIME/uids/BASE, locked by that very open file and no other.
Result<> verify_uid_range(const BrokerConfig& config, std::uint32_t base, int lock);

// The pid behind a pidfd, as our procfs numbers it.
Result<pid_t> pid_of_init(int pidfd);

// Init is alive, the maps of its user namespace are its two uids and gids of the range (not checked where uid_base is
// 0: such a peer has no range), and every socket is what it should be and lives in init's network namespace.
Result<> verify_sandbox(std::uint32_t uid_base, const SessionInputs& inputs);

}  // namespace sallyport::spawner
