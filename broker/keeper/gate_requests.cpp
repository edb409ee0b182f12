#include "broker/keeper/gate_requests.hpp"

#include <boost/asio/post.hpp>

#include "broker/keeper/answers.hpp"
#include "broker/keeper/ending.hpp"
#include "broker/keeper/notices.hpp"
#include "broker/protocol/verbs.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using protocol::CancelRequest;
using protocol::GateClaim;

namespace {

constexpr std::uint16_t kTooManyRequests = 429;
constexpr std::size_t kHandledInARow = 64;
constexpr std::string_view kMisconduct = "gate.misconduct";

static_assert(
    [] {
      for (std::size_t kind = 0; kind < protocol::kVerbs.size(); ++kind)
        if ((protocol::kPermits[kind].answer == protocol::Answer::None) != (protocol::kVerbs[kind] == api::Verb::None))
          return false;
      return true;
    }(),
    "a request that is answered stands for an endpoint, whose row the answer looks at");

AnswerTask dispatch(const Call& call, protocol::Request& request) {
  return std::visit(
      [&call]<class Ask>(Ask& ask) -> AnswerTask {
        if constexpr (std::is_same_v<Ask, CancelRequest> || std::is_same_v<Ask, GateClaim>) std::unreachable();
        else return answer(call, std::move(ask));
      },
      request);
}

bool is_over_its_rate(const protocol::Reply& reply) {
  const auto* failed = std::get_if<protocol::Failed>(&reply);
  return failed != nullptr && failed->http_status == kTooManyRequests;
}

// `task` rather than the request: the largest kind of request would make every one of these as large.
net::awaitable<void> answer_request(Call call, AnswerTask task) {
  const Answer outcome = co_await std::move(task);
  Session& session = *call.session;
  // A refusal costs the asker nothing but this wait: without it one session could keep us busy with refusals alone.
  if (is_over_its_rate(*outcome.reply)) co_await async::sleep_for(limits::kSlowDown);
  // In flight until its last reply is in the outbox, which takes none while the channel is full: so a gate that does
  // not read cannot make us hold ever more of them. Nothing suspends between that and the erase, so the gate may use
  // the id again as soon as it has the reply.
  if (outcome.fd || !send_reply_now(call.services, call.session, call.id, *outcome.reply))
    co_await send_reply(call.services, call.session, call.id, *outcome.reply, outcome.fd);
  session.in_flight.erase(call.id);
  --session.in_flight_of[call.in_flight->kind];
}

// Waits and streams end; everything else is under way and ends by itself. Nothing found: it crossed the end.
void cancel(Session& session, protocol::RequestId id) {
  if (const auto found = session.in_flight.find(id); found != session.in_flight.end()) {
    const api::Verb verb = protocol::kVerbs[found->second->kind];
    if (verb == api::Verb::Wait || verb == api::Verb::Attach || verb == api::Verb::Logs)
      found->second->exchange.cancel();
  }
  for (auto& [number, named] : session.streams) {
    if (named.request != id) continue;
    const std::shared_ptr<HeldStream> stream = named.stream;
    session.streams.erase(number);
    return stream->revoke();
  }
}

// Of methods that change nothing. What else the client made up counts as a change.
bool is_read(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

// A claim is what the gate says; the record says that it is no more than that.
Result<> record_claim(Services& services, Session& session, const GateClaim& claim) {
  AuditRecord record;
  record.source = Source::Gate;
  record.weight = claim.allowed || is_read(claim.method.value) ? Weight::Read : Weight::Refusal;
  record.decision = claim.allowed ? Decision::Allow : Decision::Deny;
  record.session = session.id.text();
  record.profile = session.profile.name.text();
  record.method = claim.method.value;
  record.endpoint = claim.endpoint.value;
  if (claim.http_status != 0) record.object = std::to_string(claim.http_status);
  record.rule = claim.rule.value;
  record.reason = claim.reason.value;
  record.count = claim.repeated;
  (claim.allowed ? session.described_allowed : session.described_denied) += claim.repeated;
  return services.audit.write(record, session.audit_quota);
}

net::awaitable<void> handle_untold(Services& services, SessionPtr session, protocol::Request request) {
  if (const auto* cancelled = std::get_if<CancelRequest>(&request)) cancel(*session, cancelled->request);
  if (const auto* claim = std::get_if<GateClaim>(&request))
    if (const auto written = record_claim(services, *session, *claim); !written) log::error(written.error().text());
  // No answer holds a flood of these back: so we read more slowly, and the channel fills up.
  if (session->is_ending || !session->untold_rate.take(Clock::now())) co_return;
  (void)notice(*session, "gate.rate",
               "its gate sends more than " + std::to_string(limits::kMaxUntoldPerMinute) +
                   " cancels and claims a minute: all of its requests are held back");
  co_await async::sleep_for(limits::kSlowDown);
}

// Requests among them are not begun any more.
net::awaitable<void> hear_last_claims(Services& services, SessionPtr session, std::span<const std::byte> bytes) {
  Reader messages(bytes);
  for (std::size_t count = 1; messages.left() > 0; ++count) {
    if (count % kHandledInARow == 0) co_await net::post(net::use_awaitable);  // it is others' turn
    protocol::RequestEnvelope envelope;
    if (!decode_next(messages, envelope)) co_return;
    if (const auto* claim = std::get_if<GateClaim>(&envelope.request))
      if (const auto written = record_claim(services, *session, *claim); !written) log::error(written.error().text());
  }
}

// What the permit table says against this request; "" where it is allowed.
std::string breach(const Session& session, const protocol::RequestEnvelope& envelope) {
  const std::size_t kind = envelope.request.index();
  const protocol::Permit& permit = protocol::kPermits[kind];
  if (permit.phase != protocol::Phase::Serving) return "a request out of phase";
  if (permit.answer == protocol::Answer::None) return "";
  if (session.in_flight.contains(envelope.id)) return "a request id that is in flight";
  if (session.in_flight.size() >= limits::kMaxRequestsInFlight ||
      session.in_flight_of[kind] >= permit.in_flight_at_most)
    return "more requests in flight than its permit";
  return "";
}

void begin(Services& services, const SessionPtr& session, protocol::RequestEnvelope envelope) {
  Call call{services, session, envelope.id, std::make_shared<InFlight>(), endpoint_of(envelope.request)};
  call.in_flight->kind = envelope.request.index();
  session->in_flight.emplace(call.id, call.in_flight);
  ++session->in_flight_of[call.in_flight->kind];
  session->tasks.spawn("request", answer_request(call, dispatch(call, envelope.request)));
}

net::awaitable<void> hear_requests(Services& services, SessionPtr session) {
  while (!session->is_ending) {
    const auto message = co_await session->gate->receive(Descriptors::Refused);
    if (session->is_ending) {
      if (message) co_await hear_last_claims(services, session, message->bytes);
      co_return;
    }
    if (!message)
      co_return end_session(services, session, std::string(kMisconduct),
                            "the gate's channel: " + message.error().text());
    if (message->bytes.empty()) co_return end_session(services, session, "gate.ended", "the gate closed its channel");
    const auto misconduct = [&](const std::string& what) {
      end_session(services, session, std::string(kMisconduct), "the gate broke the protocol: " + what);
    };
    if (message->fds_refused) co_return misconduct("it sent descriptors");
    Reader requests(message->bytes);
    for (std::size_t count = 1; requests.left() > 0 && !session->is_ending; ++count) {
      if (count % kHandledInARow == 0) co_await net::post(net::use_awaitable);  // it is others' turn
      protocol::RequestEnvelope envelope;
      if (const auto decoded = decode_next(requests, envelope); !decoded) co_return misconduct(decoded.error().text());
      if (const std::string what = breach(*session, envelope); !what.empty()) co_return misconduct(what);
      if (protocol::kPermits[envelope.request.index()].answer == protocol::Answer::None)
        co_await handle_untold(services, session, std::move(envelope.request));
      else begin(services, session, std::move(envelope));
    }
    if (session->is_ending) co_await hear_last_claims(services, session, message->bytes.last(requests.left()));
  }
}

}  // namespace

net::awaitable<void> serve_gate(Services& services, SessionPtr session) {
  co_await hear_requests(services, session);
  // Its end has begun elsewhere: what the gate has decided is heard, and nothing else of it. The ending sees to it that
  // this does not last.
  std::size_t heard = 0;
  while (session->end_rule != kMisconduct && heard < limits::kMaxLastWordsBytes) {
    const auto message = co_await session->gate->receive(Descriptors::Refused);
    if (!message || message->bytes.empty()) break;
    heard += message->bytes.size();
    co_await hear_last_claims(services, session, message->bytes);
  }
  session->gate_heard.set(true);
}

}  // namespace sallyport::keeper
