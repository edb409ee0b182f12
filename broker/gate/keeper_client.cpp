#include "broker/gate/keeper_client.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace sallyport::gate {

namespace {

// The last reply to a request; these announce more.
bool is_final(const protocol::Reply& reply) {
  return !std::holds_alternative<protocol::Waiting>(reply) && !std::holds_alternative<protocol::Registered>(reply) &&
         !std::holds_alternative<protocol::ListItem>(reply);
}

}  // namespace

KeeperClient::KeeperClient(net::any_io_executor executor, UniqueFd channel, OnClosed on_closed)
    : executor_(executor),
      channel_(executor, std::move(channel), limits::kMaxMessageBytes, async::Sending::WithWrite),
      outbox_(channel_),
      on_closed_(std::move(on_closed)) {}

net::awaitable<void> KeeperClient::receive() {
  for (;;) {
    auto message = co_await channel_.receive();
    if (!message) co_return on_closed_(message.error().text());
    if (message->bytes.empty()) co_return on_closed_("the keeper has closed the channel");
    Reader replies(message->bytes);
    while (replies.left() > 0) {
      auto received = std::make_unique<Received>();
      const auto decoded = decode_next(replies, received->envelope);
      if (!decoded) co_return on_closed_(decoded.error().text());
      if (auto* welcome = std::get_if<protocol::Welcome>(&received->reply())) {
        welcome_ = std::move(*welcome);
        if (const Result<> taken = take_tally(std::exchange(message->fds, {})); !taken)
          co_return on_closed_(taken.error().text());
        welcomed_.wake();
      } else {
        received->fds = std::exchange(message->fds, {});  // what has descriptors comes alone
        deliver(std::move(received));
      }
    }
    while (!cancels_.empty() && tell(protocol::CancelRequest{cancels_.back()})) cancels_.pop_back();
  }
}

Result<> KeeperClient::take_tally(std::vector<UniqueFd> fds) {
  if (fds.size() != 1) return {};
  shared_tally_ = TRY(protocol::SharedTally::open(fds.front().get()));
  shared_tally_.get()->allowed += own_tally_.allowed;
  shared_tally_.get()->denied += own_tally_.denied;
  return {};
}

net::awaitable<void> KeeperClient::wait_for_welcome() { return welcomed_.wait(); }

void KeeperClient::deliver(ReceivedPtr received) {
  const auto found = pending_.find(received->envelope.id);
  if (found == pending_.end()) return;  // the descriptors close themselves
  Exchange* exchange = found->second.exchange;
  const bool last = is_final(received->reply());
  if (last) finish(received->envelope.id);
  if (exchange == nullptr) return;
  exchange->finished_ = last;
  exchange->replies_.push_back(std::move(received));
  exchange->waker_.wake();
}

void KeeperClient::finish(protocol::RequestId id) {
  const auto found = pending_.find(id);
  --in_flight_[found->second.kind];
  pending_.erase(found);
  for (const auto& [kind, waker] : queue_) {
    if (!may_send(kind)) continue;
    waker->wake();  // takes itself off the queue
    return;
  }
}

bool KeeperClient::may_send(std::size_t kind) const {
  return in_flight_[kind] < protocol::kPermits[kind].in_flight_at_most &&
         pending_.size() < limits::kMaxRequestsInFlight;
}

void KeeperClient::abandon(protocol::RequestId id, bool may_cancel) {
  const auto found = pending_.find(id);
  if (found != pending_.end()) found->second.exchange = nullptr;
  if (may_cancel && !tell(protocol::CancelRequest{id})) cancels_.push_back(id);
}

protocol::RequestId KeeperClient::unused_id() {
  do ++last_id_;
  while (last_id_ == 0 || pending_.contains(last_id_));
  return last_id_;
}

// Soon: after whatever else is ready now, so that requests of several clients share a datagram, and the keeper's wake.
void KeeperClient::send(const protocol::RequestEnvelope& envelope, When when) {
  if (const auto put = outbox_.put(envelope); !put) return on_closed_(put.error().text());
  if (when == When::Now || outbox_.is_worth_a_flush()) return flush();
  if (std::exchange(flush_is_due_, true)) return;
  net::post(executor_, [this] {
    flush_is_due_ = false;
    flush();
  });
}

void KeeperClient::flush() {
  const auto flushed = outbox_.flush();
  if (flushed) return;
  if (flushed.error().code != EAGAIN) return on_closed_(flushed.error().text());
  if (std::exchange(waits_for_room_, true)) return;
  channel_.when_writable([this] {
    waits_for_room_ = false;
    flush();
  });
}

bool KeeperClient::flush_or_wait(std::function<void()> then) {
  const auto flushed = outbox_.flush();
  if (flushed) return true;
  if (flushed.error().code != EAGAIN) return on_closed_(flushed.error().text()), true;
  channel_.when_writable(std::move(then));
  return false;
}

bool KeeperClient::tell(protocol::Request request) {
  if (outbox_.is_full()) return false;
  send({unused_id(), std::move(request)}, When::Soon);
  return true;
}

net::awaitable<void> KeeperClient::wait_for_turn(const protocol::Request& request, Waker& waker) {
  while (!may_send(request)) {
    queue_.emplace_back(request.index(), &waker);
    co_await waker.wait();
    std::erase_if(queue_, [&waker](const auto& entry) { return entry.second == &waker; });
  }
}

std::unique_ptr<KeeperClient::Exchange> KeeperClient::open(protocol::Request request, Waker& waker) {
  const std::size_t kind = request.index();
  const protocol::RequestEnvelope envelope{unused_id(), std::move(request)};
  auto exchange = std::make_unique<Exchange>(*this, envelope.id, waker);
  pending_.emplace(envelope.id, Pending{exchange.get(), kind});
  ++in_flight_[kind];
  send(envelope, pending_.size() == 1 ? When::Now : When::Soon);
  return exchange;
}

KeeperClient::Exchange::~Exchange() {
  if (!finished_) client_.abandon(id_, true);
}

ReceivedPtr KeeperClient::Exchange::take() {
  ReceivedPtr received = std::move(replies_[taken_++]);
  if (taken_ == replies_.size()) replies_.clear(), taken_ = 0;
  return received;
}

net::awaitable<ReceivedPtr> KeeperClient::Exchange::next() {
  while (!has_reply()) co_await waker_.wait();
  co_return take();
}

void KeeperClient::Exchange::cancel_stream() { client_.abandon(id_, true); }

}  // namespace sallyport::gate
