// UNTRUSTED SIDE. One coroutine waits, others wake it. A wake before the wait is kept, so none is lost.
// wake() runs the waiter at once, up to its next wait: a reply goes to its client before anything else is looked at.
// So it is the last thing its caller does, or the caller holds nothing that the waiter may change.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace sallyport::gate {

namespace net = boost::asio;

class Waker {
 public:
  Waker() = default;
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake() {
    if (!waiting_) {
      woken_ = true;
      return;
    }
    std::exchange(waiting_, nullptr)();
  }
  net::awaitable<void> wait() {
    if (std::exchange(woken_, false)) co_return;
    auto keep = [this](auto handler) { waiting_ = std::move(handler); };
    co_await net::async_initiate<const net::use_awaitable_t<>, void()>(keep, net::use_awaitable);
    woken_ = false;
  }

 private:
  std::move_only_function<void()> waiting_;
  bool woken_ = false;
};

}  // namespace sallyport::gate
