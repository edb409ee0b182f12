#include "broker/gate/ticker.hpp"

#include <algorithm>

namespace sallyport::gate {

namespace {
constexpr std::chrono::seconds kTick{1};
}  // namespace

void Ticker::add(const void* owner, Check check) { entries_.push_back({owner, std::move(check)}); }

void Ticker::remove(const void* owner) {
  std::erase_if(entries_, [owner](const Entry& entry) { return entry.owner == owner; });
}

void Ticker::start() {
  if (running_) return;
  running_ = true;
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

void Ticker::tick() {
  running_ = false;
  const Clock::time_point now = now_();
  bool more = false;
  // By index: a check may end a connection only by cancelling it, which takes effect after this loop.
  for (std::size_t i = 0; i < entries_.size(); ++i) more = entries_[i].check(now) || more;
  if (more) start();
}

}  // namespace sallyport::gate
