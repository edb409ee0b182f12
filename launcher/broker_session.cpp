#include "launcher/broker_session.hpp"

#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <array>

#include "sallyport/bytes.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/poll_time.hpp"
#include "sallyport/printable.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::launcher {
namespace {

std::unexpected<Error> cannot_connect(int error, const std::string& path) {
  const std::string what = "connect to the broker at " + path;
  if (error == ENOENT || error == ECONNREFUSED)
    return fail_for_now(what + ": no broker is running there (start sallyport-broker.service, or use --private-broker)",
                        error);
  if (error == EAGAIN) return fail_for_now(what + ": it is busy; try again", error);
  return fail_errno(what, error);
}

}  // namespace

Result<UniqueFd> connect_to_broker(const BrokerConfig& config) {
  const std::string path = config.control_socket();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);  // not longer than that: check_usable
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("make a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return cannot_connect(errno, path);
  return socket;
}

Result<handshake::FromKeeper> BrokerSession::receive() {
  std::vector<std::byte> buffer(limits::kMaxSmallMessageBytes);
  const auto datagram = receive_datagram(connection_.get(), buffer);
  // Reset: it ended before it had read our last word (unix(7)).
  if (datagram ? datagram->size == 0 : datagram.error().code == ECONNRESET)
    return fail_for_now("the broker closed the session");
  if (!datagram) return std::unexpected(datagram.error());
  auto said = decode_message<handshake::FromKeeper>(std::span(buffer).first(datagram->size));
  broker_stops_ |= said && std::holds_alternative<handshake::EndWorker>(*said);
  return said;
}

Result<handshake::Opened> BrokerSession::open(const Offer& offer, const WaitReadable& wait) {
  const UniqueFd self = UniqueFd::adopt(pidfd_open(::getpid()));
  if (!self) return fail_errno("open a pidfd of the launcher");
  std::vector<int> descriptors = {self.get(), offer.init.fd(), offer.range.lock.get()};
  std::size_t next = 0;
  if (offer.plan.has_docker) {
    descriptors.push_back(offer.listeners.at(next++).get());
    descriptors.push_back(offer.stream);
  }
  for (; next < offer.listeners.size(); ++next) descriptors.push_back(offer.listeners[next].get());

  handshake::OpenSession hello;
  hello.profile = offer.profile.name;
  hello.profile_hash = offer.profile.hash;
  hello.uid_base = offer.range.base;
  hello.has_docker = offer.plan.has_docker;
  hello.forward_listeners = static_cast<std::uint8_t>(offer.listeners.size() - (offer.plan.has_docker ? 1 : 0));
  hello.command = offer.plan.command.front().substr(0, limits::kMaxCommandBytes);
  const auto sent = send_datagram(connection_.get(), encode_message(handshake::ToKeeper(hello)), descriptors);
  if (!sent) return fail_for_now(sent.error().doing, sent.error().code);  // it has gone meanwhile

  TRY(wait(connection_.get()));
  auto answer = TRY(receive());
  if (auto* opened = std::get_if<handshake::Opened>(&answer)) return std::move(*opened);
  if (const auto* refused = std::get_if<handshake::Refused>(&answer))
    return fail("the broker refused the session: " + printable(refused->reason.value));
  if (const auto* refused = std::get_if<handshake::RefusedForNow>(&answer))
    return fail_for_now("the broker refused the session: " + printable(refused->reason.value));
  if (const auto* ended = std::get_if<handshake::Ended>(&answer))
    return fail_for_now("the broker ended the session: " + printable(ended->reason.value));
  return fail("the broker answered the hello with something else: are launcher and broker of the same version?");
}

BrokerSession::Heard BrokerSession::hear() {
  auto said = receive();
  if (!said) return {.text = said.error().text()};
  using What = Heard::What;
  if (const auto* end = std::get_if<handshake::EndWorker>(&*said))
    return {What::EndWorker, "the broker is stopping", std::chrono::seconds(end->within)};
  if (const auto* notice = std::get_if<handshake::Notice>(&*said)) return {What::Notice, printable(notice->text.value)};
  if (const auto* left = std::get_if<handshake::LeftBehind>(&*said)) return {What::Notice, printable(left->what.value)};
  if (const auto* ended = std::get_if<handshake::Ended>(&*said))
    return {.text = "the broker ended the session: " + printable(ended->reason.value)};
  return {.text = "the broker sent something that is not part of a session"};
}

std::optional<std::string> BrokerSession::says_why(std::chrono::milliseconds at_most) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  while (wait_readable(until))
    if (Heard heard = hear(); heard.what == Heard::What::Ended) return std::move(heard.text);
  return std::nullopt;
}

void BrokerSession::worker_ended(ExitStatus status, bool time_up) {
  const handshake::WorkerEnded message{.signalled = status.signalled, .value = status.value, .time_up = time_up};
  // A broker that cannot hear this has closed the session, and recorded that.
  (void)send_datagram(connection_.get(), encode_message(handshake::ToKeeper(message)));
}

bool BrokerSession::wait_readable(std::chrono::steady_clock::time_point until) const {
  pollfd readable{connection_.get(), POLLIN, 0};
  int ready;
  do ready = ::poll(&readable, 1, milliseconds_until(until));
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

BrokerSession::LastWord BrokerSession::last_word() {
  auto answer = receive();
  if (!answer) return {Word::Closed, answer.error().text()};
  if (const auto* left = std::get_if<handshake::LeftBehind>(&*answer))
    return {Word::LeftBehind, printable(left->what.value)};
  if (const auto* notice = std::get_if<handshake::Notice>(&*answer))
    return {Word::Notice, printable(notice->text.value)};
  if (std::holds_alternative<handshake::EndWorker>(*answer)) return {Word::Notice, "the broker is stopping"};
  if (const auto* ended = std::get_if<handshake::Ended>(&*answer)) return {Word::Ended, printable(ended->reason.value)};
  if (std::holds_alternative<handshake::Done>(*answer)) return {Word::Done, ""};
  return {Word::Closed, "the broker sent something that is not part of a session"};
}

}  // namespace sallyport::launcher
