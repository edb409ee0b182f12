#include "broker/gate/keeper_client.hpp"

namespace sallyport::gate {

namespace {

// The last reply to a request; Waiting and ListItem announce more.
bool is_final(const protocol::Reply& reply) {
  return !std::holds_alternative<protocol::Waiting>(reply) && !std::holds_alternative<protocol::ListItem>(reply);
}

}  // namespace

KeeperClient::KeeperClient(net::any_io_executor executor, UniqueFd channel, OnClosed on_closed)
    : channel_(executor, std::move(channel), limits::kMaxMessageBytes, async::Sending::WithWrite),
      on_closed_(std::move(on_closed)) {}

net::awaitable<void> KeeperClient::receive() {
  for (;;) {
    auto message = co_await channel_.receive();
    if (!message) co_return on_closed_(message.error().text());
    if (message->bytes.empty()) co_return on_closed_("the keeper has closed the channel");
    auto envelope = decode_message<protocol::ReplyEnvelope>(message->bytes);
    if (!envelope) co_return on_closed_(envelope.error().text());
    if (auto* welcome = std::get_if<protocol::Welcome>(&envelope->reply)) {
      welcome_ = std::move(*welcome);
      welcomed_.wake();
      continue;
    }
    deliver(std::move(*envelope), std::move(message->fds));
    while (!cancels_.empty() && tell(protocol::CancelRequest{cancels_.back()})) cancels_.pop_back();
  }
}

net::awaitable<void> KeeperClient::wait_for_welcome() { return welcomed_.wait(); }

void KeeperClient::deliver(protocol::ReplyEnvelope envelope, std::vector<UniqueFd> fds) {
  const auto found = pending_.find(envelope.id);
  if (found == pending_.end()) return;  // the descriptors close themselves
  Exchange* exchange = found->second.exchange;
  const bool last = is_final(envelope.reply);
  if (last) finish(envelope.id);
  if (exchange == nullptr) return;
  exchange->finished_ = last;
  exchange->replies_.push_back({std::move(envelope.reply), std::move(fds)});
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

net::awaitable<void> KeeperClient::send(const protocol::RequestEnvelope& envelope) {
  const std::vector<std::byte> bytes = encode_message(envelope);
  for (;;) {
    auto sent = channel_.send(bytes);
    if (sent) co_return;
    if (sent.error().code != EAGAIN) co_return on_closed_(sent.error().text());
    (void)co_await channel_.wait_writable();
  }
}

bool KeeperClient::tell(protocol::Request request) {
  const protocol::RequestEnvelope envelope{unused_id(), std::move(request)};
  return channel_.send(encode_message(envelope)).has_value();
}

net::awaitable<std::unique_ptr<KeeperClient::Exchange>> KeeperClient::open(protocol::Request request, Waker& waker) {
  const std::size_t kind = request.index();
  while (!may_send(kind)) {
    queue_.emplace_back(kind, &waker);
    co_await waker.wait();
    std::erase_if(queue_, [&waker](const auto& entry) { return entry.second == &waker; });
  }
  const protocol::RequestEnvelope envelope{unused_id(), std::move(request)};
  auto exchange = std::make_unique<Exchange>(*this, envelope.id, waker);
  pending_.emplace(envelope.id, Pending{exchange.get(), kind});
  ++in_flight_[kind];
  co_await send(envelope);
  co_return exchange;
}

KeeperClient::Exchange::~Exchange() {
  if (!finished_) client_.abandon(id_, true);
}

Received KeeperClient::Exchange::take() {
  Received received = std::move(replies_.front());
  replies_.pop_front();
  return received;
}

net::awaitable<Received> KeeperClient::Exchange::next() {
  while (replies_.empty()) co_await waker_.wait();
  co_return take();
}

void KeeperClient::Exchange::cancel_stream() { client_.abandon(id_, true); }

}  // namespace sallyport::gate
