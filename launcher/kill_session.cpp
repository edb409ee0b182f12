#include <poll.h>

#include "launcher/broker_session.hpp"
#include "launcher/run.hpp"
#include "launcher/say.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/printable.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::launcher {
namespace {

Result<> ask_to_kill(const Options& options) {
  handshake::KillSession request;
  request.session = TRY(SessionId::parse(options.subject));
  const BrokerConfig config = TRY(configuration(options));
  const UniqueFd connection = TRY(connect_to_broker(config));
  TRY(send_datagram(connection.get(), encode_message(handshake::ToKeeper(request))));
  // The session's end, and some more for a busy broker.
  constexpr auto kPatience = std::chrono::milliseconds(limits::kEndPatience);
  pollfd readable{connection.get(), POLLIN, 0};
  if (::poll(&readable, 1, static_cast<int>(kPatience.count())) <= 0)
    return fail("kill " + options.subject + ": the broker does not answer");
  std::vector<std::byte> buffer(limits::kMaxSmallMessageBytes);
  const Datagram datagram = TRY(receive_datagram(connection.get(), buffer));
  if (datagram.size == 0) return fail("kill " + options.subject + ": the broker closed the connection");
  const auto answer = TRY(decode_message<handshake::FromKeeper>(std::span(buffer).first(datagram.size)));
  if (std::holds_alternative<handshake::Done>(answer)) return {};
  if (const auto* refused = std::get_if<handshake::Refused>(&answer))
    return fail("kill " + options.subject + ": " + printable(refused->reason.value));
  return fail("kill " + options.subject + ": the broker answered with something else");
}

}  // namespace

int kill_session(const Options& options) {
  const auto outcome = ask_to_kill(options);
  if (!outcome) complain(outcome.error().text());
  return outcome ? 0 : 1;
}

}  // namespace sallyport::launcher
