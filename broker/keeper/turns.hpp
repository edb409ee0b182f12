// TRUSTED SIDE. So many at once and the others wait, first come, first served. Whoever is cancelled while it waits
// leaves the queue.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "broker/engine/docker_client.hpp"
#include "broker/keeper/one_shot.hpp"

namespace sallyport::keeper {

class Turns;

// Held for as long as it is somebody's turn. Movable.
class Turn {
 public:
  Turn() = default;
  Turn(Turn&&) noexcept = default;
  Turn& operator=(Turn&& other) noexcept {
    if (this == &other) return *this;
    pass_on();
    queue_ = std::move(other.queue_);
    return *this;
  }
  ~Turn() { pass_on(); }

 private:
  friend class Turns;
  struct Queue {
    std::size_t running = 0;
    std::deque<std::shared_ptr<OneShot<bool>>> waiting;
  };
  explicit Turn(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  void pass_on() {
    if (!queue_) return;
    const std::shared_ptr<Queue> queue = std::move(queue_);
    while (!queue->waiting.empty()) {
      const auto next = std::move(queue->waiting.front());
      queue->waiting.pop_front();
      if (next->value()) continue;  // cancelled
      return next->set(true);       // the turn is its own from now on
    }
    --queue->running;
  }
  std::shared_ptr<Queue> queue_;
};

class Turns {
 public:
  Turns(net::any_io_executor executor, std::size_t at_once) : executor_(std::move(executor)), at_once_(at_once) {}

  // Empty: cancelled before its turn came.
  net::awaitable<std::optional<Turn>> wait(engine::Exchange& exchange) {
    const std::shared_ptr<Turn::Queue> queue = queue_;
    if (exchange.cancelled) co_return std::nullopt;
    if (queue->running < at_once_) {
      ++queue->running;
      co_return Turn(queue);
    }
    const auto mine = std::make_shared<OneShot<bool>>(executor_);
    queue->waiting.push_back(mine);
    exchange.on_cancel = [mine] { mine->set(false); };
    co_await mine->wait();
    exchange.on_cancel = nullptr;
    if (!*mine->value()) {
      std::erase(queue->waiting, mine);
      co_return std::nullopt;
    }
    co_return Turn(queue);
  }
  std::size_t waiting() const { return queue_->waiting.size(); }

 private:
  net::any_io_executor executor_;
  std::size_t at_once_;
  std::shared_ptr<Turn::Queue> queue_ = std::make_shared<Turn::Queue>();
};

}  // namespace sallyport::keeper
