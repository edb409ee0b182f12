#include "broker/gate/streams.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <charconv>

#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);

net::awaitable<bool> write_all(net::posix::stream_descriptor& to, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::write(to.native_handle(), bytes, size);
    if (sent > 0) {
      bytes += sent;
      size -= static_cast<std::size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return false;
    auto [error] = co_await to.async_wait(net::posix::stream_descriptor::wait_write, kUseTuple);
    if (error) co_return false;
  }
  co_return true;
}

// Until `from` ends. False: `to` takes no more.
net::awaitable<bool> pump(net::posix::stream_descriptor& from, net::posix::stream_descriptor& to) {
  std::vector<char> buffer(limits::kStreamBufferBytes);
  for (;;) {
    auto [error, bytes] = co_await from.async_read_some(net::buffer(buffer), kUseTuple);
    if (error || bytes == 0) co_return true;
    if (!co_await write_all(to, buffer.data(), bytes)) co_return false;
  }
}

net::awaitable<void> pump_input(Connection& client, net::posix::stream_descriptor& stream) {
  const std::string early(client.input());
  client.consume(early.size());
  client.release_input();
  const bool taken =
      co_await write_all(stream, early.data(), early.size()) && co_await pump(client.descriptor(), stream);
  if (taken) (void)::shutdown(stream.native_handle(), SHUT_WR);  // the client's end of input is the container's
  // The output goes on for as long as the container runs and the client is there: a client that has closed both ways is
  // EPOLLHUP, one that has ended its input alone is not.
  co_await client.descriptor().async_wait(net::posix::stream_descriptor::wait_error, kUseTuple);
}

net::awaitable<void> pump_output(Connection& client, net::posix::stream_descriptor& stream) {
  (void)co_await pump(stream, client.descriptor());
}

}  // namespace

LogRelay::LogRelay(Connection& client, std::shared_ptr<Waker> waker, UniqueFd source)
    : client_(client),
      waker_(std::move(waker)),
      source_(client.descriptor().get_executor(), source.release()),
      buffer_(limits::kLogBufferBytes + 2) {
  source_.non_blocking(true);
}

net::awaitable<bool> LogRelay::send(std::size_t bytes) {
  std::array<char, 20> size;
  char* end = std::to_chars(size.data(), size.data() + size.size() - 2, bytes, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  buffer_[bytes] = '\r';
  buffer_[bytes + 1] = '\n';
  co_return co_await client_.write(std::string_view(size.data(), end), std::string_view(buffer_.data(), bytes + 2));
}

net::awaitable<bool> LogRelay::run() {
  const auto client_readable = std::make_shared<bool>(false);
  const auto source_readable = std::make_shared<bool>(false);
  bool watching_client = false;
  bool watching_source = false;
  for (;;) {
    if (*client_readable && watching_client) {
      watching_client = false;
      if (client_.glance() == Connection::Glance::Ended) co_return false;
    }
    if (!watching_client) client_.watch(waker_, client_readable);
    watching_client = true;
    const ssize_t bytes = ::read(source_.native_handle(), buffer_.data(), limits::kLogBufferBytes);
    if (bytes > 0) {
      if (!co_await send(static_cast<std::size_t>(bytes))) co_return false;
      continue;
    }
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes == 0 || errno != EAGAIN) break;
    if (!watching_source || *source_readable) {
      *source_readable = false;
      watching_source = true;
      source_.async_wait(net::posix::stream_descriptor::wait_read,
                         [waker = waker_, source_readable](const boost::system::error_code& error) {
                           if (error) return;
                           *source_readable = true;
                           waker->wake();
                         });
    }
    co_await waker_->wait();
  }
  client_.stop_watching();
  co_return true;
}

net::awaitable<void> relay_attach(Connection& client, UniqueFd stream) {
  using namespace net::experimental::awaitable_operators;
  net::posix::stream_descriptor upstream(co_await net::this_coro::executor, stream.release());
  upstream.non_blocking(true);
  co_await (pump_output(client, upstream) || pump_input(client, upstream));
  // The keeper holds a duplicate: closing ours alone would leave dockerd with a stream that nobody reads, and dockerd
  // then holds up the container's output and its removal.
  (void)::shutdown(upstream.native_handle(), SHUT_RDWR);
  client.finish_writing();
  co_await client.drain();
}

}  // namespace sallyport::gate
