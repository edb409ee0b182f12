#include "broker/keeper/control.hpp"

#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <utility>

#include "broker/keeper/ending.hpp"
#include "broker/keeper/open_session.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using handshake::FromKeeper;

namespace {

void refuse(Services& services, async::Channel& control, const Hello* hello, const Error& error) {
  const std::string reason = error.text();
  const std::string profile = hello != nullptr ? hello->message.profile.text() : "";
  log::warning("refused on the control socket: " + reason, {.session = "", .profile = profile});
  if (hello != nullptr) {
    AuditRecord record;
    record.event = Event::SessionOpen;
    record.decision = Decision::Deny;
    record.profile = hello->message.profile.text();
    record.object = hello->message.command.value;
    record.rule = "session.refused";
    record.reason = "uid " + std::to_string(hello->peer.uid) + ": " + reason;
    record.weight = Weight::Refusal;
    // All of them share one quota: whoever knocks for ever does not fill the disk.
    if (const auto written = services.audit.write(record, services.knocks); !written)
      log::error(written.error().text());
  }
  const std::string said = reason.substr(0, limits::kMaxReasonBytes);
  const FromKeeper answer =
      error.may_pass ? FromKeeper(handshake::RefusedForNow{said}) : FromKeeper(handshake::Refused{said});
  (void)control.send(encode_message(answer));
}
void refuse(Services& services, async::Channel& control, std::string reason) {
  refuse(services, control, nullptr, Error{std::move(reason)});
}

// The launcher may say that its worker has ended; its closing the connection, or anything else, ends the session.
net::awaitable<void> listen_to_launcher(Services& services, SessionPtr session) {
  const auto message = co_await session->control->receive(Descriptors::Refused);
  if (session->is_ending) co_return;
  if (!message || message->bytes.empty())
    co_return end_session(services, session, "launcher.closed", "the launcher closed its connection");
  const auto decoded = decode_message<handshake::ToKeeper>(message->bytes);
  const auto* ended = decoded ? std::get_if<handshake::WorkerEnded>(&*decoded) : nullptr;
  if (ended == nullptr || message->fds_refused)
    co_return end_session(services, session, "launcher.misconduct", "the launcher sent what it may not send");
  session->worker_ended = true;
  session->worker_status = (ended->signalled ? "signal " : "exit ") + std::to_string(ended->value);
  if (ended->time_up) co_return end_session(services, session, "limits.time", "its time is up");
  if (services.stopping) co_return end_for_the_stop(services, session);
  end_session(services, session, "worker.ended", "the worker has ended");
}

// A broker that stops waits with its own end for what this one is told.
class WaitingOperator {
 public:
  explicit WaitingOperator(Services& services) : services_(services) { ++services_.operators_waiting; }
  ~WaitingOperator() {
    --services_.operators_waiting;
    if (services_.on_session_gone) services_.on_session_gone();
  }
  WaitingOperator(const WaitingOperator&) = delete;
  WaitingOperator& operator=(const WaitingOperator&) = delete;

 private:
  Services& services_;
};

net::awaitable<void> kill_session(Services& services, async::Channel& control, const handshake::KillSession& ask,
                                  const Peer& peer) {
  if (peer.uid != 0) co_return refuse(services, control, "only root may end a session");
  if (ask.version != handshake::kVersion)
    co_return refuse(services, control, "the command speaks another version of the handshake");
  const auto found = services.sessions.find(ask.session.text());
  if (found == services.sessions.end())
    co_return refuse(services, control, "there is no session " + ask.session.text());
  const SessionPtr session = found->second;
  const WaitingOperator waiting(services);
  end_session(services, session, "operator", "ended by the operator");
  const bool has_ended = (co_await session->ended.wait(limits::kKilledWithin)).has_value();
  if (has_ended && !session->left_behind.empty()) {
    refuse(services, control,
           "it has ended, and the broker goes on to remove what is left of it: " + session->left_behind);
  } else if (has_ended) {
    (void)control.send(encode_message(FromKeeper(handshake::Done{})));
  } else {
    refuse(services, control,
           "it ends, and has not ended yet: " + session->end_step + "; the broker goes on, and its log says more");
  }
}

net::awaitable<void> begin(Services& services, std::unique_ptr<async::Channel> control, async::Message message,
                           Peer peer) {
  auto decoded = decode_message<handshake::ToKeeper>(message.bytes);
  if (!decoded) co_return refuse(services, *control, decoded.error().text());
  if (const auto* kill = std::get_if<handshake::KillSession>(&*decoded))
    co_return co_await kill_session(services, *control, *kill, peer);
  auto* open = std::get_if<handshake::OpenSession>(&*decoded);
  if (open == nullptr) co_return refuse(services, *control, "a conversation begins with a hello");
  Hello hello{std::move(*open), std::move(message.fds), std::move(peer)};
  const Hello shown{hello.message, {}, hello.peer};
  const auto session = co_await open_session(services, std::move(hello), control);
  if (!session) co_return refuse(services, *control, &shown, session.error());
  handshake::Opened message_opened{(*session)->id, {}};
  for (const std::string& limit : (*session)->not_enforced) message_opened.not_enforced.items.emplace_back(limit);
  const FromKeeper opened = std::move(message_opened);
  if (!(*session)->control->send(encode_message(opened)))
    co_return end_session(services, *session, "launcher.closed", "the launcher closed its connection");
  log::info("session " + (*session)->id.text() + " begins: profile " + (*session)->profile.name.text(),
            (*session)->about());
  co_await listen_to_launcher(services, *session);
  co_await (*session)->ended.wait();
}

// A connection that has not said what it wants. Counted per uid, so that nobody but root can keep a launcher out.
class Greeting {
 public:
  explicit Greeting(std::uint32_t uid) : uid_(uid) { ++counts()[uid_]; }
  ~Greeting() {
    if (--counts()[uid_] == 0) counts().erase(uid_);
  }
  Greeting(const Greeting&) = delete;
  Greeting& operator=(const Greeting&) = delete;
  bool is_one_too_many() const { return uid_ != 0 && counts()[uid_] > limits::kMaxGreeting; }

 private:
  static std::map<std::uint32_t, std::size_t>& counts() {
    static std::map<std::uint32_t, std::size_t> by_uid;
    return by_uid;
  }
  std::uint32_t uid_;
};

net::awaitable<Result<async::Message>> hear_hello(async::Channel& control, std::uint32_t uid, Descriptors descriptors) {
  const Greeting greeting(uid);
  if (greeting.is_one_too_many())
    co_return fail("uid " + std::to_string(uid) + " has " + std::to_string(limits::kMaxGreeting) +
                   " connections open that have not said what they want");
  auto hello = co_await async::within(limits::kHelloWithin, control.receive(descriptors));
  if (!hello && hello.error().code == ETIMEDOUT)
    co_return fail("no hello came within " + std::to_string(limits::kHelloWithin.count()) + " s");
  co_return hello;
}

}  // namespace

net::awaitable<void> converse(Services& services, UniqueFd connection) {
  auto peer = peer_of(connection.get());
  if (!peer) co_return log::warning(peer.error().text());
  auto control = std::make_unique<async::Channel>(services.executor, std::move(connection),
                                                  limits::kMaxSmallMessageBytes, async::Sending::WithSendmsg);
  const bool is_stranger = !may_open_any(*peer, services.config);
  const auto descriptors = is_stranger ? Descriptors::Refused : Descriptors::Taken;
  auto message = co_await hear_hello(*control, peer->uid, descriptors);
  // Without a line of the log: whoever may not open anything could fill it.
  if (!message) co_return (void) control->send(encode_message(FromKeeper(handshake::Refused{message.error().text()})));
  if (message->bytes.empty()) co_return;
  if (is_stranger)
    co_return refuse(services, *control, "uid " + std::to_string(peer->uid) + " may not open any session: run as root");
  co_await begin(services, std::move(control), std::move(*message), std::move(*peer));
}

net::awaitable<void> accept_control(Services& services, UniqueFd listener) {
  net::posix::stream_descriptor waiting(services.executor, listener.release());
  // Also while the broker stops: sessions may be ended by an operator, and who opens one is refused in words.
  for (;;) {
    auto [error] = co_await waiting.async_wait(net::posix::stream_descriptor::wait_read, async::kUseTuple);
    if (error) co_return;
    UniqueFd connection =
        UniqueFd::adopt(::accept4(waiting.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      const bool passes = errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
      if (!passes) co_await async::sleep_for(std::chrono::milliseconds(100));  // no descriptor or memory just now
      continue;
    }
    services.tasks.spawn("control connection", converse(services, std::move(connection)));
  }
}

}  // namespace sallyport::keeper
