#include "broker/spawner/keeper_link.hpp"

#include <fcntl.h>

#include <array>

#include "sallyport/limits.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::spawner {

namespace {
constexpr std::size_t kTakenInARow = 64;  // then it is the turn of what else there is
}  // namespace

Result<> KeeperLink::start(std::function<void(Incoming)> on_request, std::function<void(const Error&)> on_lost) {
  on_request_ = std::move(on_request);
  on_lost_ = std::move(on_lost);
  write_copy_ = UniqueFd::adopt(::fcntl(channel_.get(), F_DUPFD_CLOEXEC, 3));
  if (!write_copy_) return fail_errno("copy a descriptor");
  read_watch_ = TRY(poller_.watch(channel_.get(), EPOLLIN, [this] { receive(); }));
  return {};
}

// As many as there are, and not one in each round of the poller: a request would wait behind the dials of others for as
// many rounds, each with the ends of up to 64 dials in it.
void KeeperLink::receive() {
  std::array<std::byte, limits::kMaxSmallMessageBytes> buffer;
  for (std::size_t taken = 0; taken < kTakenInARow && channel_; ++taken) {
    auto datagram = receive_datagram(channel_.get(), buffer);
    if (!datagram && datagram.error().code == EAGAIN) return;
    if (!datagram) return lose(datagram.error());
    if (datagram->size == 0) return lose(Error{"the keeper has closed its channel", 0});
    auto request = decode_message<protocol::spawner::ToSpawnerEnvelope>(std::span(buffer).first(datagram->size));
    if (!request) return lose(Error{"the keeper broke the protocol (" + request.error().text() + ")", EPROTO});
    on_request_(Incoming{request->number, std::move(request->message), std::move(datagram->fds)});
  }
}

void KeeperLink::answer(std::uint32_t number, Outgoing outgoing) {
  queue_.push_back({{number, std::move(outgoing.message)}, std::move(outgoing.fds)});
  flush();
}

void KeeperLink::flush() {
  while (!queue_.empty() && channel_) {
    std::vector<int> fds;
    for (const UniqueFd& fd : queue_.front().fds) fds.push_back(fd.get());
    const auto sent = send_datagram(channel_.get(), encode_message(queue_.front().envelope), fds);
    if (!sent && sent.error().code != EAGAIN) return lose(sent.error());
    if (!sent) break;
    queue_.pop_front();
  }
  if (queue_.size() > limits::kMaxQueuedForKeeper) return lose(Error{"the keeper does not read its channel", EPROTO});
  if (queue_.empty()) {
    write_watch_.reset();
  } else if (!write_watch_ && channel_) {
    auto watch = poller_.watch(write_copy_.get(), EPOLLOUT, [this] { flush(); });
    if (!watch) return lose(watch.error());
    write_watch_ = std::move(*watch);
  }
}

void KeeperLink::close() {
  write_watch_.reset();
  read_watch_.reset();
  write_copy_.reset();
  channel_.reset();
  queue_.clear();
}

void KeeperLink::lose(const Error& error) {
  if (!channel_) return;
  close();
  on_lost_(error);
}

}  // namespace sallyport::spawner
