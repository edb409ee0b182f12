// UNTRUSTED SIDE. One client's byte stream: a bounded input buffer, whole writes, and one deadline that the gate's tick
// looks at (so that no timer is set per request). Reads are tried before anything waits.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/gate/ticker.hpp"
#include "broker/gate/waker.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::gate {

class Connection {
 public:
  Connection(net::any_io_executor executor, UniqueFd fd, Ticker& ticker);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Input that has been read and not consumed.
  std::string_view input() const { return std::string_view(buffer_.data() + begin_, end_ - begin_); }
  void consume(std::size_t bytes);
  void release_input();  // gives the memory of an empty buffer that has grown back
  // Reads at least one more byte into the buffer; false at the end of the stream, an error or the deadline.
  net::awaitable<bool> read_more();
  // The same without waiting. Ended as well where that is more than is kept of input before an answer.
  enum class Glance { Nothing, Bytes, Ended };
  Glance glance();
  bool has_overflowed() const { return has_overflowed_; }  // ended by a glance for that
  // Sets `readable` and wakes, once, when the peer has sent something or is gone.
  void watch(std::shared_ptr<Waker> waker, std::shared_ptr<bool> readable) {
    watch_for(wait_type::wait_read, std::move(waker), std::move(readable));
  }
  // Of both directions: a client may shut down its own and still read.
  void watch_hangup(std::shared_ptr<Waker> waker, std::shared_ptr<bool> hung_up) {
    watch_for(wait_type::wait_error, std::move(waker), std::move(hung_up));
  }
  void stop_watching();

  // Writes both, one after the other. False: the peer is gone, or reads nothing.
  net::awaitable<bool> write(std::string_view first, std::string_view second = {});
  // The same as far as it goes without waiting; takes off what was written.
  enum class Written { All, Part, Nothing, Failed };
  Written write_now(std::string_view& first, std::string_view& second);
  void finish_writing();         // shutdown of our direction
  net::awaitable<void> drain();  // reads and forgets, for a short time, so that the peer sees our last bytes
  void close();

  // What waits then fails, and timed_out() says why.
  void set_deadline(Clock::duration from_now);
  void no_deadline() { deadline_ = Clock::time_point::max(); }
  // A peer that reads nothing for a minute is given up, unless the stream may pause for as long as it likes.
  void be_patient() { patient_ = true; }
  bool timed_out() const { return timed_out_; }

  net::posix::stream_descriptor& descriptor() { return descriptor_; }
  int fd() { return descriptor_.native_handle(); }

 private:
  char* room_for(std::size_t bytes);
  bool check_deadline(Clock::time_point now);  // true where there is still one to come

  using wait_type = net::posix::stream_descriptor::wait_type;
  void watch_for(wait_type what, std::shared_ptr<Waker> waker, std::shared_ptr<bool> seen);

  net::posix::stream_descriptor descriptor_;
  Ticker& ticker_;
  std::vector<char> buffer_;  // input is [begin_, end_); the rest is room that the next read uses
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  bool has_overflowed_ = false;
  bool patient_ = false;
};

}  // namespace sallyport::gate
