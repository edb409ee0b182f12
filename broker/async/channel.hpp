// BOTH SIDES. One SOCK_SEQPACKET channel between two of our processes under Asio: bounded datagrams with descriptors.
// receive() suspends until a datagram is there; send() never suspends: EAGAIN where the socket's buffer is full, which
// its user answers by ending the peer, or by waiting (Outbox, and whoever may wait).
// A process whose filter has no sendmsg (the gate, the relay) uses Sending::WithWrite, which cannot pass descriptors.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::async {

namespace net = boost::asio;

struct Message {
  std::span<const std::byte> bytes;  // the channel's, until its next receive(); empty: the peer has closed
  std::vector<UniqueFd> fds;
  bool fds_refused = false;  // some came, and the kernel dropped them
};

enum class Sending { WithSendmsg, WithWrite };

class Channel {
 public:
  Channel(net::any_io_executor executor, UniqueFd socket, std::size_t max_message_bytes, Sending sending);

  net::awaitable<Result<Message>> receive(Descriptors descriptors = Descriptors::Taken);
  Result<> send(std::span<const std::byte> bytes, std::span<const int> fds = {});
  // Suspends until the socket takes another datagram: for senders that may wait instead of ending the peer.
  net::awaitable<Result<>> wait_writable();
  // The same without a coroutine. Not called where the channel is closed first.
  void when_writable(std::function<void()> then);
  void finish_sending();  // the peer hears the end; it can still say something
  void close();
  bool is_open() const { return socket_.is_open(); }
  std::size_t max_message_bytes() const { return max_message_bytes_; }

 private:
  net::posix::stream_descriptor socket_;  // waits only; all I/O is our own recvmsg, sendmsg and write
  std::size_t max_message_bytes_;
  Sending sending_;
  std::vector<std::byte> received_;
};

}  // namespace sallyport::async
