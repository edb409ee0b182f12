// UNTRUSTED SIDE. The gate's end of the channel to the keeper: typed requests out, typed replies in, any number at
// once. Keeps to permits.hpp (a request above a kind's ceiling waits here: the keeper would end us for it), never
// reuses an id while a reply to it may still come, and cancels at the keeper what nobody here waits for any more. When
// the keeper closes the channel this process has nothing left to do: `on_closed` ends it.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>

#include "broker/async/outbox.hpp"
#include "broker/gate/waker.hpp"
#include "broker/protocol/messages.hpp"
#include "broker/protocol/permits.hpp"
#include "broker/protocol/tally.hpp"

namespace sallyport::gate {

struct Received {
  protocol::ReplyEnvelope envelope;
  std::vector<UniqueFd> fds;
  protocol::Reply& reply() { return envelope.reply; }
};
using ReceivedPtr = std::unique_ptr<Received>;  // large, and handed on several times

class KeeperClient {
 public:
  class Exchange;
  using OnClosed = std::function<void(std::string_view why)>;

  KeeperClient(net::any_io_executor executor, UniqueFd channel, OnClosed on_closed);

  // Reads replies for ever.
  net::awaitable<void> receive();
  // Until the welcome has come; afterwards welcome() is set.
  net::awaitable<void> wait_for_welcome();
  const protocol::Welcome& welcome() const { return welcome_; }

  // Suspends while another request of its kind would be more than its permit; then it is to be sent at once.
  net::awaitable<void> wait_for_turn(const protocol::Request& request, Waker& waker);
  bool may_send(const protocol::Request& request) const { return may_send(request.index()); }
  // Sends a request. `waker` is woken at each reply to it.
  std::unique_ptr<Exchange> open(protocol::Request request, Waker& waker);
  // Sends a request that has no answer; false where the channel is full just now.
  bool tell(protocol::Request request);
  // Counts a request that is answered without the keeper, where the keeper can read it.
  void count(bool allowed) { ++(allowed ? tally().allowed : tally().denied); }
  // All that was told or asked is in the channel; false: it is full just now, and `then` runs when it has room.
  bool flush_or_wait(std::function<void()> then);

 private:
  static constexpr std::size_t kKinds = std::variant_size_v<protocol::Request>;
  struct Pending {
    Exchange* exchange = nullptr;  // null: nobody waits any more, the id is only kept until its end
    std::size_t kind = 0;
  };

  enum class When : bool { Now, Soon };
  void send(const protocol::RequestEnvelope& envelope, When when);
  void flush();
  Result<> take_tally(std::vector<UniqueFd> fds);
  void deliver(ReceivedPtr received);
  void finish(protocol::RequestId id);
  void abandon(protocol::RequestId id, bool may_cancel);
  protocol::RequestId unused_id();
  bool may_send(std::size_t kind) const;
  protocol::Tally& tally() { return shared_tally_.get() == nullptr ? own_tally_ : *shared_tally_.get(); }

  net::any_io_executor executor_;
  async::Channel channel_;
  async::Outbox outbox_;
  bool flush_is_due_ = false;
  bool waits_for_room_ = false;
  OnClosed on_closed_;
  protocol::Welcome welcome_;
  Waker welcomed_;
  protocol::Tally own_tally_;  // until the shared one has come with the welcome
  protocol::SharedTally shared_tally_;
  std::unordered_map<protocol::RequestId, Pending> pending_;
  std::array<std::size_t, kKinds> in_flight_{};
  std::deque<std::pair<std::size_t, Waker*>> queue_;  // kinds at their ceiling
  std::vector<protocol::RequestId> cancels_;          // not sent yet: the channel was full
  protocol::RequestId last_id_ = 0;
  friend class Exchange;
};

// One request and its replies. Destroyed before its last reply, it cancels the request.
class KeeperClient::Exchange {
 public:
  Exchange(KeeperClient& client, protocol::RequestId id, Waker& waker) : client_(client), id_(id), waker_(waker) {}
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  bool has_reply() const { return taken_ < replies_.size(); }
  ReceivedPtr take();
  net::awaitable<ReceivedPtr> next();
  // The stream that came with the last reply has lost its client: the keeper may stop feeding it.
  void cancel_stream();

 private:
  KeeperClient& client_;
  protocol::RequestId id_;
  Waker& waker_;
  std::vector<ReceivedPtr> replies_;  // [taken_, their end) have not been taken
  std::size_t taken_ = 0;
  bool finished_ = false;
  friend class KeeperClient;
};

}  // namespace sallyport::gate
