#include "broker/spawner/session_cgroup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "broker/spawner/cgroup_tree.hpp"

namespace sallyport::spawner {

namespace {

std::string name_of(const SessionId& session) { return "sallyport-" + session.text(); }

const CgroupMount kVersionTwo{CgroupVersion::Two, "", "", false};

Result<UniqueFd> make_directory(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make the cgroup " + name);
  UniqueFd directory = open_cgroup(parent, name);
  if (!directory) return fail_errno("open the cgroup " + name);
  return directory;
}

}  // namespace

Result<> SessionCgroup::adopt_init(pid_t pid) const {
  const UniqueFd file = UniqueFd::adopt(::openat(sandbox_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(pid);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0)
    return fail_errno("move init into the session's cgroup");
  return {};
}

void SessionCgroup::kill() const {
  if (directory_) (void)kill_cgroup_tree(kVersionTwo, directory_.get());
}

bool SessionCgroup::is_empty() const {
  if (!directory_) return true;
  const UniqueFd file = UniqueFd::adopt(::openat(directory_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  char text[256] = {};
  if (!file || ::read(file.get(), text, sizeof text - 1) <= 0) return true;  // removed
  return std::string_view(text).find("populated 1") == std::string_view::npos;
}

Result<CgroupRoot> CgroupRoot::find() {
  CgroupRoot root;
  root.own_ = TRY(own_cgroup2_path());
  for (const CgroupMount& mount : TRY(list_cgroup_mounts())) {
    if (mount.version != CgroupVersion::Two || !root.own_.starts_with(mount.root)) continue;
    const std::string below = mount.root == "/" ? root.own_ : root.own_.substr(mount.root.size());
    root.path_ = mount.path + (below == "/" ? "" : below);
    root.directory_ = open_cgroup(AT_FDCWD, root.path_);
    if (!root.directory_) return fail_errno("open the broker's own cgroup " + root.path_);
    return root;
  }
  return fail("no cgroup2 hierarchy is mounted");
}

Result<SessionCgroup> CgroupRoot::make(const SessionId& session) const {
  SessionCgroup made;
  made.directory_ = TRY(make_directory(directory_.get(), name_of(session)));
  made.sandbox_ = TRY(make_directory(made.directory_.get(), "sandbox"));
  made.gate_ = TRY(make_directory(made.directory_.get(), "gate"));
  made.relay_ = TRY(make_directory(made.directory_.get(), "relay"));
  return made;
}

bool CgroupRoot::remove(const SessionId& session) const {
  return remove_cgroup_tree(directory_.get(), name_of(session));
}

void CgroupRoot::kill(const SessionId& session) const {
  if (const UniqueFd directory = open_cgroup(directory_.get(), name_of(session)))
    (void)kill_cgroup_tree(kVersionTwo, directory.get());
}

bool CgroupRoot::may_adopt(pid_t pid) const {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::")) continue;
    const std::string path = line.substr(3);
    return path == "/" || path == own_ || path.starts_with(own_ + "/");
  }
  return false;
}

}  // namespace sallyport::spawner
