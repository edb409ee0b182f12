// TRUSTED SIDE. Who holds how many connections to dockerd, and whether one more may be. A place is held for as long as
// its connection lives, whoever reads it: a request until its answer, a wait, an attach or a log stream until its end.
// Each session has a share that no other can take, and part of it that its own streams cannot take either; what is
// beyond the shares is common. The keeper's own requests (endings, reaping) have places of their own. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"

namespace sallyport::engine {

enum class Holding : unsigned char { Request, Stream };  // a stream ends when the client or the container does

struct PlaceBounds {
  std::size_t sessions = 1;
  std::size_t common = limits::kCommonDockerdConnections;
  std::size_t share = limits::kDockerdShare;          // of each session; and what its ending has at once
  std::size_t openers = limits::kMaxWaitingForPlace;  // that wait for a session's place

  std::size_t for_streams() const { return share - limits::kDockerdShareForRequests; }
  // Every session may be ending, and an earlier broker's be reaped.
  std::size_t keepers() const {
    return (sessions + limits::kMaxReapedAtOnce) * share + limits::kKeeperDockerdConnections;
  }
  std::size_t of_sessions() const { return sessions * share + common; }
  // Of the keeper process, when every place is taken.
  std::size_t descriptors() const {
    const std::size_t streams = sessions * for_streams() + common;
    return streams * limits::kDescriptorsPerStream + sessions * limits::kDockerdShareForRequests + keepers() +
           limits::kMaxIdleUpstreams + sessions * limits::kDescriptorsPerSession + limits::kKeeperDescriptors +
           openers * limits::kDescriptorsPerOpener;
  }
};
// The bounds for so many sessions and waiting openers that fit into so many descriptors: with a smaller common part,
// and with smaller shares, where need be. Error: not even the least shares fit.
Result<PlaceBounds> bounds_that_fit(std::size_t sessions, std::size_t openers, std::size_t descriptors);

// One session's part, or the keeper's own.
struct Share {
  std::size_t requests = 0;
  std::size_t streams = 0;
  bool is_keepers = false;
  // How many of them are beyond the share, and so common.
  std::size_t common(const PlaceBounds& bounds) const;
};

class Places;

// One connection. Movable; gives the place back at its end.
class Place {
 public:
  Place() = default;
  Place(Place&& other) noexcept = default;
  Place& operator=(Place&& other) noexcept;
  ~Place() { give_back(); }
  explicit operator bool() const { return share_ != nullptr; }

 private:
  friend class Places;
  struct Common {
    PlaceBounds bounds;
    std::size_t taken = 0;
  };
  Place(std::shared_ptr<Share> share, std::shared_ptr<Common> common, Holding holding)
      : share_(std::move(share)), common_(std::move(common)), holding_(holding) {}
  void give_back();
  std::shared_ptr<Share> share_;
  std::shared_ptr<Common> common_;
  Holding holding_ = Holding::Request;
};

class Places {
 public:
  explicit Places(const PlaceBounds& bounds) : common_(std::make_shared<Place::Common>(Place::Common{bounds})) {
    keeper_->is_keepers = true;
  }
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  // Empty: the share is used up, and what is common too.
  std::optional<Place> take(const std::shared_ptr<Share>& share, Holding holding);
  std::optional<Place> take_for_keeper() { return take(keeper_, Holding::Request); }
  const PlaceBounds& bounds() const { return common_->bounds; }
  std::size_t common_taken() const { return common_->taken; }

 private:
  std::shared_ptr<Share> keeper_ = std::make_shared<Share>();
  std::shared_ptr<Place::Common> common_;
};

}  // namespace sallyport::engine
