#include "broker/gate/gate.hpp"

#include <sys/socket.h>

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
}

void Gate::stop(std::string_view why) {
  log::debug("gate: ends: " + std::string(why));
  context_.stop();
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
    // The rest wait in the backlog. One place is the lasting stream's.
    while (clients_ > limits::kMaxClientConnections) co_await client_left_.wait();
    UniqueFd client =
        UniqueFd::adopt(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      start_client(std::move(client), ClientKind::Socket);
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
  }
  --clients_;
  client_left_.wake();
}

}  // namespace sallyport::gate
