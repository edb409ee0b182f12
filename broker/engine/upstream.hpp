// TRUSTED SIDE, EXPOSED INPUT. One connection to dockerd: a request out, a bounded reply in. Beast's parser decides
// what a reply is; everything it refuses, and everything unexpected, closes the connection. Whoever waits on it is
// woken with an error by abort(): that, and the client's deadlines, end every wait.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "broker/async/starved.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::engine {

namespace net = boost::asio;

class MemoryGauge;

struct ReplyHead {
  unsigned status = 0;
  bool upgraded_to_tcp = false;  // 101 with Upgrade: tcp
};

struct Reply {
  unsigned status = 0;
  std::string body;
};

class Upstream {
 public:
  Upstream(net::any_io_executor executor, UniqueFd connected);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // A request and the whole reply to it. EMSGSIZE where its body is above `most`; ENOMEM where it is large and `memory`
  // nears its ceiling: the rest is for what is small.
  net::awaitable<Result<Reply>> exchange(std::string_view request, std::size_t most, MemoryGauge* memory = nullptr);

  // The same in parts, for what streams.
  net::awaitable<Result<>> send(std::string_view request);
  // Begins a reply. Interim 100s do not occur: no request of ours asks for them.
  net::awaitable<Result<ReplyHead>> read_head();
  // The rest of the reply. EMSGSIZE above `most`.
  net::awaitable<Result<std::string>> read_body(std::size_t most);
  // The next part of the body, at least one byte; empty at its end. Valid until the next call.
  net::awaitable<Result<std::string_view>> read_part();

  void abort();               // whoever waits gets ECANCELED
  void expire();              // the same with ETIMEDOUT
  bool is_reusable() const;   // after a whole reply
  bool is_alive() const;      // idle: nothing to read, not closed
  bool has_answered() const;  // some byte of the current reply has come
  // After 101 only: what dockerd sent behind its head, and the connection itself, which is used here no more.
  std::string take_early();
  UniqueFd release();

  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();

 private:
  class Parser;
  enum class Until : unsigned char { Head, SomeBody, End, EndOfExchange };  // the last: expected soon
  void begin();
  Result<std::size_t> send_now(std::string_view request);  // what the socket takes
  net::awaitable<Result<>> send_rest(std::string_view request);
  static constexpr std::size_t kAnySize = static_cast<std::size_t>(-1);
  net::awaitable<Result<>> read_until(Until until, std::size_t most = kAnySize, MemoryGauge* memory = nullptr);
  Result<> check_size(std::size_t most, MemoryGauge* memory) const;
  Result<bool> parse(Until until);  // what has been read; true where that is enough
  Result<> drop_parsed();
  enum class Read : unsigned char { Some, Nothing, End };
  Read take(std::string_view bytes);  // what a read gave
  Result<Read> read_now();
  Result<> finish_at_end();
  int failure(int code) const { return ended_by_ != 0 ? ended_by_ : code; }

  net::local::stream_protocol::socket socket_;
  std::string input_;  // read from the socket; not yet parsed from parsed_ on. Empty while a stream waits
  std::size_t parsed_ = 0;
  bool more_is_likely_ = false;  // the last read filled its buffer
  std::size_t head_bytes_ = 0;   // that the parser has taken of a head
  async::Starved starved_;
  std::unique_ptr<Parser> parser_;
  std::string handed_out_;  // what read_part() returned last
  int ended_by_ = 0;
};

}  // namespace sallyport::engine
