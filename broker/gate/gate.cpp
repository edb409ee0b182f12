#include "broker/gate/gate.hpp"

#include <sys/socket.h>

#include <boost/asio/post.hpp>

#include "broker/gate/reply_writer.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::gate {

Gate::Gate(GateInputs inputs)
    : listener_(context_, inputs.listener.release()),
      stream_(std::move(inputs.stream)),
      ticker_(context_.get_executor()),
      keeper_(context_.get_executor(), std::move(inputs.keeper), [this](std::string_view why) { stop(why); }),
      claims_(keeper_, ticker_),
      tasks_(context_.get_executor(), [this](const std::string& task, const std::string& what) {
        log::error("gate: " + task + " failed: " + what);
        exit_code_ = 1;
        context_.stop();
      }) {
  listener_.non_blocking(true);
  ticker_.add(this, [this](Clock::time_point now) { return check_waiting(now); });
}

void Gate::stop(std::string_view why) {
  log::debug("gate: ends: " + std::string(why));
  if (std::exchange(stopping_, true)) return context_.stop();  // the channel is gone, too
  tell_what_is_left();
}

// The keeper has ended its direction and still reads ours, for a short time.
void Gate::tell_what_is_left() {
  while (!context_.stopped()) {
    const bool told = claims_.tell_all();
    if (!keeper_.flush_or_wait([this] { tell_what_is_left(); })) return;
    if (told) context_.stop();
  }
}

int Gate::run() {
  tasks_.spawn("receive replies", keeper_.receive());
  tasks_.spawn("accept clients", accept_clients());
  context_.run();
  return exit_code_;
}

net::awaitable<void> Gate::accept_clients() {
  co_await keeper_.wait_for_welcome();  // denials name the profile
  if (stream_) start_client(std::move(stream_), ClientKind::LastingStream);
  for (;;) {
    // The rest wait in the backlog.
    while (waiting_.size() + turning_away_ >= limits::kMaxWaitingClients) co_await client_left_.wait();
    UniqueFd client =
        UniqueFd::adopt(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      take_in(std::move(client));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN && errno != EMFILE && errno != ENFILE) co_return stop("the listener is gone");
    if (errno != EAGAIN) {
      co_await client_left_.wait();
      continue;
    }
    auto [error] = co_await listener_.async_wait(net::posix::stream_descriptor::wait_read, async::kUseTuple);
    if (error) co_return;
  }
}

void Gate::start_client(UniqueFd fd, ClientKind kind) {
  ++clients_;
  tasks_.spawn("serve a client", serve(std::move(fd), kind));
}

net::awaitable<void> Gate::serve(UniqueFd fd, ClientKind kind) {
  {
    const auto session = std::make_shared<HttpSession>(context_.get_executor(), std::move(fd), kind,
                                                       Services{keeper_, claims_, ticker_});
    co_await session->serve();
    if (const auto untold = session->ended_by_early_input())
      claims_.add(false, 413, untold->method, untold->endpoint, "early-input",
                  "more than " + std::to_string(limits::kMaxEarlyStreamBytes) +
                      " bytes came behind this request before its answer had ended: no more are held, and its "
                      "connection was closed");
  }
  --clients_;
  if (!waiting_.empty()) {
    UniqueFd next = std::move(waiting_.front().client);
    waiting_.pop_front();
    start_client(std::move(next), ClientKind::Socket);
  }
  if (clients_ == 0 || kind == ClientKind::LastingStream) claims_.tell_early();
  client_left_.wake();
}

// One place is the lasting stream's.
void Gate::take_in(UniqueFd fd) {
  if (clients_ <= limits::kMaxClientConnections) return start_client(std::move(fd), ClientKind::Socket);
  waiting_.push_back({std::move(fd), Clock::now()});
  ticker_.start();
}

// Posted: what is turned away has a deadline of its own, and the ticker is walking through the deadlines.
bool Gate::check_waiting(Clock::time_point now) {
  checked_ = now;
  if (!waiting_.empty() && now - waiting_.front().since >= limits::kPlaceWithin)
    net::post(context_, [this] { turn_overdue_away(); });
  return !waiting_.empty();
}

void Gate::turn_overdue_away() {
  while (!waiting_.empty() && checked_ - waiting_.front().since >= limits::kPlaceWithin) {
    UniqueFd client = std::move(waiting_.front().client);
    waiting_.pop_front();
    ++turning_away_;
    tasks_.spawn("turn a client away", turn_away(std::move(client)));
  }
}

// Without a look at what it asks: a new connection has room for the answer, and nothing here waits for the client but
// the time in which it may read it.
net::awaitable<void> Gate::turn_away(UniqueFd fd) {
  const std::string why = std::to_string(limits::kMaxClientConnections) +
                          " connections to this socket are open, and a session may have no more at once: end some of "
                          "its attach, logs or wait calls";
  claims_.add(false, 429, "", "", "connections", why);
  {
    Connection connection(context_.get_executor(), std::move(fd), ticker_);
    const std::string answer = error_response(
        429, "sallyport: " + why + " (profile " + keeper_.welcome().profile.text() + ")", After::Close, 1);
    std::string_view first = answer, second;
    (void)connection.write_now(first, second);
    connection.finish_writing();
    co_await connection.drain();
  }
  --turning_away_;
  client_left_.wake();
}

}  // namespace sallyport::gate
