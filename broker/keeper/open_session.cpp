#include "broker/keeper/open_session.hpp"

#include <sys/random.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "broker/api/versions.hpp"
#include "broker/keeper/ending.hpp"
#include "broker/keeper/forwards.hpp"
#include "broker/keeper/gate_requests.hpp"
#include "broker/keeper/random_hex.hpp"
#include "broker/keeper/reaper.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace spawner = protocol::spawner;

namespace {

net::awaitable<void> end_with_process(Services& services, SessionPtr session, UniqueFd pidfd, std::string who) {
  net::posix::stream_descriptor process(services.executor, pidfd.release());
  auto [error] = co_await process.async_wait(net::posix::stream_descriptor::wait_read, async::kUseTuple);
  if (error || session->is_ending) co_return;
  // With init the whole pid namespace is dead, so nothing is lost by hearing first how the worker ended.
  if (who == "init") co_await async::sleep_for(limits::kLauncherSaysWhy);
  if (!session->is_ending) end_session(services, session, who + ".ended", who + " has ended");
}

net::awaitable<void> end_with_time(Services& services, SessionPtr session, std::chrono::seconds limit) {
  const auto grace = session->profile.limits.grace.value_or(limits::kTermGrace);
  co_await async::sleep_for(limit + grace + limits::kLauncherSaysItEnded);
  if (!session->is_ending)
    end_session(services, session, "limits.time", "its time of " + std::to_string(limit.count()) + " s is up");
}

Result<> record_open(Services& services, Session& session, const Hello& hello) {
  AuditRecord record;
  record.event = Event::SessionOpen;
  record.weight = Weight::Opening;
  record.session = session.id.text();
  record.profile = session.profile.name.text();
  record.object = hello.message.command.value;
  record.reason = hello.peer.uid == 0 ? "sandboxed; opened by root" : "opened by uid " + std::to_string(hello.peer.uid);
  for (const std::string& limit : session.not_enforced) record.reason += "; not enforced on this host: " + limit;
  return services.audit.write(record, session.audit_quota);
}

// Only for what could be in its own way: what still runs, or may yet, under the uids that it would have.
net::awaitable<Result<>> wait_until_uids_are_free(Services& services, std::uint32_t uid_base) {
  const auto give_up = Clock::now() + limits::kReapedWithin;
  while (left_in_the_way(services, uid_base) != nullptr && Clock::now() < give_up)
    co_await async::sleep_for(std::chrono::milliseconds(50));
  if (const LeftSession* left = left_in_the_way(services, uid_base))
    co_return fail_for_now("session " + left->session.text() +
                           (left->is_earlier ? ", which an earlier broker left," : ", which has ended,") +
                           " still has uid range " + std::to_string(left->uid_base) + ": " + left->why +
                           "; it is tried until it is done, and the broker's log says what became of it");
  co_return Result<>{};
}

bool is_full(const Services& services) {
  return services.sessions.size() >= std::min<std::size_t>(services.config.max_sessions, limits::kMaxSessions);
}

// Where all places are taken, one of them may be free in a moment: an ending needs no more than that.
net::awaitable<Result<>> wait_for_a_place(Services& services) {
  const auto one_is_ending = [&services] {
    return std::ranges::any_of(services.sessions, [](const auto& entry) { return entry.second->is_ending; });
  };
  const auto give_up = Clock::now() + limits::kPlaceFreeWithin;
  const bool too_many_wait = services.waiting_for_place >= limits::kMaxWaitingForPlace;
  if (!too_many_wait) ++services.waiting_for_place;
  while (!too_many_wait && is_full(services) && one_is_ending() && !services.stopping && Clock::now() < give_up)
    co_await async::sleep_for(std::chrono::milliseconds(5));
  if (!too_many_wait) --services.waiting_for_place;
  if (services.stopping) co_return fail_for_now("the broker is stopping");
  if (!is_full(services)) co_return Result<>{};
  co_return fail_for_now("the broker has " + std::to_string(services.sessions.size()) +
                         " sessions, and max_sessions in broker.toml allows no more" +
                         (one_is_ending() ? "; one of them is ending, and has not ended yet" : ""));
}

std::unexpected<Error> ended_meanwhile(const Session& session) {
  return fail_for_now("the session has been ended: " + session.end_reason);
}

// Everything that is written before the first process of the session exists.
net::awaitable<Result<>> prepare(Services& services, Session& session, const Hello& hello) {
  CO_TRY(co_await wait_until_uids_are_free(services, session.uid_base));
  if (session.profile.docker) {
    const auto facts = co_await services.docker.facts();
    if (!facts) co_return fail_for_now("dockerd cannot be used: " + facts.error().text());
    session.systemd_cgroups = facts->systemd_cgroups;
    session.not_enforced = facts->not_enforced;
  } else if (const auto facts = co_await services.docker.facts()) {
    session.systemd_cgroups = facts->systemd_cgroups;
  }
  for (const ForwardSection& forward : session.profile.forwards) {
    std::int32_t gid = -1;
    if (!forward.group.empty()) gid = static_cast<std::int32_t>(CO_TRY(resolve_group(forward.group)));
    session.forward_groups.push_back(gid);
  }
  // Its ending has cleaned up, or is about to: nothing is written that it would not see.
  if (session.is_ending) co_return ended_meanwhile(session);
  LedgerRecord head;
  head.session = session.id;
  head.profile = session.profile.name;
  head.uid_base = session.uid_base;
  head.systemd_cgroups = session.systemd_cgroups;
  // A full disk, which is the operator's to mend, and no file of the profile's.
  const auto for_now = [](const Error& error) { return fail_for_now(error.doing, error.code); };
  auto ledger = LedgerFile::create(services.config.state_directory, head);
  if (!ledger) co_return for_now(ledger.error());
  session.ledger_file = std::move(*ledger);
  const auto recorded = record_open(services, session, hello);
  if (!recorded) co_return for_now(recorded.error());
  co_return Result<>{};
}

// Written before anything runs under it: what a crash leaves is known by its uids.
net::awaitable<Result<>> take_range(Services& services, Session& session) {
  const spawner::TakeRange take{session.id};
  const auto answer = CO_TRY(co_await services.spawner.ask(take));
  if (const auto* failed = std::get_if<spawner::SpawnFailed>(&answer.message))
    co_return fail_for_now(failed->reason.value);
  const auto* taken = std::get_if<spawner::RangeTaken>(&answer.message);
  if (taken == nullptr) co_return fail("take a uid range: the spawner answered something else");
  if (session.is_ending) co_return ended_meanwhile(session);
  session.uid_base = taken->uid_base;
  co_return session.ledger_file.uid_base(session.uid_base);
}

net::awaitable<Result<>> start_processes(Services& services, Session& session, const SessionFds& fds) {
  spawner::StartSession start;
  start.session = session.id;
  start.uid_base = session.uid_base;
  if (session.uid_base == 0) CO_TRY(co_await take_range(services, session));
  start.has_docker = session.profile.docker.has_value();
  start.forward_listeners = static_cast<std::uint8_t>(fds.forward_listeners.size());
  std::vector<int> passed{fds.init.get()};
  if (fds.uid_lock) passed.push_back(fds.uid_lock.get());
  if (start.has_docker) passed.insert(passed.end(), {fds.docker_listener.get(), fds.stream.get()});
  for (const UniqueFd& listener : fds.forward_listeners) passed.push_back(listener.get());
  auto answer = CO_TRY(co_await services.spawner.ask(start, std::move(passed)));
  if (const auto* failed = std::get_if<spawner::SpawnFailed>(&answer.message))
    co_return fail_for_now(failed->reason.value);
  const std::size_t channels = (start.has_docker ? 1U : 0U) + (start.forward_listeners > 0 ? 1U : 0U);
  if (!std::holds_alternative<spawner::Started>(answer.message) || answer.fds.size() != channels)
    co_return fail("start the session: the spawner answered something else");
  auto next = answer.fds.begin();
  const auto channel = [&](std::size_t most) {
    return std::make_unique<async::Channel>(services.executor, std::move(*next++), most, async::Sending::WithSendmsg);
  };
  if (start.has_docker) {
    session.gate = channel(limits::kMaxMessageBytes);
    session.replies.emplace(*session.gate);
  }
  if (start.forward_listeners > 0) session.relay = channel(limits::kMaxSmallMessageBytes);
  co_return Result<>{};
}

std::string docker_version(const Services& services) {
  const std::string& configured = services.config.docker_version;
  return configured.empty() ? std::string(api::kNewestEngine) : configured;
}

// With it goes the memory that the gate counts in. Where there is none, its last counts may be missing.
void send_welcome(const Services& services, Session& session) {
  const protocol::Reply welcome = protocol::Welcome{session.id, session.profile.name, docker_version(services)};
  const auto bytes = encode_message(protocol::ReplyEnvelope{0, welcome});
  auto tally = protocol::SharedTally::make();
  if (!tally) log::error("session " + session.id.text() + ": " + tally.error().text(), session.about());
  if (tally) session.tally = std::move(tally->first);
  const int fds[] = {tally ? tally->second.get() : -1};
  (void)session.gate->send(bytes, tally ? std::span<const int>(fds) : std::span<const int>());
}

void serve(Services& services, const SessionPtr& session, SessionFds fds) {
  if (session->gate) {
    send_welcome(services, *session);
    session->tasks.spawn("gate", serve_gate(services, session));
  }
  if (session->relay) session->tasks.spawn("relay", serve_relay(services, session));
  session->tasks.spawn("launcher", end_with_process(services, session, std::move(fds.launcher), "launcher"));
  session->tasks.spawn("init", end_with_process(services, session, std::move(fds.init), "init"));
  if (const auto limit = session->profile.limits.time)
    session->tasks.spawn("time", end_with_time(services, session, *limit));
}

async::TaskGroup::OnBug end_on_bug(Services& services, const SessionId& id) {
  return [&services, id](const std::string& task, const std::string& what) {
    const auto found = services.sessions.find(id.text());
    if (found == services.sessions.end() || found->second->is_ending) return;  // cancelled tasks end by an exception
    log::error("session " + id.text() + ", task \"" + task + "\": " + what, found->second->about());
    end_session(services, found->second, "broker.fault", "a fault of the broker in \"" + task + "\"");
  };
}

}  // namespace

net::awaitable<Result<SessionPtr>> open_session(Services& services, Hello hello,
                                                std::unique_ptr<async::Channel>& control) {
  if (hello.message.version != handshake::kVersion)
    co_return fail("the launcher speaks another version of the handshake");
  CO_TRY(may_open(hello.peer, hello.message.profile, services.config));
  CO_TRY(co_await wait_for_a_place(services));  // and nothing suspends until it is taken
  Profile profile = CO_TRY(load_profile(services.config.profile_directory, hello.message.profile));
  CO_TRY(check_against(profile, services.config));
  CO_TRY(may_leave_more(services, profile.name));
  CO_TRY(check_hello(hello.message, profile, hello.peer));
  SessionFds fds = CO_TRY(check_descriptors(hello.message, profile, std::move(hello.fds)));

  const SessionId id = *SessionId::parse(random_hex(6));
  AccountLease account = services.accounts.open(profile);
  const auto session = std::make_shared<Session>(services.executor, id, std::move(profile), std::move(account),
                                                 end_on_bug(services, id));
  session->uid_base = hello.message.uid_base;
  services.sessions.emplace(id.text(), session);  // counted from here on
  auto outcome = co_await prepare(services, *session, hello);
  if (session->is_ending) co_return ended_meanwhile(*session);  // its ending is under way, and cleans up
  if (!outcome) {
    session->ledger_file.remove();
    services.sessions.erase(id.text());
    co_return std::unexpected(outcome.error());
  }
  outcome = co_await start_processes(services, *session, fds);
  session->uid_lock = std::move(fds.uid_lock);  // whatever came of it: the range is let go of by the ending
  if (session->is_ending) co_return ended_meanwhile(*session);
  if (!outcome) {
    end_session(services, session, "session.not-started", outcome.error().text());
    co_return std::unexpected(outcome.error());
  }
  session->control = std::move(control);
  serve(services, session, std::move(fds));
  co_return session;
}

}  // namespace sallyport::keeper
