// TRUSTED SIDE. The spawner's end of its channel to the keeper. Answers and events go out as soon as they are known.
// What does not fit the socket waits here, up to a bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
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
  std::uint32_t number = 0;  // of the request, for its answer
  protocol::spawner::ToSpawner message;
  std::vector<UniqueFd> fds;
};

class KeeperLink {
 public:
  KeeperLink(Poller& poller, UniqueFd channel) : poller_(poller), channel_(std::move(channel)) {}
  // `on_request` for each request; `on_lost` once, when the keeper has closed, does not read, or broke the protocol.
  Result<> start(std::function<void(Incoming)> on_request, std::function<void(const Error&)> on_lost);

  void answer(std::uint32_t number, Outgoing outgoing);
  void tell(Outgoing outgoing) { answer(0, std::move(outgoing)); }  // what nobody asked for
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
  struct Queued {
    protocol::spawner::FromSpawnerEnvelope envelope;
    std::vector<UniqueFd> fds;
  };
  std::deque<Queued> queue_;
  std::function<void(Incoming)> on_request_;
  std::function<void(const Error&)> on_lost_;
};

}  // namespace sallyport::spawner
