#include "broker/spawner/left_ranges.hpp"

#include <cerrno>

#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport::spawner {

void LeftRanges::add(const SessionId& session, std::uint32_t uid_base) {
  std::vector<Lock>& locks = ranges_[session];
  if (uid_base == 0 || !locks.empty()) return;
  // The span may have been another then, and its ranges may have begun elsewhere: whatever shares a uid is taken.
  for (std::uint64_t base = span_.first; base + limits::kUidsPerSession - 1 <= span_.last;
       base += limits::kUidsPerSession)
    if (uid_ranges_overlap(base, uid_base)) locks.push_back({static_cast<std::uint32_t>(base), UniqueFd()});
}

bool LeftRanges::take_locks() {
  bool has_all = true;
  for (auto& [session, locks] : ranges_)
    for (Lock& lock : locks) {
      if (lock.file) continue;
      auto taken = lock_uid_range(directory_, lock.base);
      if (taken) lock.file = std::move(*taken);
      else if (taken.error().code != EWOULDBLOCK) log::error(taken.error().text());
      has_all = has_all && (lock.file || taken.error().code != EWOULDBLOCK);
    }
  return has_all;
}

}  // namespace sallyport::spawner
