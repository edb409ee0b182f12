// UNTRUSTED SIDE. One coroutine waits, others wake it. A wake before the wait is kept, so none is lost.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace sallyport::gate {

namespace net = boost::asio;

class Waker {
 public:
  explicit Waker(net::any_io_executor executor) : executor_(std::move(executor)) {}
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake() {
    if (!waiting_) {
      woken_ = true;
      return;
    }
    net::post(executor_, std::exchange(waiting_, nullptr));
  }
  net::awaitable<void> wait() {
    if (std::exchange(woken_, false)) co_return;
    auto keep = [this](auto handler) { waiting_ = std::move(handler); };
    co_await net::async_initiate<const net::use_awaitable_t<>, void()>(keep, net::use_awaitable);
    woken_ = false;
  }

 private:
  net::any_io_executor executor_;
  std::move_only_function<void()> waiting_;
  bool woken_ = false;
};

}  // namespace sallyport::gate
