#include "broker/keeper/places.hpp"

#include <deque>

namespace sallyport::keeper {

using Offer = OneShot<Places::Place>;

struct Places::State {
  net::any_io_executor executor;
  std::size_t free;
  std::chrono::milliseconds kept;
  std::deque<std::weak_ptr<Offer>> waiting;  // none behind it: who waited is gone
};

class Places::Held {
 public:
  explicit Held(std::shared_ptr<State> state) : state_(std::move(state)), timer_(state_->executor, state_->kept) {}
  ~Held() { give_away(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  static Place make(const std::shared_ptr<State>& state) {
    const Place place = std::make_shared<Held>(state);
    place->timer_.async_wait([weak = std::weak_ptr(place)](const boost::system::error_code& error) {
      if (const Place held = weak.lock(); held && !error) held->give_away();
    });
    return place;
  }

 private:
  void give_away() {
    const std::shared_ptr<State> state = std::exchange(state_, nullptr);
    if (!state) return;
    while (!state->waiting.empty()) {
      const std::shared_ptr<Offer> next = state->waiting.front().lock();
      state->waiting.pop_front();
      if (next) return next->set(make(state));
    }
    ++state->free;
  }

  std::shared_ptr<State> state_;
  net::steady_timer timer_;
};

Places::Places(net::any_io_executor executor, std::size_t most, std::chrono::milliseconds kept)
    : state_(std::make_shared<State>(std::move(executor), most, kept)) {}

net::awaitable<Places::Place> Places::take() {
  const std::shared_ptr<State> state = state_;
  if (state->free > 0) {
    --state->free;
    co_return Held::make(state);
  }
  const auto offer = std::make_shared<Offer>(state->executor);
  state->waiting.push_back(offer);
  co_await offer->wait();
  co_return *offer->value();
}

}  // namespace sallyport::keeper
