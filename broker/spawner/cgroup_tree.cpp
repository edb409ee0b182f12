#include "broker/spawner/cgroup_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <memory>
#include <sstream>

#include "sallyport/child.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

namespace {

constexpr int kMaxDepth = 16;  // a container that makes cgroups of its own needs a few

bool write_word(int directory, const char* file, std::string_view word) {
  const UniqueFd out = UniqueFd::adopt(::openat(directory, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  return out && ::write(out.get(), word.data(), word.size()) == static_cast<ssize_t>(word.size());
}

std::string read_all(int directory, const char* file) {
  std::string text;
  const UniqueFd in = UniqueFd::adopt(::openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::array<char, 4096> buffer;
  ssize_t size = 0;
  while (in && (size = ::read(in.get(), buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(size));
  return text;
}

std::vector<std::string> list_children(int directory) {
  std::vector<std::string> names;
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (!stream) return names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.push_back(name);
  }
  return names;
}

std::vector<pid_t> list_processes(int directory) {
  std::istringstream lines(read_all(directory, "cgroup.procs"));
  std::vector<pid_t> pids;
  for (pid_t pid = 0; lines >> pid;)
    if (pid > 1) pids.push_back(pid);  // 0 is a process outside our pid namespace
  return pids;
}

// A pid is only a number until a pidfd holds its process: what is still listed after the pidfds were opened is what was
// meant, and a signal to what has gone in between reaches nobody.
bool kill_listed(int directory) {
  const std::vector<pid_t> pids = list_processes(directory);
  if (pids.empty()) return true;
  std::vector<std::pair<pid_t, ProcessHandle>> handles;
  for (const pid_t pid : pids) handles.emplace_back(pid, ProcessHandle(UniqueFd::adopt(pidfd_open(pid))));
  const std::vector<pid_t> still = list_processes(directory);
  for (const auto& [pid, handle] : handles)
    if (handle && std::ranges::find(still, pid) != still.end()) (void)handle.send_signal(SIGKILL);
  return false;
}

bool kill_processes_below(int directory, int depth) {
  bool was_empty = kill_listed(directory);
  if (depth == kMaxDepth) return was_empty;
  for (const std::string& name : list_children(directory))
    if (const UniqueFd child = open_cgroup(directory, name))
      was_empty = kill_processes_below(child.get(), depth + 1) && was_empty;
  return was_empty;
}

bool remove_below(int parent, const std::string& name, int depth) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  const UniqueFd directory = open_cgroup(parent, name);
  if (!directory || depth == kMaxDepth) return false;
  for (const std::string& child : list_children(directory.get())) remove_below(directory.get(), child, depth + 1);
  return ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
}

}  // namespace

Result<std::vector<CgroupMount>> list_cgroup_mounts() {
  std::ifstream file("/proc/self/mountinfo");
  if (!file) return fail_errno("read /proc/self/mountinfo");
  std::vector<CgroupMount> mounts;
  for (std::string line; std::getline(file, line);) {
    // proc(5): id parent device root mount-point options… - type source super-options
    std::istringstream words(line);
    std::string skipped, root, path, word, type, source, options;
    words >> skipped >> skipped >> skipped >> root >> path;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type != "cgroup" && type != "cgroup2") continue;
    const bool freezer = type == "cgroup" && ("," + options + ",").find(",freezer,") != std::string::npos;
    mounts.push_back({type == "cgroup" ? CgroupVersion::One : CgroupVersion::Two, path, root, freezer});
  }
  return mounts;
}

Result<std::string> own_cgroup2_path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::/")) return line.substr(3);
  return fail("this process is in no cgroup of version 2");
}

UniqueFd open_cgroup(int parent, const std::string& name) {
  UniqueFd directory = UniqueFd::adopt(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  struct statfs info;
  if (!directory || ::fstatfs(directory.get(), &info) != 0) return {};
  if (info.f_type != CGROUP_SUPER_MAGIC && info.f_type != CGROUP2_SUPER_MAGIC) return {};
  return directory;
}

bool kill_cgroup_tree(const CgroupMount& mount, int directory) {
  if (mount.version == CgroupVersion::Two) {
    if (read_all(directory, "cgroup.events").find("populated 1") == std::string::npos) return true;
    if (!write_word(directory, "cgroup.kill", "1")) kill_processes_below(directory, 0);  // cgroup.kill: Linux 5.14
    return false;
  }
  // Stopped first, where that can be, so that nothing forks faster than it is listed.
  if (mount.is_freezer) write_word(directory, "freezer.state", "FROZEN");
  const bool was_empty = kill_processes_below(directory, 0);
  if (mount.is_freezer) write_word(directory, "freezer.state", "THAWED");
  return was_empty;
}

bool remove_cgroup_tree(int parent, const std::string& name) { return remove_below(parent, name, 0); }

}  // namespace sallyport::spawner
