// TRUSTED SIDE. A value that one coroutine waits for and another, or a callback, sets once.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "broker/async/tasks.hpp"

namespace sallyport::keeper {

namespace net = boost::asio;

template <class T>
class OneShot {
 public:
  explicit OneShot(const net::any_io_executor& executor) : timer_(executor, net::steady_timer::time_point::max()) {}

  void set(T value) {
    if (!value_) value_ = std::move(value);
    timer_.cancel();
  }
  // Empty: the time is up.
  net::awaitable<std::optional<T>> wait(net::steady_timer::duration limit) {
    using namespace net::experimental::awaitable_operators;
    net::steady_timer deadline(co_await net::this_coro::executor, limit);
    co_await (wait() || deadline.async_wait(async::kUseTuple));
    co_return value_;
  }
  net::awaitable<void> wait() {
    while (!value_) co_await timer_.async_wait(async::kUseTuple);
  }
  const std::optional<T>& value() const { return value_; }

 private:
  net::steady_timer timer_;  // its time never comes, and is never set again: that would wake every waiter
  std::optional<T> value_;
};

}  // namespace sallyport::keeper
