#include "broker/spawner/dialing.hpp"

#include <algorithm>
#include <utility>

#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::spawner {

namespace messages = protocol::spawner;

Dialing::Dialing(Poller& poller, KeeperLink& keeper, Sessions& sessions, const SpawnerInputs& inputs)
    : poller_(poller),
      keeper_(keeper),
      sessions_(sessions),
      inputs_(inputs),
      own_places_(limits::own_dialers(inputs.config.max_sessions)) {}

std::size_t Dialing::common_taken() const {
  std::size_t taken = 0;
  for (const auto& [id, session] : sessions_) taken += std::max(session->dialers.size(), own_places_) - own_places_;
  return taken;
}

bool Dialing::has_place(const Session& session, std::size_t common_taken) const {
  const std::size_t running = session.dialers.size();
  return running < own_places_ || (running < limits::kMaxSessionDialers && common_taken < limits::kCommonDialers);
}

bool Dialing::enough_begin(const Session& session) const {
  const auto has_just_begun = [now = Poller::Clock::now()](const auto& entry) {
    return now - entry.second.begun < limits::kDialHangs;
  };
  return std::ranges::count_if(session.dialers, has_just_begun) >= limits::kDialersThatBegin;
}

bool Dialing::may_start(const Session& session, std::size_t common_taken) {
  if (!enough_begin(session)) return has_place(session, common_taken);
  if (!std::exchange(looks_again_, true))
    poller_.after(limits::kDialHangs, [this] {
      looks_again_ = false;
      start_waiting();
    });
  return false;
}

void Dialing::refuse(const messages::Dial& request, int error_code) {
  keeper_.tell({messages::DialDone{request.session, request.connection, error_code}, {}});
}

void Dialing::take(const messages::Dial& request, const std::vector<UniqueFd>& fds) {
  const auto found = sessions_.find(request.session);
  if (found == sessions_.end() || found->second->being_killed || !fds.empty()) return refuse(request, ESRCH);
  Session& session = *found->second;
  const auto is_same = [&](const messages::Dial& other) { return other.connection == request.connection; };
  if (session.dialers.contains(request.connection) || std::ranges::any_of(session.waiting_dials, is_same))
    return refuse(request, EEXIST);
  if (session.dialers.size() + session.waiting_dials.size() >= limits::kMaxForwardConnections)
    return refuse(request, EAGAIN);
  // The wait has no deadline of its own: a dialer has one, so each of the session's own places comes free.
  if (!session.waiting_dials.empty() || !may_start(session, common_taken())) session.waiting_dials.push_back(request);
  else start(session, request);
}

void Dialing::start(Session& session, const messages::Dial& request) {
  const DialRules rules{inputs_.config.docker_socket, inputs_.docker_group};
  const auto target = parse_target(request, rules);
  if (!target) {
    log::warning("session " + request.session.text() + ": " + target.error().text(),
                 {.session = request.session.text()});
    return refuse(request, target.error().code);
  }
  auto dialer = start_dialer(*target, session.uid(limits::UidPart::Dialer), inputs_.programs.null_device.get());
  if (!dialer) return refuse(request, dialer.error().code != 0 ? dialer.error().code : EIO);
  auto watch = poller_.watch(dialer->answer.get(), EPOLLIN,
                             [this, id = request.session, connection = request.connection] { finish(id, connection); });
  if (!watch) return refuse(request, watch.error().code);
  session.dialers.emplace(request.connection,
                          RunningDialer{std::move(*dialer), std::move(*watch), Poller::Clock::now()});
}

void Dialing::finish(const SessionId& id, std::uint32_t connection) {
  Session& session = *sessions_.at(id);
  const auto found = session.dialers.find(connection);
  DialOutcome outcome = read_answer(found->second.dialer.answer.get());
  session.dialers.erase(found);  // it has ended or is about to; reaped here
  if (!session.being_killed) {
    Outgoing done{messages::DialDone{id, connection, outcome.error_code}, {}};
    if (outcome.connected) done.fds.push_back(std::move(outcome.connected));
    keeper_.tell(std::move(done));
  }
  start_waiting();
}

// One of each session in turn, beginning after the one that was last: no session takes every common place that comes
// free.
void Dialing::start_waiting() {
  std::size_t taken = common_taken();
  const auto start_next = [&](Session& session) {
    if (session.waiting_dials.empty() || !may_start(session, taken)) return false;
    const messages::Dial request = session.waiting_dials.front();
    session.waiting_dials.pop_front();
    last_started_ = session.id;
    start(session, request);
    taken = common_taken();
    return true;
  };
  for (bool any = true; any;) {
    any = false;
    const auto next = sessions_.upper_bound(last_started_);
    for (auto entry = next; entry != sessions_.end(); ++entry) any = start_next(*entry->second) || any;
    for (auto entry = sessions_.begin(); entry != next; ++entry) any = start_next(*entry->second) || any;
  }
}

}  // namespace sallyport::spawner
