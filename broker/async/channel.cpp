#include "broker/async/channel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace sallyport::async {

namespace {
constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);

// What an ordinary message needs is kept for the next one.
constexpr std::size_t kMostKept = 4 * 1024;

// One for all channels of the process (one thread), because nothing suspends between receiving into it and copying out:
// a hundred sessions would otherwise keep a hundred buffers of the largest message.
std::vector<std::byte>& receive_buffer() {
  static std::vector<std::byte> buffer(limits::kMaxMessageBytes);
  return buffer;
}
}  // namespace

Channel::Channel(net::any_io_executor executor, UniqueFd socket, std::size_t max_message_bytes, Sending sending)
    : socket_(std::move(executor), socket.release()), max_message_bytes_(max_message_bytes), sending_(sending) {
  socket_.non_blocking(true);
}

net::awaitable<Result<Message>> Channel::receive(Descriptors descriptors) {
  if (received_.size() > kMostKept) std::vector<std::byte>().swap(received_);
  for (;;) {
    if (!socket_.is_open()) co_return fail("receive a message: the channel is closed");
    // Not tried first: what is there ends the wait at once, and mostly nothing is.
    auto [error] = co_await socket_.async_wait(net::posix::stream_descriptor::wait_read, kUseTuple);
    if (error) co_return fail("receive a message: " + error.message());
    const std::span<std::byte> buffer = std::span(receive_buffer()).first(max_message_bytes_);
    auto received = receive_datagram(socket_.native_handle(), buffer, descriptors);
    if (received) {
      const auto bytes = buffer.first(received->size);
      if (received_.size() < bytes.size()) received_.resize(bytes.size());
      std::ranges::copy(bytes, received_.begin());
      co_return Message{std::span<const std::byte>(received_).first(bytes.size()), std::move(received->fds),
                        received->fds_refused};
    }
    if (received.error().code != EAGAIN) co_return std::unexpected(received.error());
  }
}

Result<> Channel::send(std::span<const std::byte> bytes, std::span<const int> fds) {
  if (!socket_.is_open()) return fail("send a message: the channel is closed");
  if (bytes.size() > limits::kMaxMessageBytes) return fail("send a message: larger than a message may be");
  if (sending_ == Sending::WithSendmsg) return send_datagram(socket_.native_handle(), bytes, fds);
  if (!fds.empty()) return fail("send a message: this process cannot pass descriptors");
  ssize_t sent;
  do sent = ::write(socket_.native_handle(), bytes.data(), bytes.size());
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno("send a message");
  return {};
}

net::awaitable<Result<>> Channel::wait_writable() {
  auto [error] = co_await socket_.async_wait(net::posix::stream_descriptor::wait_write, kUseTuple);
  if (error) co_return fail("wait for a channel: " + error.message());
  co_return Result<>{};
}

void Channel::when_writable(std::function<void()> then) {
  socket_.async_wait(net::posix::stream_descriptor::wait_write,
                     [then = std::move(then)](const boost::system::error_code& error) {
                       if (!error) then();
                     });
}

void Channel::finish_sending() {
  if (socket_.is_open()) (void)::shutdown(socket_.native_handle(), SHUT_WR);  // an error: the peer has gone
}

void Channel::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace sallyport::async
