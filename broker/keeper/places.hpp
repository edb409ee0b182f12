// TRUSTED SIDE. So many at once, and none that is slow holds up the others: who has had a place for some time gives it
// away and goes on without. One place is held by one shared pointer, and is free again when that is dropped.
#pragma once

#include <cstddef>
#include <memory>

#include "broker/async/tasks.hpp"
#include "broker/keeper/one_shot.hpp"

namespace sallyport::keeper {

class Places {
 public:
  class Held;
  using Place = std::shared_ptr<Held>;
  Places(net::any_io_executor executor, std::size_t most, std::chrono::milliseconds kept);

  net::awaitable<Place> take();  // in the order of asking

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sallyport::keeper
