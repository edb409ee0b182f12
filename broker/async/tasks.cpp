#include "broker/async/tasks.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>

namespace sallyport::async {

struct TaskGroup::State {
  explicit State(net::any_io_executor on, OnBug bug_handler)
      : executor(std::move(on)),
        on_bug(std::move(bug_handler)),
        empty(executor, net::steady_timer::time_point::max()) {}
  net::any_io_executor executor;
  OnBug on_bug;
  std::map<std::uint64_t, std::shared_ptr<net::cancellation_signal>> signals;
  std::uint64_t next = 0;
  net::steady_timer empty;  // its time never comes: cancelled, which wakes the waiters, whenever the last task ends
};

TaskGroup::TaskGroup(net::any_io_executor executor, OnBug on_bug)
    : state_(std::make_shared<State>(std::move(executor), std::move(on_bug))) {}

TaskGroup::~TaskGroup() {
  state_->on_bug = nullptr;
  cancel();
}

void TaskGroup::spawn(std::string name, net::awaitable<void> task) {
  const std::uint64_t key = state_->next++;
  auto signal = std::make_shared<net::cancellation_signal>();
  state_->signals.emplace(key, signal);
  // The completion handler owns the state: it may run after the group has been destroyed.
  auto when_done = [state = state_, signal, key, name = std::move(name)](const std::exception_ptr& failure) {
    state->signals.erase(key);
    if (state->signals.empty()) state->empty.cancel();
    if (!failure || !state->on_bug) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& exception) {
      state->on_bug(name, exception.what());
    } catch (...) {
      state->on_bug(name, "an exception of unknown type");
    }
  };
  net::co_spawn(state_->executor, std::move(task), net::bind_cancellation_slot(signal->slot(), std::move(when_done)));
}

void TaskGroup::cancel() {
  const auto signals = state_->signals;  // a task may end, and erase itself, while we emit
  for (const auto& [key, signal] : signals) signal->emit(net::cancellation_type::all);
}

std::size_t TaskGroup::running() const { return state_->signals.size(); }

net::awaitable<void> TaskGroup::wait_until_empty() {
  const auto state = state_;
  while (!state->signals.empty()) co_await state->empty.async_wait(kUseTuple);
}

net::awaitable<void> sleep_for(std::chrono::steady_clock::duration duration) {
  net::steady_timer timer(co_await net::this_coro::executor, duration);
  co_await timer.async_wait(kUseTuple);
}

}  // namespace sallyport::async
