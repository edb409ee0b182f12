// UNTRUSTED SIDE. Opaque streams: bytes are carried and never looked at.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "broker/gate/connection.hpp"
#include "broker/gate/waker.hpp"

namespace sallyport::gate {

// A stream of the keeper's to the client as HTTP chunks. Ends with the stream, or early when the client goes away.
class LogRelay {
 public:
  LogRelay(Connection& client, std::shared_ptr<Waker> waker, UniqueFd source);
  net::awaitable<bool> run();  // false: the client has gone, or does not read

 private:
  net::awaitable<bool> send(std::size_t bytes);

  Connection& client_;
  std::shared_ptr<Waker> waker_;
  net::posix::stream_descriptor source_;
  std::vector<char> buffer_;
};

// Both directions of an attach between the client and dockerd's raw stream, with half-close each way, until dockerd has
// ended its direction. Input that the client sent early goes first.
net::awaitable<void> relay_attach(Connection& client, UniqueFd stream);

}  // namespace sallyport::gate
