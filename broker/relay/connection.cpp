#include "broker/relay/connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

#include "sallyport/limits.hpp"

namespace sallyport::relay {

namespace {

using async::kUseTuple;
using Descriptor = net::posix::stream_descriptor;

// read(2) and write(2) that wait where the socket would block. Below zero: it failed, or was cut.
net::awaitable<ssize_t> read_some(Descriptor& from, std::span<std::byte> buffer) {
  for (;;) {
    if (!from.is_open()) co_return -1;
    const ssize_t size = ::read(from.native_handle(), buffer.data(), buffer.size());
    if (size >= 0 || (errno != EAGAIN && errno != EINTR)) co_return size;
    const auto [error] = co_await from.async_wait(Descriptor::wait_read, kUseTuple);
    if (error) co_return -1;
  }
}

net::awaitable<bool> write_all(Descriptor& to, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!to.is_open()) co_return false;
    const ssize_t size = ::write(to.native_handle(), bytes.data(), bytes.size());
    if (size >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(size));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) co_return false;
    const auto [error] = co_await to.async_wait(Descriptor::wait_write, kUseTuple);
    if (error) co_return false;
  }
  co_return true;
}

}  // namespace

Connection::Connection(net::any_io_executor executor, UniqueFd client, UniqueFd upstream)
    : client_(executor, client.release()), upstream_(executor, upstream.release()) {
  client_.non_blocking(true);
  upstream_.non_blocking(true);
}

net::awaitable<void> Connection::carry() {
  using namespace net::experimental::awaitable_operators;
  co_await (pump(client_, upstream_, up_) && pump(upstream_, client_, down_));
  cut();
}

void Connection::cut() {
  boost::system::error_code ignored;
  (void)client_.close(ignored);
  (void)upstream_.close(ignored);
}

net::awaitable<void> Connection::pump(Descriptor& from, Descriptor& to, Direction& direction) {
  std::array<std::byte, limits::kForwardBufferBytes> buffer;
  for (;;) {
    const ssize_t size = co_await read_some(from, buffer);
    if (size <= 0) {
      // The end of one direction is passed on; a failure ends both.
      if (size == 0 && to.is_open()) ::shutdown(to.native_handle(), SHUT_WR);
      if (size < 0) cut();
      break;
    }
    last_activity_ = Clock::now();
    const std::span<const std::byte> bytes = std::span(buffer).first(static_cast<std::size_t>(size));
    if (!co_await write_all(to, bytes)) {
      cut();
      break;
    }
    direction.bytes += static_cast<std::uint64_t>(size);
  }
  direction.ended = true;
}

}  // namespace sallyport::relay
