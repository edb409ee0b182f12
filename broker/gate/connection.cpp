#include "broker/gate/connection.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <cstring>

#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {
constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);
constexpr std::size_t kReadBytes = 8 * 1024;
}  // namespace

Connection::Connection(net::any_io_executor executor, UniqueFd fd, Ticker& ticker)
    : descriptor_(std::move(executor), fd.release()), ticker_(ticker) {
  descriptor_.non_blocking(true);
  ticker_.add(this, [this](Clock::time_point now) { return check_deadline(now); });
}

Connection::~Connection() { ticker_.remove(this); }

void Connection::set_deadline(Clock::duration from_now) {
  deadline_ = Clock::now() + from_now;
  ticker_.start();
}

void Connection::consume(std::size_t bytes) {
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

// What an ordinary request needs is kept: it would be asked for again at once.
void Connection::release_input() {
  if (begin_ == end_ && buffer_.size() > kReadBytes) std::vector<char>().swap(buffer_);
}

char* Connection::room_for(std::size_t bytes) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + bytes) buffer_.resize(end_ + bytes);
  return buffer_.data() + end_;
}

net::awaitable<bool> Connection::read_more() {
  char* const room = room_for(kReadBytes);
  // Asio tries the read at once and waits, without another system call, only where there is nothing yet.
  auto [error, bytes] = co_await descriptor_.async_read_some(net::buffer(room, kReadBytes), kUseTuple);
  end_ += bytes;
  co_return !error && bytes > 0;
}

Connection::Glance Connection::glance() {
  char* const room = room_for(kReadBytes);
  ssize_t bytes;
  do bytes = ::read(fd(), room, kReadBytes);
  while (bytes < 0 && errno == EINTR);
  if (bytes > 0) end_ += static_cast<std::size_t>(bytes);
  has_overflowed_ = end_ - begin_ > limits::kMaxEarlyStreamBytes;  // it sends without waiting for answers
  if (bytes > 0) return has_overflowed_ ? Glance::Ended : Glance::Bytes;
  return bytes < 0 && errno == EAGAIN ? Glance::Nothing : Glance::Ended;
}

void Connection::watch_for(wait_type what, std::shared_ptr<Waker> waker, std::shared_ptr<bool> seen) {
  *seen = false;
  descriptor_.async_wait(what,
                         [waker = std::move(waker), seen = std::move(seen)](const boost::system::error_code& error) {
                           if (error) return;
                           *seen = true;
                           waker->wake();
                         });
}

void Connection::stop_watching() {
  boost::system::error_code ignored;
  descriptor_.cancel(ignored);
}

Connection::Written Connection::write_now(std::string_view& first, std::string_view& second) {
  const iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                          {const_cast<char*>(second.data()), second.size()}};
  const ssize_t sent = second.empty() ? ::write(fd(), first.data(), first.size()) : ::writev(fd(), parts, 2);
  if (sent < 0) return errno == EAGAIN ? Written::Nothing : errno == EINTR ? Written::Part : Written::Failed;
  const auto from_first = std::min(static_cast<std::size_t>(sent), first.size());
  first.remove_prefix(from_first);
  second.remove_prefix(static_cast<std::size_t>(sent) - from_first);
  return first.empty() && second.empty() ? Written::All : Written::Part;
}

net::awaitable<bool> Connection::write(std::string_view first, std::string_view second) {
  while (!first.empty() || !second.empty()) {
    const Written written = write_now(first, second);
    if (written == Written::Failed) co_return false;
    if (written != Written::Nothing) continue;
    if (!patient_) set_deadline(limits::kWriteStall);
    auto [error] = co_await descriptor_.async_wait(net::posix::stream_descriptor::wait_write, kUseTuple);
    no_deadline();
    if (error) co_return false;
  }
  co_return true;
}

void Connection::finish_writing() {
  if (descriptor_.is_open()) (void)::shutdown(fd(), SHUT_WR);  // an error means that the peer is gone already
}

net::awaitable<void> Connection::drain() {
  set_deadline(limits::kDrainTime);
  std::size_t budget = limits::kMaxDrainedBytes;
  while (budget > 0) {
    begin_ = end_ = 0;
    if (!co_await read_more()) co_return;
    budget -= std::min(budget, end_);
  }
}

void Connection::close() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
}

bool Connection::check_deadline(Clock::time_point now) {
  if (now < deadline_) return deadline_ != Clock::time_point::max();
  timed_out_ = true;
  no_deadline();
  stop_watching();
  return false;
}

}  // namespace sallyport::gate
