// TRUSTED SIDE. Says when both directions of a stream are over, without reading it and without being woken by its data:
// Asio's own epoll would wake the keeper for each byte that dockerd sends on a stream that was handed to a gate.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <map>

#include "broker/async/tasks.hpp"
#include "sallyport/result.hpp"

namespace sallyport::keeper {

namespace net = boost::asio;

class HangupWatch {
 public:
  using Key = std::uint64_t;
  using OnHangup = std::function<void()>;

  explicit HangupWatch(const net::any_io_executor& executor);
  // The descriptor stays the caller's, who calls remove() before closing it. The callback comes once at most.
  Result<Key> add(int fd, OnHangup on_hangup);
  void remove(Key key);
  net::awaitable<void> run();

 private:
  struct Entry {
    int fd;  // borrowed, from add() to remove()
    OnHangup on_hangup;
  };
  void dispatch();
  net::posix::stream_descriptor epoll_;
  std::map<Key, Entry> entries_;
  Key last_ = 0;
};

}  // namespace sallyport::keeper
