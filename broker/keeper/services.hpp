// TRUSTED SIDE. What every session of a broker shares. One thread, one io_context: no locks anywhere in the keeper.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/async/tasks.hpp"
#include "broker/engine/docker_client.hpp"
#include "broker/keeper/account.hpp"
#include "broker/keeper/audit.hpp"
#include "broker/keeper/hangup_watch.hpp"
#include "broker/keeper/spawner_client.hpp"
#include "sallyport/ids.hpp"
#include "sallyport/profile/config.hpp"

namespace sallyport::keeper {

class Places;
class Session;

// A session of which containers or processes may be left: of an earlier broker, or one that has ended here and of whose
// containers not all could be removed.
struct LeftSession {
  SessionId session;
  ProfileName profile;
  std::uint32_t uid_base = 0;  // 0: it had none yet, so nothing of it was started
  std::string why;             // it has not been removed yet: for people
  bool is_earlier = true;      // of an earlier broker
  bool is_refused = false;     // dockerd refuses to remove what is left
};

struct Services {
  net::any_io_executor executor;
  BrokerConfig config;
  std::string broker;  // our id on this host
  AuditTrail audit;
  Accounts accounts;
  engine::DockerClient docker;
  SpawnerClient spawner;
  HangupWatch hangups;
  async::TaskGroup tasks;                                    // what outlives a session: accepting, ending, reaping
  std::map<std::string, std::shared_ptr<Session>> sessions;  // by id, until they are cleaned up
  std::map<std::string, LeftSession> left;                   // by id, until they are reaped
  std::shared_ptr<Places> reaped;                            // at once; made with the first
  std::size_t waiting_for_place = 0;                         // openers
  AuditQuota knocks;                                         // refused openings, whoever asked and for whatever
  bool stopping = false;
  std::size_t operators_waiting = 0;      // to hear that a session has ended: not before that is this process gone
  std::function<void()> on_session_gone;  // the last step of an ending, or of telling an operator
};

}  // namespace sallyport::keeper
