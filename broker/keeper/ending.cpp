#include "broker/keeper/ending.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "broker/keeper/late_creates.hpp"
#include "broker/keeper/reaper.hpp"
#include "broker/keeper/removal.hpp"
#include "broker/protocol/verbs.hpp"
#include "sallyport/handshake.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace spawner = protocol::spawner;

namespace {

constexpr std::chrono::milliseconds kFirstRetry{200};
constexpr std::size_t kMostOfCause = 256;      // in the closing record, of why containers are left
constexpr std::chrono::seconds kCancelled{1};  // a cancelled task ends with the next turn of the loop

// Everything that the session could still do or wait for. A create that dockerd has is not among it
// (answer_create.cpp): its answer says what there is to remove.
void revoke(Session& session) {
  const auto streams = std::exchange(session.streams, {});
  for (const auto& [number, named] : streams) named.stream->revoke();
  for (const auto& [id, in_flight] : session.in_flight) in_flight->exchange.cancel();
  if (session.gate) session.gate->finish_sending();
  if (session.relay) session.relay->finish_sending();
}

// What gate and relay have counted and not said: an honest one says it at once when it hears the end, and closes.
net::awaitable<void> hear_last_words(const SessionPtr& session) {
  const auto give_up = Clock::now() + limits::kLastWordsWithin;
  if (session->gate) (void)co_await session->gate_heard.wait(give_up - Clock::now());
  if (session->relay) (void)co_await session->relay_heard.wait(give_up - Clock::now());
  if (session->gate) session->gate->close();
  if (session->relay) session->relay->close();
}

bool creates_are_in_flight(const Session& session) {
  for (const auto& [id, in_flight] : session.in_flight)
    if (protocol::kVerbs[in_flight->kind] == api::Verb::Create) return true;
  return false;
}

// After it nothing of the session's runs any more, so nothing but its ending changes its ledger.
net::awaitable<void> settle_creates(const SessionPtr& session) {
  using namespace net::experimental::awaitable_operators;
  const auto give_up = Clock::now() + limits::kCreatesSettle;
  while (creates_are_in_flight(*session) && Clock::now() < give_up)
    co_await async::sleep_for(std::chrono::milliseconds(20));
  session->tasks.cancel();
  co_await (session->tasks.wait_until_empty() || async::sleep_for(kCancelled));
  if (session->tasks.running() > 0)
    log::error(
        "session " + session->id.text() + ": " + std::to_string(session->tasks.running()) + " of its tasks do not end",
        session->about());
}

// Before the kill: a launcher that sees init die first would take the symptom for the cause.
void tell_launcher_why(Session& session) {
  if (!session.control || !session.control->is_open() || session.worker_ended) return;
  (void)session.control->send(encode_message(handshake::FromKeeper(handshake::Ended{session.end_reason})));
}

// `left`: what the launcher need not wait for; "" where everything is gone.
void let_launcher_go(Session& session, const std::string& left = "") {
  if (!session.control || !session.control->is_open()) return;
  if (!left.empty())
    (void)session.control->send(
        encode_message(handshake::FromKeeper(handshake::LeftBehind{left.substr(0, limits::kMaxReasonBytes)})));
  if (session.worker_ended) (void)session.control->send(encode_message(handshake::FromKeeper(handshake::Done{})));
  session.control->close();
}

enum class Which : bool { OnlyKnown, All };

// One round over what the ledger has now. What changes while it runs is the next round's: a create may be answered
// between the first removal and the last, and only what was asked for can be known to have gone.
net::awaitable<Removed> remove_once(Services& services, const SessionPtr& session, Which which) {
  std::vector<Owned> asked;
  Leftovers leftovers;
  for (const Owned& owned : session->ledger.all()) {
    if (which == Which::OnlyKnown && owned->id.empty()) continue;
    asked.push_back(owned);
    leftovers[dockerd_name(session->id, owned->name)] = owned->id.text();
  }
  const auto removed = co_await remove_containers(services.docker, services.broker, session->id, leftovers, false);
  for (const Owned& owned : asked)
    if (!leftovers.contains(dockerd_name(session->id, owned->name))) session->ledger.forget(owned);
  co_return removed;
}

Leftovers intents_of(const Session& session) {
  Leftovers intents;
  for (const Owned& owned : session.ledger.all())
    if (owned->id.empty()) intents[dockerd_name(session.id, owned->name)];
  return intents;
}

bool only_intents_are_left(const Session& session) {
  return std::ranges::all_of(session.ledger.all(), [](const Owned& owned) { return owned->id.empty(); });
}

// All but the intents of which dockerd shows nothing for kIntentsSettle. Why containers are left then, or nothing: they
// are the reaper's from here on, so that they keep no session's place, whatever it is that dockerd does not remove.
net::awaitable<std::optional<NotRemoved>> remove_all_containers(Services& services, const SessionPtr& session) {
  const auto settled = Clock::now() + kIntentsSettle;
  RetryPause pause(kFirstRetry, kFirstRetry);
  while (session->ledger.count() > 0) {
    const bool has_settled = Clock::now() > settled;
    const std::size_t before = session->ledger.count();
    const auto removed = co_await remove_once(services, session, Which::All);
    if (session->ledger.count() == 0 || (removed && has_settled && only_intents_are_left(*session))) break;
    if (!removed && Clock::now() > settled) co_return removed.error();
    const std::chrono::milliseconds next = pause.after(removed, session->ledger.count() < before);
    co_await async::sleep_for(
        std::min<Clock::duration>(next, std::max<Clock::duration>(settled - Clock::now(), kFirstRetry)));
  }
  co_return std::nullopt;
}

void log_unwritten(const Result<>& written) {
  if (!written) log::error(written.error().text());
}

// What the gate answered alone and did not describe: its number is known, however the gate has ended. Its own claim, so
// no more of it than a claim can stand for.
std::uint64_t record_undescribed(Services& services, Session& session, Decision decision) {
  const protocol::Tally& tally = *session.tally.get();
  const bool allowed = decision == Decision::Allow;
  const std::uint64_t counted = allowed ? tally.allowed : tally.denied;
  const std::uint64_t described = allowed ? session.described_allowed : session.described_denied;
  if (counted <= described) return 0;
  AuditRecord record;
  record.decision = decision;
  record.source = Source::Gate;
  record.weight = Weight::Closing;
  record.session = session.id.text();
  record.profile = session.profile.name.text();
  record.rule = "gate.undescribed";
  record.reason = "answered by the gate alone, which ended before it had said what they were";
  record.count = std::min<std::uint64_t>(counted - described, std::numeric_limits<std::uint32_t>::max());
  log_unwritten(services.audit.write(record, session.audit_quota));
  return record.count;
}

// "" where everything was heard.
std::string what_is_missing(Services& services, Session& session) {
  std::string missing;
  if (session.gate && session.tally.get() == nullptr) missing = "; counts of its gate may be missing";
  if (session.tally.get() != nullptr)
    if (const std::uint64_t undescribed = record_undescribed(services, session, Decision::Allow) +
                                          record_undescribed(services, session, Decision::Deny))
      missing = "; " + std::to_string(undescribed) + " answers of its gate are counted, what they were is missing";
  for (const auto& [number, forward] : session.forwards)
    if (forward.connected) return missing + "; byte counts of forwards are missing";
  return missing;
}

// It tells no more than that a worker ended: what is beyond the share of its profile is counted first.
bool is_plain(const Session& session, const std::string& missing) {
  constexpr std::string_view kPlain[] = {"worker.ended", "launcher.closed", "limits.time", "operator",
                                         "broker.stopped"};
  return missing.empty() && session.left_behind.empty() && session.described_denied == 0 &&
         std::ranges::find(kPlain, session.end_rule) != std::end(kPlain);
}

void write_closing_records(Services& services, Session& session) {
  log_unwritten(services.audit.write_counted_now_and_then(session.audit_quota));
  const std::string missing = what_is_missing(services, session);
  AuditRecord record;
  record.event = Event::SessionEnd;
  record.weight = is_plain(session, missing) ? Weight::Ending : Weight::Closing;
  record.session = session.id.text();
  record.profile = session.profile.name.text();
  record.object = session.worker_status;
  record.rule = session.end_rule;
  record.reason = session.end_reason + missing;
  if (!session.left_behind.empty())
    record.reason += "; " + std::to_string(session.ledger.count()) +
                     " of its containers are left: " + session.left_behind.substr(0, kMostOfCause);
  log_unwritten(services.audit.write(record, session.audit_quota));
  session.audit_quota.save();  // exact again, where no other session of the profile works
}

LeftLedger left_of(Services& services, Session& session) {
  if (const auto written = session.ledger_file.closed(); !written) log::warning(written.error().text());
  session.ledger_file = {};
  LedgerRecord record;
  record.session = session.id;
  record.profile = session.profile.name;
  record.uid_base = session.uid_base;
  record.systemd_cgroups = session.systemd_cgroups;
  record.closed = true;
  for (const Owned& owned : session.ledger.all())
    record.containers[dockerd_name(session.id, owned->name)] = owned->id.text();
  return {ledger_path(services.config.state_directory, session.id), std::move(record)};
}

net::awaitable<void> run_ending(Services& services, SessionPtr session) {
  session->end_step = "its gate and relay are heard out";
  co_await hear_last_words(session);
  session->end_step = "its processes are being killed";
  // What could not be killed is killed, or found dead, with the cgroup's removal below.
  const auto killed = co_await services.spawner.ask(spawner::KillProcesses{session->id});
  if (!killed) log::error("session " + session->id.text() + ": " + killed.error().text(), session->about());
  session->end_step = "its " + std::to_string(session->ledger.count()) + " containers are being removed";
  // What is known already does not wait for a create that dockerd is slow to answer. What of it fails is tried again
  // below; the launcher does not wait for that where dockerd was slow to fail, as one that answers nothing is.
  const auto slow = Clock::now() + limits::kSessionEndDeadline;
  const auto known = co_await remove_once(services, session, Which::OnlyKnown);
  if (!known && Clock::now() > slow) let_launcher_go(*session, known.error().text());
  session->end_step = "dockerd has not answered all its creates";
  co_await settle_creates(session);
  session->end_step = "its last containers are being removed";
  const auto left = co_await remove_all_containers(services, session);
  if (left) let_launcher_go(*session, session->left_behind = left->why);  // it need not wait for what may take for ever
  session->end_step = "its cgroup is being removed";
  const spawner::RemoveCgroup remove{session->id, session->systemd_cgroups, left.has_value()};
  const auto removed = co_await services.spawner.remove_cgroup(remove, [&](const std::string& why) {
    session->end_step = "it keeps its uids: " + why;
    log::error("session " + session->id.text() + ": " + session->end_step, session->about());
    let_launcher_go(*session, session->end_step);  // it need not wait for what it cannot help
  });
  if (!removed) co_return log::error("session " + session->id.text() + ": " + removed.error().text(), session->about());
  write_closing_records(services, *session);
  if (left) go_on_removing(services, left_of(services, *session), *left);
  else let_go_of_ledger(services, session->id, std::exchange(session->ledger_file, {}), intents_of(*session));
  session->uid_lock.reset();
  let_launcher_go(*session);
  log::info("session " + session->id.text() + " has ended: " + session->end_reason, session->about());
  session->tasks.cancel();
  services.sessions.erase(session->id.text());
  session->ended.set(true);
  if (services.on_session_gone) services.on_session_gone();
}

net::awaitable<void> say_if_it_takes_long(SessionPtr session) {
  if (co_await session->ended.wait(limits::kSessionEndDeadline)) co_return;
  log::warning("session " + session->id.text() + " has not ended after " +
                   std::to_string(limits::kSessionEndDeadline.count()) + " s: " + session->end_step,
               session->about());
  if (co_await session->ended.wait(limits::kLauncherIsHeld - limits::kSessionEndDeadline)) co_return;
  let_launcher_go(*session, session->end_step);
}

net::awaitable<void> end_after_grace(Services& services, SessionPtr session, std::chrono::seconds grace) {
  if (!co_await session->ended.wait(grace)) end_for_the_stop(services, session);
}

}  // namespace

void end_for_the_stop(Services& services, const SessionPtr& session) {
  end_session(services, session, "broker.stopped", "the broker is stopping");
}

std::chrono::seconds let_end_for_the_stop(Services& services, const SessionPtr& session) {
  if (session->is_ending) return {};
  const auto most = services.config.stop_within;
  const handshake::FromKeeper ask = handshake::EndWorker{static_cast<std::uint32_t>(most.count())};
  const bool is_asked = session->control && session->control->send(encode_message(ask));
  if (!is_asked) {
    end_for_the_stop(services, session);
    return {};
  }
  const auto wanted = session->profile.limits.grace.value_or(limits::kTermGrace);
  if (wanted > most)
    log::warning("session " + session->id.text() + ": its worker has " + std::to_string(most.count()) + " s to end (" +
                     "stop_within of broker.toml), and not the " + std::to_string(wanted.count()) +
                     " s of its profile (limits.grace)",
                 session->about());
  const auto grace = std::min(wanted, most) + limits::kLauncherSaysItEnded;
  services.tasks.spawn("grace of session " + session->id.text(), end_after_grace(services, session, grace));
  return grace;
}

void end_session(Services& services, const SessionPtr& session, std::string rule, std::string reason) {
  if (session->is_ending) return;
  session->is_ending = true;
  session->account.give_back();
  session->end_rule = std::move(rule);
  session->end_reason = reason.substr(0, limits::kMaxReasonBytes);
  log::info("session " + session->id.text() + " ends: " + session->end_reason, session->about());
  tell_launcher_why(*session);
  revoke(*session);
  services.tasks.spawn("end session " + session->id.text(), run_ending(services, session));
  services.tasks.spawn("long end of session " + session->id.text(), say_if_it_takes_long(session));
}

}  // namespace sallyport::keeper
