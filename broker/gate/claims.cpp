#include "broker/gate/claims.hpp"

#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

constexpr std::chrono::milliseconds kInterval{1000};

std::string cut(std::string_view text, std::size_t ceiling) { return std::string(text.substr(0, ceiling)); }

}  // namespace

Claims::Claims(KeeperClient& keeper, Ticker& ticker) : keeper_(keeper), ticker_(ticker) {
  ticker_.add(this, [this](Clock::time_point now) { return flush(now); });
}

// What is beyond the places is told as what it is: others, of which nothing else is known.
Claims::Kind& Claims::kind_of(protocol::GateClaim claim, Named named) {
  const bool made_up = named == Named::MadeUp;
  std::string key = std::string(made_up ? "? " : "") + claim.method.value + ' ' + claim.endpoint.value + ' ' +
                    claim.rule.value + ' ' + std::to_string(claim.http_status);
  auto found = kinds_.find(key);
  const std::size_t taken = made_up ? made_up_ : kinds_.size() - made_up_;
  const std::size_t most = made_up ? limits::kMaxMadeUpClaimKinds : limits::kMaxClaimKinds;
  if (found == kinds_.end() && taken >= most) {
    key = std::string("others ") + (made_up ? "made up" : claim.allowed ? "allowed" : "denied");
    claim.method = {};
    claim.endpoint = claim.rule = {"others"};
    claim.http_status = 0;
    claim.reason = {"more kinds of requests in a minute than are told apart (" + std::to_string(most) + ")"};
    found = kinds_.find(key);
  }
  if (found == kinds_.end()) {
    found = kinds_.emplace(std::move(key), Kind{}).first;
    found->second.made_up = made_up;
    made_up_ += made_up ? 1 : 0;
  }
  found->second.claim = std::move(claim);
  return found->second;
}

void Claims::add(bool allowed, std::uint16_t status, std::string_view method, std::string_view endpoint,
                 std::string_view rule, std::string_view reason, Named named) {
  keeper_.count(allowed);
  Kind& kind = kind_of(
      {allowed, status, cut(method, 16), cut(endpoint, 128), cut(rule, 128), cut(reason, limits::kMaxReasonBytes), 1},
      named);
  ++kind.waiting;
  const Clock::time_point now = Clock::now();
  if (now - kind.told < kInterval || !tell(kind, now)) ticker_.start();
}

bool Claims::tell(Kind& kind, Clock::time_point now) {
  kind.claim.repeated = kind.waiting;
  if (!keeper_.tell(kind.claim)) return false;
  kind.waiting = 0;
  kind.told = now;
  return true;
}

void Claims::tell_early() {
  const Clock::time_point now = Clock::now();
  if (now - told_early_ < kInterval / 10) return;
  told_early_ = now;
  (void)tell_all();  // what the channel does not take waits for the tick
}

bool Claims::tell_all() {
  const Clock::time_point now = Clock::now();
  for (auto& [key, kind] : kinds_)
    if (kind.waiting > 0 && !tell(kind, now)) return false;
  return true;
}

bool Claims::flush(Clock::time_point now) {
  bool more = false;
  for (auto entry = kinds_.begin(); entry != kinds_.end();) {
    Kind& kind = entry->second;
    if (kind.waiting > 0) more = !tell(kind, now) || more;
    const bool stale = kind.waiting == 0 && now - kind.told > 60 * kInterval;
    made_up_ -= stale && kind.made_up ? 1 : 0;
    entry = stale ? kinds_.erase(entry) : std::next(entry);
  }
  return more;
}

}  // namespace sallyport::gate
