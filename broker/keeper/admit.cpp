#include "broker/keeper/answers.hpp"
#include "broker/keeper/notices.hpp"

namespace sallyport::keeper {

using protocol::Failed;

namespace {

constexpr std::string_view kOurs = "sallyport: ";  // as every message of ours to a client begins

// A denial that tells the operator too: what is used up is not the session's alone.
Refused deny_and_tell(const Call& call, std::string_view object, const Refusal& refusal) {
  (void)notice(*call.session, refusal.rule,
               "was refused " + std::string(api::name_of(call.endpoint->method)) + " " +
                   std::string(call.endpoint->path) + ": " + refusal.message.substr(kOurs.size()));
  return deny(call, object, refusal);
}

Refusal no_place(const Call& call) {
  const engine::Share& share = *call.session->dockerd_share;
  const engine::PlaceBounds& bounds = call.services.docker.places().bounds();
  return {503, "dockerd.connections",
          "sallyport: this session has " + std::to_string(share.streams) + " waits and streams and " +
              std::to_string(share.requests) + " requests open at dockerd: its share of " +
              std::to_string(bounds.share) + " connections is used up, and so are the " +
              std::to_string(bounds.common) +
              " that all sessions have in common; end waits, attaches or followed logs, or try again later",
          0};
}

Refusal no_memory(const Call& call) {
  return {503, "broker.memory",
          "sallyport: the broker uses the " + std::to_string(call.services.docker.memory().ceiling() >> 20) +
              " MiB of memory that it may use, or nearly; end waits, attaches or followed logs, or try again later",
          0};
}

// What only takes away is how a session comes back below a bound.
bool takes_away(api::Verb verb) {
  return verb == api::Verb::Stop || verb == api::Verb::Kill || verb == api::Verb::Remove;
}

bool is_full(const Call& call) {
  engine::MemoryGauge& memory = call.services.docker.memory();
  return call.session->dockerd_share->common(call.services.docker.places().bounds()) > 0 ? memory.is_above_common()
                                                                                         : memory.is_above_ceiling();
}

Refused take_place(const Call& call, std::string_view object, engine::Holding holding) {
  engine::DockerClient& docker = call.services.docker;
  auto place = docker.places().take(call.session->dockerd_share, holding);
  if (!place) return deny_and_tell(call, object, no_place(call));
  if (is_full(call) && !takes_away(call.endpoint->verb)) return deny_and_tell(call, object, no_memory(call));
  call.in_flight->exchange.place = std::move(*place);
  return {};
}

}  // namespace

Refused admit(const Call& call, std::string_view object, const Load& load) {
  Session& session = *call.session;
  if (load.weight > 0)
    if (const auto retry_after = session.request_rate.take(Clock::now(), load.weight))
      return deny(call, object, *decide_rate("requests", session.request_rate.per_minute(), *retry_after));
  if (const Verdict refusal = decide_group(*call.endpoint, session.profile)) return deny(call, object, *refusal);
  return take_place(call, object, load.holding);
}

Refused admit(const Call& call, std::string_view object) { return admit(call, object, {call.endpoint->weight}); }

Refused check_memory(const Call& call, std::string_view object) {
  return is_full(call) ? deny_and_tell(call, object, no_memory(call)) : Refused();
}

Failed unanswered(const Call& call, std::string_view object, const Error& error) {
  if (error.code != ENOMEM) return engine::explain_transport(error.code);
  return *deny_and_tell(call, object, no_memory(call));
}

}  // namespace sallyport::keeper
