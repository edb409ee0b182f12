// TRUSTED SIDE. The spawner's end of its channel to the keeper. Answers go out in the order of the requests, whenever
// each becomes known; events go out at once. What does not fit the socket waits here, up to a bound.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "broker/protocol/spawner_messages.hpp"
#include "broker/spawner/poller.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

struct Outgoing {
  protocol::spawner::FromSpawner message;
  std::vector<UniqueFd> fds;
};

struct Incoming {
  protocol::spawner::ToSpawner message;
  std::vector<UniqueFd> fds;
};

class KeeperLink {
 public:
  // A place in the order of answers, filled once.
  using Slot = std::shared_ptr<std::optional<Outgoing>>;

  KeeperLink(Poller& poller, UniqueFd channel) : poller_(poller), channel_(std::move(channel)) {}
  // `on_request` for each request; `on_lost` once, when the keeper has closed, does not read, or broke the protocol.
  Result<> start(std::function<void(Incoming)> on_request, std::function<void(const Error&)> on_lost);

  Slot next_answer();
  void answer(const Slot& slot, Outgoing outgoing);
  void tell(Outgoing outgoing);
  void close();

 private:
  void receive();
  void flush();
  void lose(const Error& error);

  Poller& poller_;
  UniqueFd channel_;
  Watch read_watch_;
  std::optional<Watch> write_watch_;
  UniqueFd write_copy_;  // epoll takes a descriptor once: this one is watched for room
  std::deque<Slot> slots_;
  std::deque<Outgoing> queue_;
  std::function<void(Incoming)> on_request_;
  std::function<void(const Error&)> on_lost_;
};

}  // namespace sallyport::spawner
