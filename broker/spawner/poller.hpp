// TRUSTED SIDE. The spawner's loop: one epoll instance, callbacks for descriptors and one-shot timers. No Asio, no
// threads, no allocation by anything but us: this process holds capabilities, so what it runs is small enough to read.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

class Poller;

// While it lives the descriptor is watched. Declare it after the descriptor in a class: it must go first, because epoll
// watches the open file, which another process may keep open after we have closed our number for it.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { reset(); }
  void reset();

 private:
  friend class Poller;
  Watch(Poller* poller, std::uint64_t token, int fd) : poller_(poller), token_(token), fd_(fd) {}
  Poller* poller_ = nullptr;
  std::uint64_t token_ = 0;
  int fd_ = -1;  // borrowed: the descriptor outlives its watch
};

class Poller {
 public:
  using Callback = std::function<void()>;
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<Poller>> create();
  // Level-triggered: called again and again while the descriptor is ready.
  Result<Watch> watch(int fd, std::uint32_t events, Callback on_ready);
  void after(Clock::duration delay, Callback callback);
  // Waits for the next event or timer and calls what is due.
  Result<> run_once();

 private:
  friend class Watch;
  explicit Poller(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  void forget(std::uint64_t token, int fd);
  int milliseconds_to_next_timer() const;
  void call_due_timers();

  UniqueFd epoll_;
  std::uint64_t next_token_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Callback>> callbacks_;
  std::multimap<Clock::time_point, Callback> timers_;
};

}  // namespace sallyport::spawner
