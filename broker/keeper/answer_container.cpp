#include <utility>

#include "broker/api/names.hpp"
#include "broker/keeper/answers.hpp"
#include "broker/keeper/attaches.hpp"
#include "broker/keeper/notices.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using protocol::Failed;
using protocol::Succeeded;

namespace {

constexpr std::chrono::seconds kKillAgain{1};

// What was granted goes to dockerd, and its answer is read: 2xx, 304, or a cause in our words.
AnswerTask act(const Call& call, engine::Operation operation, const Owned& owned, const ContainerName& reference,
               engine::Request request, std::chrono::seconds limit = limits::kUpstreamDeadline) {
  const auto reply = co_await call.services.docker.ask(std::move(request), call.in_flight->exchange, limit);
  if (!reply) co_return unanswered(call, reference.text(), reply.error());
  if (reply->status >= 200 && reply->status < 300) co_return Succeeded{};
  if (reply->status == 304) co_return Succeeded{.not_modified = true};
  // Only of a removal does it prove that the container is gone: others mean its task, or its image, as well.
  if (reply->status == 404 && operation == engine::Operation::Remove) forget(*call.session, owned);
  else if (reply->status == 404)
    if (const auto current =
            co_await refresh_ledger(call.services, call.session, call.in_flight->exchange, Wanted::OnlyWhatIsThere);
        !current)
      log::warning("session " + call.session->id.text() + ": whether container " + owned->id.text() +
                       " is gone is not known, and it counts: " + current.error().text(),
                   call.session->about());
  const std::string text = engine::read_error_message(reply->body);
  co_return explain(call, operation, reply->status, text, subject_of(*owned, reference));
}

bool succeeded(const Answer& answer) { return std::holds_alternative<Succeeded>(*answer.reply); }

net::awaitable<void> kill_after_lifetime(Services& services, SessionPtr session, Owned owned,
                                         std::chrono::seconds lifetime) {
  co_await async::sleep_for(lifetime);
  if (session->is_ending || owned->is_gone) co_return;
  owned->has_lifetime =
      false;  // before the kill: a start that crosses it gets a timer of its own, now or when it is done
  AuditRecord record;
  record.event = Event::Reap;
  record.weight = Weight::Removal;
  record.session = session->id.text();
  record.profile = session->profile.name.text();
  record.object = owned->name.text();
  record.rule = "docker.budget.lifetime";
  record.reason = "the container has run for " + std::to_string(lifetime.count()) + " s, its lifetime; it is killed";
  if (const auto written = services.audit.write(record, session->audit_quota); !written)
    log::error(written.error().text());
  (void)notice(*session, "docker.budget.lifetime", "container " + owned->name.text() + ": " + record.reason);
  while (!session->is_ending && !owned->is_gone) {
    engine::Exchange exchange;
    const auto reply = co_await services.docker.ask(engine::render_kill(owned->id, 9), exchange);
    if (reply && reply->status < 500) co_return;
    log::warning("kill container " + owned->id.text() + " after its lifetime: " +
                 (reply ? "dockerd answered " + std::to_string(reply->status) : reply.error().text()));
    co_await async::sleep_for(kKillAgain);
  }
}

void limit_lifetime(const Call& call, const Owned& owned) {
  const auto lifetime = docker_of(call).budget.lifetime;
  if (lifetime && !std::exchange(owned->has_lifetime, true))
    call.session->tasks.spawn("lifetime", kill_after_lifetime(call.services, call.session, owned, *lifetime));
}

// Never leave a client waiting for the removal of a container that will not start (docker run --rm).
net::awaitable<void> remove_unstarted(const Call& call, const Owned& owned) {
  engine::Exchange exchange;  // not the request's: it is done also where the client has gone
  exchange.place = std::move(call.in_flight->exchange.place);
  const auto reply = co_await call.services.docker.ask(engine::render_remove(owned->id, engine::Force::Yes), exchange);
  if (reply && (reply->status == 204 || reply->status == 404)) forget(*call.session, owned);
}

}  // namespace

AnswerTask answer(Call call, protocol::StartContainer ask) {
  // What was accepted at create is not refused at start for its rate: the first is on no account but its create's.
  const Owned known = call.session->ledger.find(ask.container);
  const Load load = load_of_start(known);
  const bool is_first = load.weight == 0;
  Refused refused = admit(call, ask.container.text(), load);
  if (!refused && !known) co_return find_owned(call, ask.container).error();
  if (!refused) refused = grant(call, ask.container.text(), Weight::Change);
  if (refused) {
    if (is_first && known->auto_remove) co_await remove_unstarted(call, known);
    co_return *refused;
  }
  // From the grant on: an answer that never comes may hide a container that runs.
  limit_lifetime(call, known);
  const Counted starting(known->attaches->starting);
  co_await known->attaches->go();
  Answer outcome = co_await act(call, engine::Operation::Start, known, ask.container, engine::render_start(known->id));
  limit_lifetime(call, known);  // again: the end of an earlier lifetime may have reached dockerd before this start
  co_return outcome;
}

AnswerTask answer(Call call, protocol::KillContainer ask) {
  if (const Refused refused = admit(call, ask.container.text())) co_return *refused;
  if (!api::is_signal(ask.signal))
    co_return *deny(call, ask.container.text(), {400, "signal", "sallyport: there is no such signal", 0});
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = grant(call, ask.container.text(), Weight::Change)) co_return *refused;
  co_return co_await act(call, engine::Operation::Kill, *owned, ask.container,
                         engine::render_kill((*owned)->id, ask.signal));
}

AnswerTask answer(Call call, protocol::StopContainer ask) {
  if (const Refused refused = admit(call, ask.container.text())) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  // Docker's answer to a stop has no place for words.
  const std::string imposed = ask.timeout.value_or(0) > limits::kMaxStopSeconds
                                  ? "imposed: t, at most " + std::to_string(limits::kMaxStopSeconds) + " s are waited"
                                  : "";
  if (const Refused refused = grant(call, ask.container.text(), Weight::Removal, imposed)) co_return *refused;
  if (ask.timeout) ask.timeout = std::min(*ask.timeout, limits::kMaxStopSeconds);
  const std::chrono::seconds limit = limits::kUpstreamDeadline + std::chrono::seconds(limits::kMaxStopSeconds);
  co_return co_await act(call, engine::Operation::Stop, *owned, ask.container,
                         engine::render_stop((*owned)->id, ask.timeout), limit);
}

AnswerTask answer(Call call, protocol::ResizeContainer ask) {
  if (const Refused refused = admit(call, ask.container.text())) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = grant(call, ask.container.text(), Weight::Read)) co_return *refused;
  co_return co_await act(call, engine::Operation::Resize, *owned, ask.container,
                         engine::render_resize((*owned)->id, ask.height, ask.width));
}

AnswerTask answer(Call call, protocol::RemoveContainer ask) {
  if (const Refused refused = admit(call, ask.container.text())) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = grant(call, ask.container.text(), Weight::Removal)) co_return *refused;
  const engine::Force force = ask.force ? engine::Force::Yes : engine::Force::No;
  Answer outcome =
      co_await act(call, engine::Operation::Remove, *owned, ask.container, engine::render_remove((*owned)->id, force));
  if (succeeded(outcome)) forget(*call.session, *owned);
  co_return outcome;
}

}  // namespace sallyport::keeper
