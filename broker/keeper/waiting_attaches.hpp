// TRUSTED SIDE. Attaches to a container that does not run. dockerd holds an attach until the container has run and
// ended, whether or not its client is still there, and for ever if it never runs, its removal notwithstanding (20.10
// to 28.5: containerAttach in daemon/attach.go waits for the container's streams alone): a connection, five goroutines
// and 58 KB each. So it is asked for one only when a start follows at once.
#pragma once

#include <memory>
#include <vector>

#include "broker/engine/docker_client.hpp"
#include "broker/keeper/one_shot.hpp"

namespace sallyport::keeper {

class WaitingAttaches {
 public:
  struct One {
    explicit One(const net::any_io_executor& executor) : go(executor), settled(executor) {}
    OneShot<bool> go;       // false: it is over without a start
    OneShot<bool> settled;  // dockerd has it, or will not
  };
  // On the list from here to its end, which settles it.
  class Listed {
   public:
    Listed(std::shared_ptr<WaitingAttaches> list, std::shared_ptr<One> one)
        : list_(std::move(list)), one_(std::move(one)) {
      list_->all_.push_back(one_);
    }
    ~Listed() {
      std::erase(list_->all_, one_);
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
    std::shared_ptr<WaitingAttaches> list_;
    std::shared_ptr<One> one_;
  };

  // A start is about to be sent: returns when dockerd has all that wait, so that no output is missed.
  net::awaitable<void> go() {
    const std::vector<std::shared_ptr<One>> now = all_;
    for (const auto& one : now) one->go.set(true);
    for (const auto& one : now) co_await one->settled.wait(limits::kUpstreamDeadline);
  }
  // The container is gone.
  void end() {
    for (const auto& one : all_) one->go.set(false);
  }
  std::size_t count() const { return all_.size(); }

 private:
  std::vector<std::shared_ptr<One>> all_;
};

}  // namespace sallyport::keeper
