#include "broker/keeper/forwards.hpp"

#include "broker/keeper/ending.hpp"
#include "broker/keeper/notices.hpp"
#include "broker/protocol/relay_messages.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace relay = protocol::relay;

namespace {

constexpr std::string_view kMisconduct = "relay.misconduct";

std::string text_of(const Address& address) {
  if (const auto* tcp = std::get_if<TcpAddress>(&address)) return tcp->address + ":" + std::to_string(tcp->port);
  return "unix:" + std::get<UnixAddress>(address).path;
}

Result<> record(Services& services, Session& session, const ForwardSection& forward, Decision decision,
                std::string rule, std::string reason, Weight weight = Weight::Forward) {
  AuditRecord entry;
  entry.event = Event::Forward;
  entry.weight = weight;
  entry.decision = decision;
  entry.session = session.id.text();
  entry.profile = session.profile.name.text();
  entry.object = text_of(forward.to);
  entry.rule = std::move(rule);
  entry.reason = std::move(reason);
  return services.audit.write(entry, session.audit_quota);
}

void tell_relay(Services& services, const SessionPtr& session, const relay::FromKeeper& message, const UniqueFd& fd) {
  const int fds[] = {fd.get()};
  const std::vector<std::byte> bytes = encode_message(message);
  const auto sent = session->relay->send(bytes, fd ? std::span<const int>(fds) : std::span<const int>());
  if (!sent) end_session(services, session, "relay.ended", "the relay cannot be answered: " + sent.error().text());
}

protocol::spawner::Dial dial_request(const Session& session, const relay::Connect& ask) {
  const ForwardSection& forward = session.profile.forwards[ask.forward];
  protocol::spawner::Dial dial;
  dial.session = session.id;
  dial.connection = ask.connection;
  dial.extra_group = session.forward_groups[ask.forward];
  if (const auto* tcp = std::get_if<TcpAddress>(&forward.to)) {
    dial.tcp = true;
    dial.address = tcp->address;
    dial.port = tcp->port;
  } else {
    dial.address = std::get<UnixAddress>(forward.to).path;
  }
  return dial;
}

// "" where it may be dialed.
std::string breach(const Session& session, const relay::Connect& ask) {
  if (ask.forward >= session.profile.forwards.size()) return "a forward that the profile does not have";
  if (session.forwards.contains(ask.connection)) return "a connection number in use";
  return "";
}

net::awaitable<void> connect(Services& services, SessionPtr session, relay::Connect ask) {
  const ForwardSection& forward = session->profile.forwards[ask.forward];
  const bool full = session->forwards.size() >= limits::kMaxForwardConnections;
  const std::string bound = "the session has " + std::to_string(limits::kMaxForwardConnections) +
                            " connections of its forwards open, and may have no more";
  if (full)
    (void)notice(*session, "forward.connections", bound + ": a new one to " + text_of(forward.to) + " is closed");
  const auto written = full ? record(services, *session, forward, Decision::Deny, "forward.connections", bound)
                            : record(services, *session, forward, Decision::Allow, "", "");
  if (!written) log::error(written.error().text());
  if (full || !written) co_return tell_relay(services, session, relay::Unreachable{ask.connection}, UniqueFd());
  session->forwards.emplace(ask.connection, ForwardConnection{ask.forward, false});
  const auto asked = co_await services.spawner.dial(dial_request(*session, ask));
  if (!asked) log::error(asked.error().text());  // without a spawner the broker is about to end
}

Result<> close_connection(Services& services, Session& session, const relay::Closed& closed) {
  const auto found = session.forwards.find(closed.connection);
  if (found == session.forwards.end() || !found->second.connected)
    return fail("it closed a connection that is not open");
  const ForwardSection& forward = session.profile.forwards[found->second.forward];
  session.forwards.erase(found);
  return record(services, session, forward, Decision::Allow, "forward.closed",
                std::to_string(closed.bytes_up) + " bytes up, " + std::to_string(closed.bytes_down) + " bytes down");
}

// Nothing that is answered holds back who opens connections in a loop: so the relay is not read until there is one to
// grant, and that is said.
net::awaitable<void> wait_for_its_turn(Services& services, SessionPtr session) {
  if (!session->connection_rate.take(Clock::now())) co_return;
  const std::string why = "its forwards open more than the " + std::to_string(session->connection_rate.per_minute()) +
                          " connections a minute of limits.connections: those beyond are held back";
  if (notice(*session, "forward.rate", why) && !services.audit.is_on_its_reserve()) {
    const ForwardSection& first = session->profile.forwards.front();
    // As seldom as the notice, and not on the share that such a flood has used up; nor is it an ending's reserve.
    if (const auto written = record(services, *session, first, Decision::Allow, "forward.rate", why, Weight::Closing);
        !written)
      log::error(written.error().text());
  }
  do co_await async::sleep_for(limits::kSlowDown);
  while (!session->is_ending && session->connection_rate.take(Clock::now()));
}

void hear_last_bytes(Services& services, Session& session, std::span<const std::byte> bytes) {
  const auto decoded = decode_message<relay::ToKeeper>(bytes);
  const auto* closed = decoded ? std::get_if<relay::Closed>(&*decoded) : nullptr;
  if (closed == nullptr) return;
  if (const auto written = close_connection(services, session, *closed); !written) log::error(written.error().text());
}

}  // namespace

void finish_dial(Services& services, const SessionPtr& session, const protocol::spawner::DialDone& done,
                 UniqueFd upstream) {
  const auto found = session->forwards.find(done.connection);
  if (session->is_ending || found == session->forwards.end() || found->second.connected) return;
  if (!upstream || done.error_code != 0) {
    const ForwardSection& forward = session->profile.forwards[found->second.forward];
    session->forwards.erase(found);
    // Into the trail, where it counts against the session's share: the worker can make this happen without end.
    const std::string why = fail_errno("dial " + text_of(forward.to), done.error_code).error().text();
    (void)notice(*session, "forward.unreachable", "a connection of its forward is closed: " + why);
    if (const auto written = record(services, *session, forward, Decision::Allow, "forward.unreachable", why); !written)
      log::error(written.error().text());
    return tell_relay(services, session, relay::Unreachable{done.connection}, UniqueFd());
  }
  found->second.connected = true;
  tell_relay(services, session, relay::Connected{done.connection}, upstream);
}

namespace {

net::awaitable<void> hear_requests(Services& services, SessionPtr session) {
  while (!session->is_ending) {
    const auto message = co_await session->relay->receive(Descriptors::Refused);
    if (session->is_ending) {
      if (message) hear_last_bytes(services, *session, message->bytes);
      co_return;
    }
    const auto end = [&](const std::string& what) {
      end_session(services, session, std::string(kMisconduct), "the relay: " + what);
    };
    if (!message) co_return end(message.error().text());
    if (message->bytes.empty()) co_return end_session(services, session, "relay.ended", "the relay closed its channel");
    if (message->fds_refused) co_return end("it sent descriptors");
    const auto decoded = decode_message<relay::ToKeeper>(message->bytes);
    if (!decoded) co_return end(decoded.error().text());
    if (const auto* ask = std::get_if<relay::Connect>(&*decoded)) {
      if (const std::string what = breach(*session, *ask); !what.empty()) co_return end("it asked for " + what);
      co_await wait_for_its_turn(services, session);
      if (!session->is_ending) co_await connect(services, session, *ask);
    } else if (const auto closed = close_connection(services, *session, std::get<relay::Closed>(*decoded)); !closed) {
      if (closed.error().code == 0) co_return end(closed.error().text());
      log::error(closed.error().text());
    }
  }
}

}  // namespace

net::awaitable<void> serve_relay(Services& services, SessionPtr session) {
  co_await hear_requests(services, session);
  // Its end has begun elsewhere: what its connections have carried is heard, and nothing else of it.
  std::size_t heard = 0;
  while (session->end_rule != kMisconduct && heard < limits::kMaxLastWordsBytes) {
    const auto message = co_await session->relay->receive(Descriptors::Refused);
    if (!message || message->bytes.empty()) break;
    heard += message->bytes.size();
    hear_last_bytes(services, *session, message->bytes);
  }
  session->relay_heard.set(true);
}

}  // namespace sallyport::keeper
