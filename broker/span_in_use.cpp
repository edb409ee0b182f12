#include "broker/span_in_use.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>

#include "sallyport/ids.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport {
namespace {

// The real uid, from /proc/PID/status (proc(5)).
std::optional<std::uint32_t> uid_of(const std::string& pid) {
  std::ifstream status("/proc/" + pid + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Uid:")) return static_cast<std::uint32_t>(std::strtoul(line.c_str() + 4, nullptr, 10));
  return std::nullopt;  // it has ended
}

bool is_held(const BrokerConfig& config, std::uint32_t uid) {
  const std::uint32_t base = uid - (uid - config.uid_span.first) % limits::kUidsPerSession;
  const std::string path = uid_lock_path(config.runtime_directory, base);
  const UniqueFd lock = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0;
}

}  // namespace

std::string foreign_processes(const BrokerConfig& config) {
  constexpr std::size_t kMostNamed = 5;
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(::opendir("/proc"), ::closedir);
  std::string named;
  std::size_t count = 0;
  while (const dirent* entry = processes ? ::readdir(processes.get()) : nullptr) {
    const std::string pid = entry->d_name;
    if (!detail::all(pid, detail::is_digit)) continue;
    const auto uid = uid_of(pid);
    if (!uid || *uid < config.uid_span.first || *uid > config.uid_span.last || is_held(config, *uid)) continue;
    if (++count <= kMostNamed) named += (named.empty() ? "" : ", ") + pid + " as uid " + std::to_string(*uid);
  }
  if (count == 0) return "";
  if (count > kMostNamed) named += ", and " + std::to_string(count - kMostNamed) + " more";
  return "uid_span is not ours alone: processes of no session run under its uids (" + named +
         "). What an earlier broker has left is ended now; if they are another's, name another uid_span in broker.toml";
}

}  // namespace sallyport
