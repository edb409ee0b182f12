#include "broker/spawner/container_cgroups.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "broker/spawner/plain_child.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

namespace {

std::string directory_of(const SessionId& session) { return "sallyport-" + session.text(); }
// systemd.slice(5): each dash is a level, so the slice lies within sallyport.slice.
std::string slice_of(const SessionId& session) { return "sallyport-" + session.text() + ".slice"; }
std::string slice_path_of(const SessionId& session) { return "sallyport.slice/" + slice_of(session); }

// Another filesystem lies over it: nobody reaches it by this path, dockerd no more than we.
bool is_covered(const CgroupMount& mount) {
  struct statfs info;
  return ::statfs(mount.path.c_str(), &info) == 0 && info.f_type != CGROUP_SUPER_MAGIC &&
         info.f_type != CGROUP2_SUPER_MAGIC;
}

// By the hierarchy's own root: in what has been mounted over it nothing would be found.
Result<UniqueFd> open_below(const CgroupMount& mount, const std::string& name) {
  const UniqueFd root = TRY(open_cgroup(AT_FDCWD, mount.path));
  if (!root) return UniqueFd();
  return open_cgroup(root.get(), name);
}

}  // namespace

ContainerCgroups::ContainerCgroups(std::vector<CgroupMount> mounts) : mounts_(std::move(mounts)) {
  // The hierarchy that can stop processes goes first: what it kills cannot fork meanwhile.
  std::ranges::sort(mounts_, [](const auto& a, const auto& b) { return a.is_freezer > b.is_freezer; });
}

Result<ContainerCgroups> ContainerCgroups::find() {
  std::vector<CgroupMount> mounts;
  for (CgroupMount& mount : TRY(list_cgroup_mounts()))
    if (!is_covered(mount)) mounts.push_back(std::move(mount));
  return ContainerCgroups(std::move(mounts));
}

// What `visit` says of all of them together. All are tried, whatever is wrong with one.
template <class Visit>
Result<bool> ContainerCgroups::visit_all(const SessionId& session, Visit visit) const {
  Result<bool> done = true;
  for (const CgroupMount& mount : mounts_)
    for (const std::string& name : {directory_of(session), slice_path_of(session)}) {
      const auto directory = open_below(mount, name);
      if (!directory) done = both(std::move(done), std::unexpected(directory.error()));
      if (directory && *directory) done = both(std::move(done), visit(mount, directory->get()));
    }
  return done;
}

Result<bool> ContainerCgroups::kill(const SessionId& session) const {
  // In every hierarchy before the first kill. What cannot be opened now is told by the kill.
  (void)visit_all(session, [](const CgroupMount&, int directory) -> Result<bool> {
    lift_cpu_limits(directory);
    return true;
  });
  Killed killed;
  return visit_all(session, [&killed](const CgroupMount& mount, int directory) {
    return kill_cgroup_tree(mount, directory, killed);
  });
}

void ContainerCgroups::add_processes(const SessionId& session, std::set<pid_t>& into) const {
  (void)visit_all(session, [&into](const CgroupMount&, int directory) -> Result<bool> {
    add_processes_of_tree(directory, into);
    return true;
  });
}

Result<bool> ContainerCgroups::remove(const SessionId& session) const {
  Result<bool> gone = true;
  for (const CgroupMount& mount : mounts_) {
    const auto root = open_cgroup(AT_FDCWD, mount.path);
    if (!root) gone = both(std::move(gone), std::unexpected(root.error()));
    if (root && *root) gone = both(std::move(gone), remove_cgroup_tree(root->get(), directory_of(session)));
  }
  return gone;
}

Result<bool> ContainerCgroups::has_slice(const SessionId& session) const {
  for (const CgroupMount& mount : mounts_)
    if (TRY(open_below(mount, slice_path_of(session)))) return true;
  return false;
}

Result<Child> ContainerCgroups::stop_slice(const SessionId& session, int systemctl, int null_device) {
  if (systemctl < 0)
    return fail("stop " + slice_of(session) +
                ": dockerd uses the systemd cgroup driver, but /usr/bin/systemctl is missing");
  std::string name = slice_of(session);
  char* const argv[] = {const_cast<char*>("systemctl"), const_cast<char*>("stop"), const_cast<char*>("--"), name.data(),
                        nullptr};
  return start_plain(systemctl, argv, null_device);
}

}  // namespace sallyport::spawner
