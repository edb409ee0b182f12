// BOTH SIDES (trusted on each). Takes a session's range of uids under a lock, so that no two sessions share one.
// The lock is a flock(2) on RUNTIME/uids/BASE: it lives as long as any copy of the descriptor, so launcher and keeper
// hold one each and a range is free again only when both the sandbox and the clean-up after it have ended.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdint>
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

inline std::string uid_lock_path(const std::string& runtime_directory, std::uint32_t base) {
  return runtime_directory + "/uids/" + std::to_string(base);
}

inline Result<UidRange> take_uid_range(const std::string& runtime_directory, std::uint32_t first, std::uint32_t last) {
  const std::string directory = runtime_directory + "/uids";
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + directory);
  for (std::uint64_t base = first; base + limits::kUidsPerSession - 1 <= last; base += limits::kUidsPerSession) {
    const std::string path = uid_lock_path(runtime_directory, static_cast<std::uint32_t>(base));
    UniqueFd lock = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return fail_errno("open the uid range lock " + path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return UidRange{static_cast<std::uint32_t>(base), std::move(lock)};
    if (errno != EWOULDBLOCK) return fail_errno("lock " + path);
  }
  return fail("take a uid range: every range of uid_span (" + std::to_string(first) + "-" + std::to_string(last) +
              ") is in use; end a session or widen uid_span in broker.toml");
}

}  // namespace sallyport
