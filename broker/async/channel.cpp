#include "broker/async/channel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace sallyport::async {

namespace {
constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);

// One for all channels of the process (one thread), because nothing suspends between receiving into it and copying out:
// a hundred sessions would otherwise keep a hundred buffers of the largest message.
std::vector<std::byte>& receive_buffer() {
  static std::vector<std::byte> buffer(limits::kMaxMessageBytes);
  return buffer;
}

// Without room for control messages, so that no descriptor becomes ours.
Result<Datagram> receive_bytes(int socket, std::span<std::byte> buffer) {
  ssize_t received;
  do received = ::recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return fail_errno("receive a message");
  if (static_cast<std::size_t>(received) > buffer.size())
    return fail("receive a message: larger than this protocol allows");
  return Datagram{static_cast<std::size_t>(received), {}};
}
}  // namespace

Channel::Channel(net::any_io_executor executor, UniqueFd socket, std::size_t max_message_bytes, Sending sending)
    : socket_(std::move(executor), socket.release()), max_message_bytes_(max_message_bytes), sending_(sending) {
  socket_.non_blocking(true);
}

net::awaitable<Result<Message>> Channel::receive(Descriptors descriptors) {
  for (;;) {
    if (!socket_.is_open()) co_return fail("receive a message: the channel is closed");
    const std::span<std::byte> buffer = std::span(receive_buffer()).first(max_message_bytes_);
    auto datagram = descriptors == Descriptors::Taken ? receive_datagram(socket_.native_handle(), buffer)
                                                      : receive_bytes(socket_.native_handle(), buffer);
    if (datagram) {
      Message message;
      message.bytes.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(datagram->size));
      message.fds = std::move(datagram->fds);
      co_return message;
    }
    if (datagram.error().code != EAGAIN) co_return std::unexpected(datagram.error());
    auto [error] = co_await socket_.async_wait(net::posix::stream_descriptor::wait_read, kUseTuple);
    if (error) co_return fail("receive a message: " + error.message());
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

void Channel::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace sallyport::async
