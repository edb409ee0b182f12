// UNTRUSTED SIDE. The gate's one timer: once a second, and only while something may expire, it looks at every deadline
// and sends the claims that have gathered. So no request sets a timer of its own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <vector>

namespace sallyport::gate {

namespace net = boost::asio;
using Clock = std::chrono::steady_clock;

class Ticker {
 public:
  // Looks at the time; true where it still has something that may expire.
  using Check = std::function<bool(Clock::time_point now)>;

  // `now` is the time that deadlines are held against; a test lets it run ahead.
  using Now = std::function<Clock::time_point()>;
  explicit Ticker(net::any_io_executor executor, Now now = Clock::now)
      : timer_(std::move(executor)), now_(std::move(now)) {}

  // Runs `check` each second from now on until it returns false at once; start() again then.
  void add(const void* owner, Check check);
  void remove(const void* owner);
  void start();

 private:
  void tick();
  struct Entry {
    const void* owner;
    Check check;
  };
  net::steady_timer timer_;
  Now now_;
  std::vector<Entry> entries_;
  bool running_ = false;
};

}  // namespace sallyport::gate
