// TRUSTED SIDE. Whose dial is started when. A dialer lives until its upstream answers, at most limits::kDialDeadline,
// and a worker can have all of its own hang: so each session has places among the dialers that no other session ever
// takes, and only what it dials beyond them comes from places common to all. More than a few at once are of use only to
// dials that hang: those of an upstream that answers would come one after the other all the same, each a fork, and take
// the spawner's turns from the others. A dial without a place waits for one.
#pragma once

#include <map>
#include <memory>

#include "broker/spawner/keeper_link.hpp"
#include "broker/spawner/session.hpp"
#include "broker/spawner/spawner.hpp"

namespace sallyport::spawner {

class Dialing {
 public:
  using Sessions = std::map<SessionId, std::unique_ptr<Session>>;

  // All are the spawner's and outlive this.
  Dialing(Poller& poller, KeeperLink& keeper, Sessions& sessions, const SpawnerInputs& inputs);

  // Starts it, lets it wait, or refuses it. It is answered by DialDone, unless its session is killed before.
  void take(const protocol::spawner::Dial& request, const std::vector<UniqueFd>& fds);
  // To be called when dialers have ended in another way than by their answer.
  void start_waiting();

 private:
  std::size_t common_taken() const;
  bool has_place(const Session& session, std::size_t common_taken) const;
  bool enough_begin(const Session& session) const;
  // Where enough begin, its next is looked at again a moment later.
  bool may_start(const Session& session, std::size_t common_taken);
  void start(Session& session, const protocol::spawner::Dial& request);
  void finish(const SessionId& id, std::uint32_t connection);
  void refuse(const protocol::spawner::Dial& request, int error_code);

  Poller& poller_;
  KeeperLink& keeper_;
  Sessions& sessions_;
  const SpawnerInputs& inputs_;
  std::size_t own_places_;    // of each session
  SessionId last_started_;    // the sessions after it are next at the common places
  bool looks_again_ = false;  // when dialers that have just begun have become such as hang
};

}  // namespace sallyport::spawner
