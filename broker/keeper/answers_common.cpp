#include <algorithm>
#include <boost/asio/post.hpp>
#include <span>
#include <utility>

#include "broker/api/names.hpp"
#include "broker/keeper/answers.hpp"
#include "broker/keeper/attaches.hpp"
#include "broker/keeper/ending.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using protocol::Failed;

namespace {

constexpr std::chrono::seconds kLookAgain{5};  // whether it can still be answered

AuditRecord record_of(const Call& call, std::string_view object) {
  AuditRecord record;
  record.session = call.session->id.text();
  record.profile = call.session->profile.name.text();
  record.method = api::name_of(call.endpoint->method);
  record.endpoint = call.endpoint->path;
  record.object = object;
  return record;
}

// Waits and resizes are asked for by POST and change nothing.
Weight weight_of_refusal(const api::Endpoint& endpoint) {
  const bool is_read = endpoint.method == api::Method::Get || endpoint.method == api::Method::Head ||
                       endpoint.verb == api::Verb::Wait || endpoint.verb == api::Verb::Resize;
  return is_read ? Weight::Read : Weight::Refusal;
}

Failed untrusted_trail(const Error& error) {
  log::error(error.text() + "; nothing is granted until it can be written");
  return {503, "sallyport: the audit trail cannot be written, so nothing is granted", 0};
}

}  // namespace

Refused deny(const Call& call, std::string_view object, const Refusal& refusal) {
  AuditRecord record = record_of(call, object);
  record.weight = weight_of_refusal(*call.endpoint);
  record.decision = Decision::Deny;
  record.rule = refusal.rule;
  record.reason = refusal.message;
  const auto written = call.services.audit.write(record, call.session->audit_quota);
  if (!written) return untrusted_trail(written.error());
  return Failed{refusal.status, refusal.message.substr(0, limits::kMaxReasonBytes), refusal.retry_after};
}

Failed explain(const Call& call, engine::Operation operation, unsigned status, std::string_view text,
               const engine::Subject& subject) {
  Failed failed = engine::explain(operation, status, text, subject);
  const std::string line = "dockerd refused a request of session " + call.session->id.text() + " about " +
                           std::string(subject.container) + ": " + std::to_string(status) + " " + std::string(text);
  engine::is_unexplained(failed) ? log::warning(line) : log::debug(line);
  return failed;
}

engine::Subject subject_of(const OwnedContainer& owned, const ContainerName& reference) {
  return {reference.text(), owned.program, owned.directory};
}

Refused grant(const Call& call, std::string_view object, Weight weight, std::string reason) {
  if (call.session->is_ending) return Failed{503, "sallyport: the session is ending", 0};
  AuditRecord record = record_of(call, object);
  record.weight = weight;
  record.reason = std::move(reason);
  const auto written = call.services.audit.write(record, call.session->audit_quota);
  if (!written) return untrusted_trail(written.error());
  return {};
}

std::expected<Owned, Failed> find_owned(const Call& call, const ContainerName& reference) {
  if (Owned owned = call.session->ledger.find(reference)) return owned;
  const Failed missing = engine::no_such_container(reference.text());
  const Refused refused = deny(call, reference.text(), {404, "container.not-owned", missing.message.value, 0});
  return std::unexpected(*refused);
}

void forget(Session& session, const Owned& owned) {
  if (owned->is_gone) return;
  session.ledger.forget(owned);
  owned->attaches->end();
  // A line too few makes the reaper ask for a container that is not there: no harm.
  if (const auto written = session.ledger_file.gone(dockerd_name(session.id, owned->name)); !written)
    log::warning(written.error().text());
}

namespace {

using Listed = std::vector<engine::ListedContainer>;

net::awaitable<Result<Listed>> list(Services& services, engine::Request request, engine::Exchange& exchange) {
  const auto reply = CO_TRY(co_await services.docker.ask(std::move(request), exchange));
  if (reply.status != 200) co_return fail_errno("list containers", EPROTO);
  co_return engine::read_list(reply.body);
}

// What is too large to be read, or near the ceiling of memory too large to be kept: where only ids are wanted, the
// list is asked for in parts that are neither.
bool may_be_read_in_parts(const Error& error, Wanted wanted) {
  return error.code == EMSGSIZE || (wanted == Wanted::OnlyWhatIsThere && error.code == ENOMEM);
}

void take(LedgerView& view, Listed listed, Wanted wanted) {
  for (const auto& entry : listed) view.there.insert(entry.id.text());
  if (wanted == Wanted::Entries) std::ranges::move(listed, std::back_inserter(view.listed));
}

using Parts = std::vector<std::span<const Owned>>;

// Each about half of what is read of one answer, by what is known of its containers.
Parts parts_of(std::span<const Owned> known) {
  Parts parts;
  std::size_t bytes = 0;
  std::size_t begun = 0;
  for (std::size_t at = 0; at < known.size(); ++at) {
    const std::size_t entry = known[at]->described_bytes + limits::kListEntryBytes;
    if (at > begun && (bytes + entry > limits::kMaxReplyBytes / 2 || at - begun == limits::kListedByIdAtOnce)) {
      parts.push_back(known.subspan(begun, at - begun));
      begun = at;
      bytes = 0;
    }
    bytes += entry;
  }
  if (begun < known.size()) parts.push_back(known.subspan(begun));
  return parts;
}

// Whose texts are more than was thought is asked for in smaller parts, down to one container. A list of none is two
// bytes, so that one whose entry alone is too large is there.
net::awaitable<Result<>> list_in_parts(Services& services, SessionPtr session, const std::vector<Owned>& known,
                                       engine::Exchange& exchange, Wanted wanted, LedgerView& view) {
  Parts parts = parts_of(known);
  while (!parts.empty()) {
    const std::span<const Owned> part = parts.back();
    parts.pop_back();
    std::vector<ContainerId> ids;
    for (const Owned& owned : part) ids.push_back(owned->id);
    auto listed = co_await list(services, engine::render_list_of(services.broker, session->id, ids), exchange);
    if (!listed && !may_be_read_in_parts(listed.error(), wanted)) co_return std::unexpected(listed.error());
    if (listed) {
      take(view, std::move(*listed), wanted);
    } else if (part.size() == 1) {
      view.there.insert(part.front()->id.text());
      view.too_large.push_back(part.front());
    } else {
      parts.push_back(part.first(part.size() / 2));
      parts.push_back(part.subspan(part.size() / 2));
    }
    // No part is bounded by what the others have left.
    if (wanted == Wanted::Entries && services.docker.memory().is_above_common())
      co_return fail_errno("list containers in parts: no memory for all", ENOMEM);
  }
  co_return Result<>{};
}

}  // namespace

net::awaitable<Result<LedgerView>> refresh_ledger(Services& services, SessionPtr session, engine::Exchange& exchange,
                                                  Wanted wanted) {
  std::vector<Owned> known;
  for (const Owned& owned : session->ledger.all())
    if (!owned->id.empty()) known.push_back(owned);
  LedgerView view;
  const std::size_t expected = session->ledger.described_bytes() + known.size() * limits::kListEntryBytes;
  bool in_parts = expected > limits::kMaxReplyBytes;
  if (!in_parts) {
    auto whole = co_await list(services, engine::render_list(services.broker, session->id), exchange);
    in_parts = !whole;
    if (whole) take(view, std::move(*whole), wanted);
    else if (!may_be_read_in_parts(whole.error(), wanted)) co_return std::unexpected(whole.error());
  }
  if (in_parts) CO_TRY(co_await list_in_parts(services, session, known, exchange, wanted, view));
  // Only what was known before the list was made: one that is younger is not on it, and is there.
  for (const Owned& owned : known)
    if (!view.there.contains(owned->id.text())) forget(*session, owned);
  co_return view;
}

namespace {

// A ReplyEnvelope to be encoded, without a copy of the reply.
struct EnvelopeView {
  protocol::RequestId id;
  const protocol::Reply& reply;
  auto fields() { return std::tie(id, reply); }
};

bool can_be_answered(const Session& session) { return !session.is_ending && session.gate && session.gate->is_open(); }

// Until the gate's channel takes it. A gate that does not read is ended with its session.
template <class Send>
net::awaitable<void> send_when_there_is_room(Services& services, SessionPtr session, Send send) {
  const auto give_up = Clock::now() + limits::kGateReadsWithin;
  while (can_be_answered(*session)) {
    const Result<> sent = send(*session);
    if (sent) co_return;
    if (sent.error().code != EAGAIN)
      co_return end_session(services, session, "gate.ended", "the gate cannot be answered: " + sent.error().text());
    if (Clock::now() > give_up)
      co_return end_session(services, session, "gate.unread", "the gate does not read its answers");
    const auto room = co_await async::within(kLookAgain, session->gate->wait_writable());
    if (!room && room.error().code != ETIMEDOUT) co_return;
  }
}

net::awaitable<void> drain_replies(Services& services, SessionPtr session) {
  return send_when_there_is_room(services, std::move(session), [](Session& full) { return full.replies->flush(); });
}

void flush_replies(Services& services, const SessionPtr& session) {
  if (!can_be_answered(*session) || session->replies->flush()) return;
  session->tasks.spawn("send replies", drain_replies(services, session));
}

// After whatever else is ready now, so that replies that come together share a datagram, and the gate's wake.
void flush_replies_soon(Services& services, const SessionPtr& session) {
  if (std::exchange(session->flush_is_due, true)) return;
  net::post(services.executor, [&services, session] {
    session->flush_is_due = false;
    flush_replies(services, session);
  });
}

}  // namespace

bool send_reply_now(Services& services, const SessionPtr& session, protocol::RequestId id,
                    const protocol::Reply& reply) {
  if (!can_be_answered(*session)) return true;
  if (session->replies->is_full()) return false;
  if (!session->replies->put(EnvelopeView{id, reply})) {  // an inspection: its parts are bounded each, and not together
    const protocol::Reply too_large = Failed{500, "sallyport: what was asked for is larger than is served", 0};
    (void)session->replies->put(EnvelopeView{id, too_large});
  }
  if (session->in_flight.size() <= 1 || session->replies->is_worth_a_flush()) flush_replies(services, session);
  else flush_replies_soon(services, session);
  return true;
}

net::awaitable<void> send_reply(Services& services, SessionPtr session, protocol::RequestId id,
                                const protocol::Reply& reply, const UniqueFd& fd) {
  while (!fd && !send_reply_now(services, session, id, reply)) co_await drain_replies(services, session);
  if (!fd) co_return;
  // Alone in its datagram: so the gate knows whose the descriptor is.
  co_await send_when_there_is_room(services, session,
                                   [bytes = encode_message(EnvelopeView{id, reply}), &fd](Session& waiting) {
                                     const int fds[] = {fd.get()};
                                     return waiting.gate->send(bytes, fds);
                                   });
}

}  // namespace sallyport::keeper
