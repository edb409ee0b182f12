// TRUSTED SIDE. The attaches to one container. dockerd (20.10 to 28.5, containerAttach in daemon/attach.go) holds one
// that shows output until the container has written or ended, whether its client is there or not, and one to a
// container that never runs for ever, its removal notwithstanding: a connection, five goroutines and 58 KB each. So an
// attach waits here for a start, and those of one run are counted until it is over.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/engine/docker_client.hpp"
#include "broker/keeper/one_shot.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::keeper {

class Attaches {
  struct One {
    explicit One(const net::any_io_executor& executor) : go(executor), settled(executor) {}
    OneShot<bool> go;       // false: it is over without a start
    OneShot<bool> settled;  // dockerd has it, or will not
  };

 public:
  // On the list from here to its end, which settles it.
  class Listed {
   public:
    Listed(std::shared_ptr<Attaches> list, const net::any_io_executor& executor)
        : list_(std::move(list)), one_(std::make_shared<One>(executor)) {
      list_->waiting_.push_back(one_);
    }
    ~Listed() {
      std::erase(list_->waiting_, one_);
      one_->settled.set(true);
    }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;
    // False: over without a start, or cancelled.
    net::awaitable<bool> wait_for_start(engine::Exchange& exchange) {
      const std::shared_ptr<One> one = one_;
      if (exchange.cancelled) co_return false;
      exchange.on_cancel = [one] { one->go.set(false); };
      co_await one->go.wait();
      exchange.on_cancel = nullptr;
      co_return *one->go.value();
    }

   private:
    std::shared_ptr<Attaches> list_;
    std::shared_ptr<One> one_;
  };

  // A start is about to be sent: returns when dockerd has all that wait, so that no output is missed. Those that come
  // meanwhile see that it starts.
  net::awaitable<void> go() {
    const std::vector<std::shared_ptr<One>> now = waiting_;
    for (const auto& one : now) one->go.set(true);
    for (const auto& one : now) co_await one->settled.wait(limits::kUpstreamDeadline);
  }
  // The container is gone.
  void end() {
    for (const auto& one : waiting_) one->go.set(false);
  }

  // Another run is another count.
  void runs_since(std::string_view started_at) {
    if (run_ == started_at) return;
    run_ = started_at;
    of_run_ = 0;
  }
  // False: dockerd may hold as many of this run as it is asked for.
  bool take_one_of_the_run() {
    if (of_run_ >= limits::kMaxAttachesOfARun) return false;
    ++of_run_;
    return true;
  }

  const std::shared_ptr<std::size_t> starting = std::make_shared<std::size_t>(0);  // starts without an answer

 private:
  std::vector<std::shared_ptr<One>> waiting_;
  std::string run_;  // its start, as dockerd tells it
  std::size_t of_run_ = 0;
};

}  // namespace sallyport::keeper
