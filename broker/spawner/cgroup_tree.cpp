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
#include <optional>
#include <sstream>

#include "sallyport/child.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

namespace {

bool write_word(int directory, const char* file, std::string_view word) {
  const UniqueFd out = UniqueFd::adopt(::openat(directory, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  return out && ::write(out.get(), word.data(), word.size()) == static_cast<ssize_t>(word.size());
}

// The cgroup was removed meanwhile: its name is gone, or a file of it that was still open.
bool is_gone(int code) { return code == ENOENT || code == ENODEV; }

// Nothing where the cgroup is gone.
Result<std::optional<std::string>> read_all(int directory, const char* file) {
  const UniqueFd in = UniqueFd::adopt(::openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in && is_gone(errno)) return std::nullopt;
  if (!in) return fail_errno(std::string("open ") + file);
  std::string text;
  std::array<char, 4096> buffer;
  ssize_t size = 0;
  while ((size = ::read(in.get(), buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(size));
  if (size < 0 && is_gone(errno)) return std::nullopt;
  if (size < 0) return fail_errno(std::string("read ") + file);
  return text;
}

Result<std::vector<std::string>> list_children(int directory) {
  std::vector<std::string> names;
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0 && is_gone(errno)) return names;
  if (copy < 0) return fail_errno("open a cgroup to list it");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (!stream) return fail_errno("list a cgroup");
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0 && !is_gone(errno)) return fail_errno("list a cgroup");
  return names;
}

// 0 stands for each process outside our pid namespace.
Result<std::vector<pid_t>> list_processes(int directory) {
  std::istringstream lines(TRY(read_all(directory, "cgroup.procs")).value_or(""));
  std::vector<pid_t> pids;
  for (pid_t pid = 0; lines >> pid;) pids.push_back(pid);
  if (!lines.eof()) return fail("read cgroup.procs: not a list of processes");
  return pids;
}

// A pid is only a number until a pidfd holds its process: what is still listed after the pidfds were opened is what was
// meant, and a signal to what has gone in between reaches nobody.
Result<bool> kill_listed(int directory, Killed& killed) {
  const std::vector<pid_t> pids = TRY(list_processes(directory));
  if (pids.empty()) return true;
  if (std::ranges::none_of(pids, [](pid_t pid) { return pid > 1; }))
    return fail("a cgroup holds a process that this pid namespace does not show");
  std::vector<std::pair<pid_t, ProcessHandle>> handles;
  for (const pid_t pid : pids)
    if (pid > 1 && !killed.contains(pid)) handles.emplace_back(pid, ProcessHandle(UniqueFd::adopt(pidfd_open(pid))));
  if (handles.empty()) return false;
  std::vector<pid_t> still = TRY(list_processes(directory));
  std::ranges::sort(still);
  for (const auto& [pid, handle] : handles)
    if (handle && std::ranges::binary_search(still, pid) && handle.send_signal(SIGKILL)) killed.insert(pid);
  return false;
}

// proc(5): blanks and backslashes of a path are octal there.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const bool escaped = text[i] == '\\' && i + 3 < text.size() &&
                         std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ptr == &text[i + 1] + 3;
    plain += escaped ? static_cast<char>(code) : text[i];
    if (escaped) i += 3;
  }
  return plain;
}

Result<bool> kill_processes_below(int directory, int depth, Killed& killed) {
  Result<bool> was_empty = kill_listed(directory, killed);
  const auto names = list_children(directory);
  if (!names) return both(std::move(was_empty), std::unexpected(names.error()));
  if (depth == limits::kMaxCgroupDepth && !names->empty())
    return fail("a cgroup is nested too deeply to be killed whole");
  for (const std::string& name : *names) {
    const auto child = open_cgroup(directory, name);
    if (!child) was_empty = both(std::move(was_empty), std::unexpected(child.error()));
    if (child && *child) was_empty = both(std::move(was_empty), kill_processes_below(child->get(), depth + 1, killed));
  }
  return was_empty;
}

// Where a hierarchy has no such file nothing is to be lifted in it.
void lift_cpu_limits_below(int directory, int depth) {
  write_word(directory, "cpu.cfs_quota_us", "-1");
  write_word(directory, "cpu.max", "max");
  const auto names = list_children(directory);
  if (!names || depth == limits::kMaxCgroupDepth) return;
  for (const std::string& name : *names)
    if (const auto child = open_cgroup(directory, name); child && *child)
      lift_cpu_limits_below(child->get(), depth + 1);
}

void add_processes_below(int directory, int depth, std::set<pid_t>& into) {
  if (const auto pids = list_processes(directory)) into.insert(pids->begin(), pids->end());
  const auto names = list_children(directory);
  if (!names || depth == limits::kMaxCgroupDepth) return;
  for (const std::string& name : *names)
    if (const auto child = open_cgroup(directory, name); child && *child)
      add_processes_below(child->get(), depth + 1, into);
}

Result<bool> remove_below(int parent, const std::string& name, int depth) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || is_gone(errno)) return true;
  const UniqueFd directory = TRY(open_cgroup(parent, name));
  if (!directory) return true;
  if (depth == limits::kMaxCgroupDepth) return fail("a cgroup is nested too deeply to be removed");
  for (const std::string& child : TRY(list_children(directory.get())))
    if (auto removed = remove_below(directory.get(), child, depth + 1); !removed) return removed;
  return ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || is_gone(errno);
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
    mounts.push_back(
        {type == "cgroup" ? CgroupVersion::One : CgroupVersion::Two, unescape(path), unescape(root), freezer});
  }
  return mounts;
}

Result<std::string> own_cgroup2_path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::/")) return line.substr(3);
  return fail("this process is in no cgroup of version 2");
}

Result<UniqueFd> open_cgroup(int parent, const std::string& name) {
  UniqueFd directory = UniqueFd::adopt(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory && is_gone(errno)) return UniqueFd();
  if (!directory) return fail_errno("open the cgroup " + name);
  struct statfs info;
  if (::fstatfs(directory.get(), &info) != 0) return fail_errno("look at the cgroup " + name);
  if (info.f_type != CGROUP_SUPER_MAGIC && info.f_type != CGROUP2_SUPER_MAGIC) return fail(name + " is no cgroup");
  return directory;
}

Result<bool> is_cgroup_empty(int directory) {
  const auto events = TRY(read_all(directory, "cgroup.events"));
  if (!events || events->find("populated 0") != std::string::npos) return true;
  if (events->find("populated 1") != std::string::npos) return false;
  return fail("read cgroup.events: it does not say whether there are processes");
}

void lift_cpu_limits(int directory) { lift_cpu_limits_below(directory, 0); }

Result<bool> kill_cgroup_tree(const CgroupMount& mount, int directory, Killed& killed) {
  if (mount.version == CgroupVersion::Two) {
    // Killed even where its state cannot be read.
    const Result<bool> empty = is_cgroup_empty(directory);
    if (empty && *empty) return true;
    if (write_word(directory, "cgroup.kill", "1")) return empty;
    return both(empty, kill_processes_below(directory, 0, killed));  // cgroup.kill: Linux 5.14
  }
  // Stopped first, where that can be, so that nothing forks faster than it is listed.
  if (mount.is_freezer) write_word(directory, "freezer.state", "FROZEN");
  Result<bool> was_empty = kill_processes_below(directory, 0, killed);
  if (mount.is_freezer) write_word(directory, "freezer.state", "THAWED");
  return was_empty;
}

Result<bool> kill_cgroup_tree(const CgroupMount& mount, int directory) {
  Killed killed;
  return kill_cgroup_tree(mount, directory, killed);
}

void add_processes_of_tree(int directory, std::set<pid_t>& into) { add_processes_below(directory, 0, into); }

Result<bool> remove_cgroup_tree(int parent, const std::string& name) { return remove_below(parent, name, 0); }

Result<bool> both(Result<bool> one, Result<bool> other) {
  if (!one) return one;
  if (!other) return other;
  return *one && *other;
}

}  // namespace sallyport::spawner
