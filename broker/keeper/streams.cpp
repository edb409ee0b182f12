#include "broker/keeper/streams.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace sallyport::keeper {

Result<std::shared_ptr<AttachStream>> AttachStream::keep(HangupWatch& watch, UniqueFd duplicate,
                                                         std::function<void()> on_over) {
  const int fd = duplicate.get();
  std::shared_ptr<AttachStream> stream(new AttachStream(watch, std::move(duplicate)));
  stream->key_ = TRY(watch.add(fd, std::move(on_over)));
  return stream;
}

AttachStream::~AttachStream() { watch_.remove(key_); }

void AttachStream::revoke() {
  watch_.remove(key_);
  if (duplicate_) ::shutdown(duplicate_.get(), SHUT_RDWR);
  duplicate_.reset();
}

LogStream::LogStream(const net::any_io_executor& executor, HangupWatch& watch, UniqueFd own,
                     std::shared_ptr<engine::Upstream> upstream)
    : watch_(watch), own_(executor, own.release()), upstream_(std::move(upstream)) {}

Result<std::pair<std::shared_ptr<LogStream>, UniqueFd>> LogStream::make(const net::any_io_executor& executor,
                                                                        HangupWatch& watch,
                                                                        std::shared_ptr<engine::Upstream> upstream) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return fail_errno("make a socket pair");
  UniqueFd own = UniqueFd::adopt(ends[0]);
  UniqueFd gates = UniqueFd::adopt(ends[1]);
  ::shutdown(own.get(), SHUT_RD);  // one way: nothing of the gate is ever queued here
  const int fd = own.get();
  std::shared_ptr<LogStream> stream(new LogStream(executor, watch, std::move(own), upstream));
  // Also where nothing is being written: a follower that waits for the next line has a client that may leave.
  stream->key_ = TRY(watch.add(fd, [upstream] { upstream->abort(); }));
  return std::pair(std::move(stream), std::move(gates));
}

LogStream::~LogStream() { watch_.remove(key_); }

void LogStream::revoke() {
  upstream_->abort();
  if (own_.is_open()) ::shutdown(own_.native_handle(), SHUT_RDWR);  // wakes a pump that waits for room
}

net::awaitable<bool> LogStream::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(own_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return false;
    auto [error] = co_await own_.async_wait(net::posix::stream_descriptor::wait_write, async::kUseTuple);
    if (error) co_return false;
  }
  co_return true;
}

net::awaitable<void> LogStream::pump() {
  for (;;) {
    const auto part = co_await upstream_->read_part();
    if (!part || part->empty()) break;
    if (!co_await write(*part)) break;
  }
  watch_.remove(key_);
  upstream_->abort();
  boost::system::error_code ignored;
  own_.close(ignored);
}

}  // namespace sallyport::keeper
