// BOTH SIDES. Messages on their way into one channel. Those that are put before a flush() share datagrams, as many as
// fit, one after another in their order: the peer wakes once for all of them (it reads with decode_next()).
#pragma once

#include <vector>

#include "broker/async/channel.hpp"
#include "sallyport/bytes.hpp"

namespace sallyport::async {

class Outbox {
 public:
  explicit Outbox(Channel& channel) : channel_(channel) {}

  // Error: the message is larger than a datagram may be; nothing is added.
  template <class T>
  Result<> put(const T& message) {
    const std::size_t begin = writer_.size();
    codec::encode(writer_, message);
    if (writer_.size() - begin > channel_.max_message_bytes()) {
      writer_.cut(begin);
      return fail_errno("send a message: larger than a message may be", EMSGSIZE);
    }
    if (writer_.size() - last_begin_ > channel_.max_message_bytes()) {
      ends_.push_back(begin);
      last_begin_ = begin;
    }
    ++gathered_;
    return {};
  }
  // Enough for one wake of the peer: more would let it idle while we go on gathering.
  bool is_worth_a_flush() const { return gathered_ >= kWorthAFlush; }

  // Into the channel, as far as it takes them. EAGAIN: it is full, and the rest stays.
  Result<> flush() {
    std::size_t sent = 0;
    Result<> outcome;
    while (sent < writer_.size()) {
      const std::size_t end = ends_.empty() ? writer_.size() : ends_.front();
      outcome = channel_.send(writer_.bytes().subspan(sent, end - sent));
      if (!outcome) break;
      sent = end;
      if (!ends_.empty()) ends_.erase(ends_.begin());
    }
    is_full_ = !outcome;
    gathered_ = 0;
    if (outcome) {
      writer_.clear();
      last_begin_ = 0;
    } else if (sent > 0) {  // what has gone takes no room, however long the peer stays behind
      writer_.drop_front(sent);
      for (std::size_t& end : ends_) end -= sent;
      last_begin_ -= sent;
    }
    return outcome;
  }
  bool is_full() const { return is_full_; }  // the last flush left something
  std::size_t held_bytes() const { return writer_.size(); }

 private:
  static constexpr std::size_t kWorthAFlush =
      4;  // measured (scripts/bench --only inspect-fake): 2, or no limit, is slower
  Channel& channel_;
  Writer writer_;                  // what is to be sent
  std::vector<std::size_t> ends_;  // of all datagrams but the last
  std::size_t last_begin_ = 0;     // of the last datagram
  std::size_t gathered_ = 0;       // messages since the last flush
  bool is_full_ = false;
};

}  // namespace sallyport::async
