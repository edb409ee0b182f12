// BOTH SIDES (trusted on each). Takes a session's range of uids under a lock, so that no two sessions share one.
// The lock is a flock(2) on RUNTIME/uids/BASE: it lives as long as any copy of the descriptor, so launcher and keeper
// hold one each and a range is free again only when both the sandbox and the clean-up after it have ended.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport {

struct UidRange {
  std::uint32_t base = 0;
  UniqueFd lock;
  std::uint32_t uid(limits::UidPart part) const { return base + static_cast<std::uint32_t>(part); }
};

inline bool uid_ranges_overlap(std::uint64_t one_base, std::uint64_t other_base) {
  return one_base < other_base + limits::kUidsPerSession && other_base < one_base + limits::kUidsPerSession;
}

inline std::string uid_lock_path(const std::string& runtime_directory, std::uint32_t base) {
  return runtime_directory + "/uids/" + std::to_string(base);
}

// Error EWOULDBLOCK: somebody has it.
inline Result<UniqueFd> lock_uid_range(const std::string& runtime_directory, std::uint32_t base) {
  const std::string path = uid_lock_path(runtime_directory, base);
  UniqueFd lock = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno("open the uid range lock " + path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail_errno("lock " + path);
  return lock;
}

// A free one; none where all are in use. Looked for from anywhere among the first of them: from the first on it would
// be behind all that are in use, and the uids of a session that has just ended would be the next one's. Not from
// anywhere in the span, which may be large: each that was ever taken leaves the file of its lock.
inline Result<std::optional<UidRange>> try_take_uid_range(const std::string& runtime_directory, std::uint32_t first,
                                                          std::uint32_t last) {
  const std::uint64_t size = last < first ? 0 : std::uint64_t{last} - first + 1;
  const std::uint64_t ranges = size / limits::kUidsPerSession;
  const auto now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  // Of the product of a count of nanoseconds with 2^64 / golden ratio the upper bits are spread evenly.
  const std::uint64_t random = (now * 0x9e3779b97f4a7c15U) >> 32;
  const std::uint64_t start = random % std::clamp<std::uint64_t>(ranges, 1, limits::kRangesInTurn);
  for (std::uint64_t tried = 0; tried < ranges; ++tried) {
    const std::uint64_t base = first + (start + tried) % ranges * limits::kUidsPerSession;
    auto lock = lock_uid_range(runtime_directory, static_cast<std::uint32_t>(base));
    if (lock) return UidRange{static_cast<std::uint32_t>(base), std::move(*lock)};
    if (lock.error().code != EWOULDBLOCK) return std::unexpected(lock.error());
  }
  return std::nullopt;
}

// `patience`: where all are in use, one may belong to a session that is about to be gone.
inline Result<UidRange> take_uid_range(const std::string& runtime_directory, std::uint32_t first, std::uint32_t last,
                                       std::chrono::milliseconds patience = {}) {
  const std::string directory = runtime_directory + "/uids";
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + directory);
  const auto give_up = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto range = TRY(try_take_uid_range(runtime_directory, first, last));
    if (range) return std::move(*range);
    if (std::chrono::steady_clock::now() >= give_up) break;
    ::usleep(10'000);
  }
  return fail_for_now("take a uid range: every range of uid_span (" + std::to_string(first) + "-" +
                      std::to_string(last) + ") is in use; end a session or widen uid_span in broker.toml");
}

}  // namespace sallyport
