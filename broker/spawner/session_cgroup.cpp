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
  UniqueFd directory = TRY(open_cgroup(parent, name));
  if (!directory) return fail("open the cgroup " + name + ": it is gone");
  return directory;
}

Result<> move_into(int directory, pid_t pid, const char* doing) {
  const UniqueFd file = UniqueFd::adopt(::openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(pid);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) return fail_errno(doing);
  return {};
}

// Whoever is in a leaf dies with its session, so a stranger must not stay there. It goes to where the broker is itself:
// where it came from nobody knows for certain, and init, whose number it has, was there or below.
Result<> let_go_of_all(int leaf, int home) {
  std::set<pid_t> strangers;
  add_processes_of_tree(leaf, strangers);
  Result<> done;
  for (const pid_t stranger : strangers) {
    auto moved = move_into(home, stranger, "let go of a process that is not the session's init");
    if (!moved && moved.error().code != ESRCH) done = std::move(moved);  // the others are tried all the same
  }
  return done;
}

}  // namespace

Result<> SessionCgroup::kill() const {
  if (directory_) TRY(kill_cgroup_tree(kVersionTwo, directory_.get()));
  return {};
}

Result<bool> SessionCgroup::is_empty() const {
  if (!directory_) return true;
  return is_cgroup_empty(directory_.get());
}

Result<CgroupRoot> CgroupRoot::find() {
  CgroupRoot root;
  root.own_ = TRY(own_cgroup2_path());
  for (const CgroupMount& mount : TRY(list_cgroup_mounts())) {
    if (mount.version != CgroupVersion::Two || !root.own_.starts_with(mount.root)) continue;
    const std::string below = mount.root == "/" ? root.own_ : root.own_.substr(mount.root.size());
    root.path_ = mount.path + (below == "/" ? "" : below);
    root.directory_ = TRY(open_cgroup(AT_FDCWD, root.path_));
    if (!root.directory_) return fail("open the broker's own cgroup " + root.path_ + ": it is gone");
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

Result<> CgroupRoot::adopt_init(const SessionCgroup& session, pid_t pid, const ProcessHandle& init) const {
  TRY(move_into(session.sandbox_.get(), pid, "move init into the session's cgroup"));
  if (!init.has_ended()) return {};  // so the number was its own when it was written
  TRY(let_go_of_all(session.sandbox_.get(), directory_.get()));
  return fail_errno("move init into the session's cgroup: it has ended", ESRCH);
}

Result<bool> CgroupRoot::remove(const SessionId& session) const {
  return remove_cgroup_tree(directory_.get(), name_of(session));
}

Result<bool> CgroupRoot::kill(const SessionId& session) const {
  const UniqueFd directory = TRY(open_cgroup(directory_.get(), name_of(session)));
  if (!directory) return true;
  return kill_cgroup_tree(kVersionTwo, directory.get());
}

void CgroupRoot::add_processes(const SessionId& session, std::set<pid_t>& into) const {
  if (const auto directory = open_cgroup(directory_.get(), name_of(session)); directory && *directory)
    add_processes_of_tree(directory->get(), into);
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
