#include "launcher/host_facts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "sallyport/core_limit.hpp"

namespace sallyport::launcher {
namespace {

// Programs and libraries; of /etc only what programs need to start and to check certificates.
constexpr std::array kHostView = {"/usr",          "/bin",
                                  "/sbin",         "/lib",
                                  "/lib32",        "/lib64",
                                  "/libx32",       "/etc/ld.so.cache",
                                  "/etc/ssl",      "/etc/alternatives",
                                  "/etc/localtime"};
// Made by the launcher in every sandbox, whatever the root holds there.
constexpr std::array kOwnDirectories = {"proc", "sys", "dev", "tmp", "run", ".", ".."};

std::optional<HostEntry> look_at(const std::string& root, const std::string& path) {
  struct stat status{};
  if (::lstat((root + path).c_str(), &status) != 0) return std::nullopt;
  if (S_ISDIR(status.st_mode)) return HostEntry{path, HostEntry::Kind::Directory, ""};
  if (S_ISREG(status.st_mode)) return HostEntry{path, HostEntry::Kind::File, ""};
  if (!S_ISLNK(status.st_mode)) return std::nullopt;
  char target[4096];
  const ssize_t length = ::readlink((root + path).c_str(), target, sizeof target);
  if (length <= 0 || length == sizeof target) return std::nullopt;
  return HostEntry{path, HostEntry::Kind::Link, std::string(target, static_cast<std::size_t>(length))};
}

Result<> list_directory(HostFacts& facts) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(facts.root.c_str()), &::closedir);
  if (!directory) return fail_errno("open sandbox.root " + facts.root);
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (std::ranges::find(kOwnDirectories, name) != kOwnDirectories.end()) continue;
    if (auto found = look_at(facts.root, "/" + name)) facts.entries.push_back(std::move(*found));
  }
  std::ranges::sort(facts.entries, {}, &HostEntry::path);
  if (facts.entries.empty()) return fail("sandbox.root " + facts.root + " is empty: put a root filesystem there");
  return {};
}

std::uint64_t hard_limit(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_max : 0;
}

}  // namespace

Result<HostFacts> gather_host_facts(const SandboxSection& sandbox) {
  HostFacts facts;
  facts.hard_open_files = hard_limit(RLIMIT_NOFILE);
  facts.hard_processes = hard_limit(RLIMIT_NPROC);
  facts.hard_locked_memory = hard_limit(RLIMIT_MEMLOCK);
  facts.hard_pending_signals = hard_limit(RLIMIT_SIGPENDING);
  // Of the launcher: what it starts cannot raise the limit again.
  if (const int error = leave_no_core(); error != 0) return fail_errno("limit core files", error);
  facts.hard_core = hard_limit(RLIMIT_CORE);
  if (!sandbox.host_root) {
    facts.root = sandbox.root_directory;
    TRY(list_directory(facts));
    return facts;
  }
  for (const char* path : kHostView)
    if (auto found = look_at("", path)) facts.entries.push_back(std::move(*found));
  for (const std::string& path : sandbox.readable) {
    auto found = look_at("", path);
    if (!found || found->kind == HostEntry::Kind::Link)
      return fail("sandbox.readable names " + path +
                  ", which is no directory or plain file (a link's destination can be named instead)");
    facts.readable.push_back(std::move(*found));
  }
  return facts;
}

}  // namespace sallyport::launcher
