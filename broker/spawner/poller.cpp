#include "broker/spawner/poller.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace sallyport::spawner {

namespace {
constexpr std::chrono::milliseconds kTimersTake{5};
}

Watch::Watch(Watch&& other) noexcept
    : poller_(std::exchange(other.poller_, nullptr)), token_(other.token_), fd_(other.fd_) {}

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    poller_ = std::exchange(other.poller_, nullptr);
    token_ = other.token_;
    fd_ = other.fd_;
  }
  return *this;
}

void Watch::reset() {
  if (poller_ != nullptr) std::exchange(poller_, nullptr)->forget(token_, fd_);
}

Result<std::unique_ptr<Poller>> Poller::create() {
  UniqueFd epoll = UniqueFd::adopt(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("make an epoll instance");
  return std::unique_ptr<Poller>(new Poller(std::move(epoll)));
}

Result<Watch> Poller::watch(int fd, std::uint32_t events, Callback on_ready) {
  const std::uint64_t token = next_token_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("watch a descriptor");
  callbacks_.emplace(token, std::make_shared<Callback>(std::move(on_ready)));
  return Watch(this, token, fd);
}

void Poller::after(Clock::duration delay, Callback callback) {
  timers_.emplace(Clock::now() + delay, std::move(callback));
}

void Poller::forget(std::uint64_t token, int fd) {
  callbacks_.erase(token);
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int Poller::milliseconds_to_next_timer() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

// Those that take long have the descriptors between them, and what they start anew does not go first.
void Poller::call_due_timers() {
  const Clock::time_point begun = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= begun && Clock::now() - begun < kTimersTake) {
    Callback callback = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    callback();
  }
}

Result<> Poller::run_once() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), milliseconds_to_next_timer());
  if (count < 0 && errno != EINTR) return fail_errno("wait for events");
  for (int i = 0; i < count; ++i) {
    const std::uint64_t token = events[static_cast<std::size_t>(i)].data.u64;  // packed: no reference to it
    // An earlier callback of this batch may have ended this watch; the copy keeps a callback alive that ends its own.
    const auto found = callbacks_.find(token);
    if (found == callbacks_.end()) continue;
    const std::shared_ptr<Callback> callback = found->second;
    (*callback)();
  }
  call_due_timers();
  return {};
}

}  // namespace sallyport::spawner
