// UNTRUSTED SIDE. One session's gate: its connections, its channel to the keeper. One thread; nothing here is locked.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>

#include "broker/async/tasks.hpp"
#include "broker/gate/claims.hpp"
#include "broker/gate/http_session.hpp"
#include "broker/gate/keeper_client.hpp"
#include "broker/gate/ticker.hpp"

namespace sallyport::gate {

struct GateInputs {
  UniqueFd keeper;    // SEQPACKET
  UniqueFd listener;  // the sandbox's docker.sock
  UniqueFd stream;    // the worker's fd 3
};

class Gate {
 public:
  explicit Gate(GateInputs inputs);
  int run();  // until the keeper closes its channel

 private:
  net::awaitable<void> accept_clients();
  net::awaitable<void> serve(UniqueFd fd, ClientKind kind);
  void start_client(UniqueFd fd, ClientKind kind);
  void take_in(UniqueFd fd);
  bool check_waiting(Clock::time_point now);
  void turn_overdue_away();
  net::awaitable<void> turn_away(UniqueFd fd);
  void stop(std::string_view why);
  void tell_what_is_left();

  net::io_context context_{1};
  net::posix::stream_descriptor listener_;
  UniqueFd stream_;
  Ticker ticker_;
  KeeperClient keeper_;
  Claims claims_;
  Waker client_left_;
  std::size_t clients_ = 0;
  struct Waiting {
    UniqueFd client;
    Clock::time_point since;
  };
  std::deque<Waiting> waiting_;   // accepted, and not served while every place is taken
  std::size_t turning_away_ = 0;  // being told that they are not
  Clock::time_point checked_{};
  bool stopping_ = false;
  int exit_code_ = 0;
  async::TaskGroup tasks_;
};

}  // namespace sallyport::gate
