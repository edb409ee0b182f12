// BOTH SIDES. Named coroutine tasks with an owner that waits for them, and one helper for deadlines.
// Nothing in the broker is spawned detached: a task's failure reaches its group's handler by name.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "sallyport/result.hpp"

namespace boost::asio {
class cancellation_signal;
}

namespace sallyport::async {

namespace net = boost::asio;
inline constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);

class TaskGroup {
 public:
  // Called when a task ends by an exception: a bug. The handler ends the process or the session.
  using OnBug = std::function<void(const std::string& task, const std::string& what)>;

  TaskGroup(net::any_io_executor executor, OnBug on_bug);
  ~TaskGroup();  // cancels what still runs; a destroyed group's tasks report to nobody
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(std::string name, net::awaitable<void> task);
  void cancel();  // asks every task to end
  std::size_t running() const;
  net::awaitable<void> wait_until_empty();  // returns once no task runs

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Runs `work` for at most `limit`; past it the work is cancelled and the result is an error that names the deadline.
template <class T>
net::awaitable<Result<T>> within(std::chrono::steady_clock::duration limit, net::awaitable<Result<T>> work) {
  using namespace net::experimental::awaitable_operators;
  net::steady_timer timer(co_await net::this_coro::executor, limit);
  auto winner = co_await (std::move(work) || timer.async_wait(kUseTuple));
  if (winner.index() == 1) co_return fail_errno("deadline passed", ETIMEDOUT);
  co_return std::get<0>(std::move(winner));
}

net::awaitable<void> sleep_for(std::chrono::steady_clock::duration duration);

}  // namespace sallyport::async
