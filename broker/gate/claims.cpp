#include "broker/gate/claims.hpp"

#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

constexpr std::chrono::seconds kInterval{1};

std::string cut(std::string_view text, std::size_t ceiling) { return std::string(text.substr(0, ceiling)); }

}  // namespace

Claims::Claims(KeeperClient& keeper, Ticker& ticker) : keeper_(keeper), ticker_(ticker) {
  ticker_.add(this, [this](Clock::time_point now) { return flush(now); });
}

void Claims::add(bool allowed, std::uint16_t status, std::string_view method, std::string_view endpoint,
                 std::string_view rule, std::string_view reason) {
  std::string key = cut(method, 16) + ' ' + cut(endpoint, 128) + ' ' + cut(rule, 128) + ' ' + std::to_string(status);
  if (!kinds_.contains(key) && kinds_.size() >= limits::kMaxClaimKinds)
    key = "others " + std::to_string(static_cast<int>(allowed));
  keeper_.count(allowed);
  Kind& kind = kinds_[key];
  kind.claim = {allowed,         status,
                cut(method, 16), cut(endpoint, 128),
                cut(rule, 128),  cut(reason, limits::kMaxReasonBytes),
                kind.waiting + 1};
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
    entry = stale ? kinds_.erase(entry) : std::next(entry);
  }
  return more;
}

}  // namespace sallyport::gate
