// UNTRUSTED SIDE. One forwarded connection: two descriptors, bytes both ways, half-close passed on, bytes counted.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>

#include "broker/async/tasks.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::relay {

namespace net = boost::asio;

class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(net::any_io_executor executor, UniqueFd client, UniqueFd upstream);

  // Returns when both directions have ended, or either has failed.
  net::awaitable<void> carry();
  // Ends it: carry() returns soon after.
  void cut();

  std::uint64_t bytes_up() const { return up_.bytes; }
  std::uint64_t bytes_down() const { return down_.bytes; }
  bool is_half_closed() const { return up_.ended != down_.ended; }
  Clock::time_point last_activity() const { return last_activity_; }

 private:
  struct Direction {
    std::uint64_t bytes = 0;
    bool ended = false;
  };
  net::awaitable<void> pump(net::posix::stream_descriptor& from, net::posix::stream_descriptor& to,
                            Direction& direction);

  net::posix::stream_descriptor client_;
  net::posix::stream_descriptor upstream_;
  Direction up_;
  Direction down_;
  Clock::time_point last_activity_ = Clock::now();
};

}  // namespace sallyport::relay
