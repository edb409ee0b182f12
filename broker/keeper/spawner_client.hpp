// TRUSTED SIDE. The keeper's end of its channel to the spawner: asks, and hears of ended children and finished dials.
// An answer is found by its request's number. When the channel ends the broker ends: without the spawner nothing can be
// killed any more.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/async/channel.hpp"
#include "broker/keeper/one_shot.hpp"
#include "broker/protocol/spawner_messages.hpp"

namespace sallyport::keeper {

class SpawnerClient {
 public:
  struct Answer {
    protocol::spawner::FromSpawner message;
    std::vector<UniqueFd> fds;
  };
  using OnChildEnded = std::function<void(const protocol::spawner::ChildEnded&)>;
  using OnDialDone = std::function<void(const protocol::spawner::DialDone&, UniqueFd)>;
  using OnClosed = std::function<void(const std::string& why)>;

  SpawnerClient(net::any_io_executor executor, UniqueFd channel);

  // Reads until the channel ends.
  net::awaitable<void> receive(OnChildEnded on_child_ended, OnDialDone on_dial_done, OnClosed on_closed);

  // `fds` are borrowed until this returns.
  net::awaitable<Result<Answer>> ask(protocol::spawner::ToSpawner request, std::vector<int> fds = {});
  // Asks until the session's processes have ended and its cgroup is gone: so long its uids must not be used again.
  // `on_failure` hears each new reason why not. Error: the spawner has ended, and the broker is about to; what is left
  // is the next one's.
  net::awaitable<Result<>> remove_cgroup(protocol::spawner::RemoveCgroup request,
                                         std::function<void(const std::string& why)> on_failure);
  net::awaitable<Result<>> dial(protocol::spawner::Dial request);  // answered by on_dial_done
  net::awaitable<Result<>> stops_within(std::chrono::seconds time);

 private:
  using Waiting = OneShot<std::shared_ptr<Answer>>;
  net::awaitable<Result<>> send(const protocol::spawner::ToSpawner& request, const std::vector<int>& fds,
                                std::shared_ptr<Waiting> waiting);
  net::any_io_executor executor_;
  async::Channel channel_;
  std::map<std::uint32_t, std::shared_ptr<Waiting>> waiting_;  // by the number of the request
  std::uint32_t last_number_ = 0;
  bool closed_ = false;
};

}  // namespace sallyport::keeper
