#include "broker/spawner/left_ranges.hpp"

#include <cerrno>
#include <utility>

#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport::spawner {

void LeftRanges::add(const SessionId& session, std::uint32_t uid_base) {
  std::vector<Lock>& locks = ranges_[session];
  if (uid_base == 0 || !locks.empty()) return;
  // The span may have been another then, and its ranges may have begun elsewhere: whatever shares a uid is taken.
  // Two at most, and not looked for from the first on: the span may have room for millions.
  const std::uint64_t below = uid_base < span_.first ? 0 : (uid_base - span_.first) / limits::kUidsPerSession;
  for (const std::uint64_t number : {below, below + 1}) {
    const std::uint64_t base = span_.first + number * limits::kUidsPerSession;
    if (base + limits::kUidsPerSession - 1 <= span_.last && uid_ranges_overlap(base, uid_base))
      locks.push_back({static_cast<std::uint32_t>(base), UniqueFd()});
  }
}

void LeftRanges::keep(const SessionId& session, std::uint32_t uid_base, UniqueFd lock) {
  ranges_[session].push_back({uid_base, std::move(lock), ""});
}

bool LeftRanges::take_locks() {
  bool has_all = true;
  for (auto& [session, locks] : ranges_)
    for (Lock& lock : locks) {
      if (lock.file) continue;
      auto taken = lock_uid_range(directory_, lock.base);
      if (taken) {
        lock.file = std::move(*taken);
        continue;
      }
      has_all = false;
      const std::string why = taken.error().text();
      if (taken.error().code != EWOULDBLOCK && std::exchange(lock.said, why) != why)
        log::error("the uids of session " + session.text() + ", which is left, cannot be kept from others yet: " + why,
                   {.session = session.text(), .profile = ""});
    }
  return has_all;
}

}  // namespace sallyport::spawner
