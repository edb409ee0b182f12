#include "broker/engine/places.hpp"

#include <algorithm>
#include <string>

namespace sallyport::engine {

Result<PlaceBounds> bounds_that_fit(std::size_t sessions, std::size_t openers, std::size_t descriptors) {
  PlaceBounds bounds{.sessions = sessions, .common = 0, .openers = openers};
  while (bounds.descriptors() > descriptors && bounds.share > limits::kLeastDockerdShare) --bounds.share;
  const std::size_t least = bounds.descriptors();
  if (least > descriptors)
    return fail("max_sessions is " + std::to_string(sessions) + ": the shares of so many sessions need " +
                std::to_string(least) + " open files, and this process may have " + std::to_string(descriptors) +
                ": raise LimitNOFILE of the broker's unit (ulimit -n), or lower max_sessions in broker.toml");
  bounds.common = std::min(limits::kCommonDockerdConnections, (descriptors - least) / limits::kDescriptorsPerStream);
  return bounds;
}

std::size_t Share::common(const PlaceBounds& bounds) const {
  if (is_keepers) return 0;
  const std::size_t streams_within = std::min(streams, bounds.for_streams());
  const std::size_t requests_within = std::min(requests, bounds.share - streams_within);
  return streams - streams_within + requests - requests_within;
}

Place& Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  share_ = std::move(other.share_);
  common_ = std::move(other.common_);
  holding_ = other.holding_;
  return *this;
}

void Place::give_back() {
  if (!share_) return;
  const std::size_t before = share_->common(common_->bounds);
  --(holding_ == Holding::Stream ? share_->streams : share_->requests);
  common_->taken -= before - share_->common(common_->bounds);
  share_.reset();
}

std::optional<Place> Places::take(const std::shared_ptr<Share>& share, Holding holding) {
  if (share->is_keepers && share->requests >= bounds().keepers()) return {};
  std::size_t& held = holding == Holding::Stream ? share->streams : share->requests;
  const std::size_t before = share->common(bounds());
  ++held;
  const std::size_t more = share->common(bounds()) - before;
  if (common_->taken + more > bounds().common) {
    --held;
    return {};
  }
  common_->taken += more;
  return Place(share, common_, holding);
}

}  // namespace sallyport::engine
