#include "broker/relay/relay.hpp"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <map>
#include <memory>

#include "broker/async/channel.hpp"
#include "broker/async/tasks.hpp"
#include "broker/protocol/relay_messages.hpp"
#include "broker/relay/connection.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::relay {

namespace {

using namespace std::chrono_literals;
using async::kUseTuple;
using Listener = net::posix::stream_descriptor;
namespace messages = protocol::relay;

constexpr auto kAcceptPause = 100ms;  // where the kernel has no descriptor or memory for another connection

class Relay {
 public:
  Relay(net::io_context& io, UniqueFd keeper, std::vector<UniqueFd> listeners, const HalfClosed& half_closed);
  int run();

 private:
  net::awaitable<void> accept_on(std::uint8_t forward);
  net::awaitable<void> hear_keeper();
  net::awaitable<void> carry(std::uint32_t number, UniqueFd client, UniqueFd upstream);
  net::awaitable<void> sweep();
  net::awaitable<bool> tell(messages::ToKeeper message);

  net::awaitable<void> ask_for_upstream(std::uint8_t forward, UniqueFd client);
  bool take(const messages::Connected& connected, std::vector<UniqueFd> fds);
  bool take(const messages::Unreachable& unreachable, std::vector<UniqueFd> fds);
  bool is_full() const { return waiting_.size() + carried_.size() >= limits::kMaxForwardConnections; }
  void end();
  void stop(int code);

  net::io_context& io_;
  const HalfClosed half_closed_;
  async::Channel keeper_;
  std::vector<Listener> listeners_;
  std::uint32_t next_connection_ = 1;
  std::map<std::uint32_t, UniqueFd> waiting_;  // accepted, upstream asked for
  std::map<std::uint32_t, std::unique_ptr<Connection>> carried_;
  net::steady_timer room_;  // cancelled when a connection ends
  bool ending_ = false;
  int exit_code_ = 0;
  async::TaskGroup tasks_;  // last: its tasks use all of the above
};

Relay::Relay(net::io_context& io, UniqueFd keeper, std::vector<UniqueFd> listeners, const HalfClosed& half_closed)
    : io_(io),
      half_closed_(half_closed),
      keeper_(io.get_executor(), std::move(keeper), limits::kMaxSmallMessageBytes, async::Sending::WithWrite),
      room_(io, net::steady_timer::time_point::max()),
      tasks_(io.get_executor(), [this](const std::string&, const std::string&) { stop(1); }) {
  for (UniqueFd& listener : listeners) {
    listeners_.emplace_back(io, listener.release());
    listeners_.back().non_blocking(true);
  }
}

int Relay::run() {
  tasks_.spawn("hear the keeper", hear_keeper());
  for (std::size_t i = 0; i < listeners_.size(); ++i)
    tasks_.spawn("accept on forward " + std::to_string(i), accept_on(static_cast<std::uint8_t>(i)));
  tasks_.spawn("sweep", sweep());
  io_.run();
  return exit_code_;
}

// The keeper has ended its direction. It hears for a short time what each connection carried.
void Relay::end() {
  ending_ = true;
  for (const auto& [number, connection] : carried_) connection->cut();
  if (carried_.empty()) stop(0);
}

void Relay::stop(int code) {
  exit_code_ = code;
  io_.stop();
}

net::awaitable<void> Relay::accept_on(std::uint8_t forward) {
  Listener& listener = listeners_[forward];
  for (;;) {
    while (is_full()) co_await room_.async_wait(kUseTuple);  // the others wait in the listener's backlog
    UniqueFd client =
        UniqueFd::adopt(::accept4(listener.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      co_await ask_for_upstream(forward, std::move(client));
    } else if (errno == EAGAIN) {
      const auto [error] = co_await listener.async_wait(Listener::wait_read, kUseTuple);
      if (error) co_return;
    } else if (errno != ECONNABORTED && errno != EINTR) {
      co_await async::sleep_for(kAcceptPause);
    }
  }
}

net::awaitable<void> Relay::ask_for_upstream(std::uint8_t forward, UniqueFd client) {
  const std::uint32_t number = next_connection_++;
  waiting_.emplace(number, std::move(client));
  const messages::Connect connect{number, forward};
  if (!co_await tell(connect)) stop(0);
}

// A full channel is waited for: the keeper serves many, and a relay has time.
net::awaitable<bool> Relay::tell(messages::ToKeeper message) {
  const auto bytes = encode_message(message);
  for (;;) {
    const auto sent = keeper_.send(bytes);
    if (sent) co_return true;
    if (sent.error().code != EAGAIN) co_return false;
    if (!co_await keeper_.wait_writable()) co_return false;
  }
}

net::awaitable<void> Relay::hear_keeper() {
  for (;;) {
    auto received = co_await keeper_.receive();
    if (!received) co_return stop(1);
    if (received->bytes.empty()) co_return end();
    const auto message = decode_message<messages::FromKeeper>(received->bytes);
    if (!message) co_return stop(1);
    const bool understood =
        std::visit([&](const auto& known) { return take(known, std::move(received->fds)); }, *message);
    if (!understood) co_return stop(1);
  }
}

bool Relay::take(const messages::Connected& connected, std::vector<UniqueFd> fds) {
  const auto found = waiting_.find(connected.connection);
  if (found == waiting_.end() || fds.size() != 1) return false;
  UniqueFd client = std::move(found->second);
  waiting_.erase(found);
  tasks_.spawn("carry", carry(connected.connection, std::move(client), std::move(fds.front())));
  return true;
}

// The client sees its connection close, as it would where nothing listens behind a proxy.
bool Relay::take(const messages::Unreachable& unreachable, std::vector<UniqueFd> fds) {
  if (!fds.empty() || waiting_.erase(unreachable.connection) != 1) return false;
  room_.cancel();
  return true;
}

net::awaitable<void> Relay::carry(std::uint32_t number, UniqueFd client, UniqueFd upstream) {
  auto made = std::make_unique<Connection>(io_.get_executor(), std::move(client), std::move(upstream));
  Connection& connection = *carried_.emplace(number, std::move(made)).first->second;
  co_await connection.carry();
  // Told before there is room for another: the keeper must never count more connections than it allows.
  const messages::Closed closed{number, connection.bytes_up(), connection.bytes_down()};
  if (!co_await tell(closed)) stop(0);
  carried_.erase(number);
  room_.cancel();
  if (ending_ && carried_.empty()) stop(0);
}

net::awaitable<void> Relay::sweep() {
  for (;;) {
    co_await async::sleep_for(half_closed_.looked_at_every);
    const auto now = Connection::Clock::now();
    for (const auto& [number, connection] : carried_)
      if (connection->is_half_closed() && now - connection->last_activity() > half_closed_.cut_after) connection->cut();
  }
}

}  // namespace

int serve(UniqueFd keeper, std::vector<UniqueFd> listeners, int (*lock_down)() noexcept,
          const HalfClosed& half_closed) {
  net::io_context io(1);
  // Asio makes its epoll, event and timer descriptors now.
  Relay relay(io, std::move(keeper), std::move(listeners), half_closed);
  if (lock_down() != 0) return 2;
  return relay.run();
}

}  // namespace sallyport::relay
