// TRUSTED SIDE. Opens a session: verifies what came with the request, makes the cgroup, starts gate and relay. Either
// all of it stands or nothing is left.
#pragma once

#include <memory>
#include <vector>

#include "broker/protocol/spawner_messages.hpp"
#include "broker/spawner/programs.hpp"
#include "broker/spawner/session.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport::spawner {

struct StartTools {
  const BrokerConfig& config;
  const Programs& programs;
  const CgroupRoot* cgroup_root = nullptr;  // none: the host has no cgroup2
  const char* root_mount_point = nullptr;
};

struct StartedSession {
  std::unique_ptr<Session> session;
  std::vector<UniqueFd> channels;  // the keeper's ends: gate (if has_docker), relay (if there are forwards)
};

// `taken`: the range that was taken for a peer which has none of its own.
Result<StartedSession> start_session(const StartTools& tools, const protocol::spawner::StartSession& request,
                                     std::vector<UniqueFd> fds, std::optional<UidRange> taken);

}  // namespace sallyport::spawner
