#include "broker/spawner/container_cgroups.hpp"

#include <fcntl.h>
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

}  // namespace

Result<ContainerCgroups> ContainerCgroups::find() {
  ContainerCgroups found;
  found.mounts_ = TRY(list_cgroup_mounts());
  // The hierarchy that can stop processes goes first: what it kills cannot fork meanwhile.
  std::ranges::sort(found.mounts_, [](const auto& a, const auto& b) { return a.is_freezer > b.is_freezer; });
  return found;
}

bool ContainerCgroups::kill(const SessionId& session) const {
  bool none = true;
  for (const CgroupMount& mount : mounts_)
    for (const std::string& name : {directory_of(session), slice_path_of(session)})
      if (const UniqueFd directory = open_cgroup(AT_FDCWD, mount.path + "/" + name))
        none = kill_cgroup_tree(mount, directory.get()) && none;
  return none;
}

bool ContainerCgroups::remove(const SessionId& session) const {
  bool gone = true;
  for (const CgroupMount& mount : mounts_) {
    const UniqueFd root = open_cgroup(AT_FDCWD, mount.path);
    if (root) gone = remove_cgroup_tree(root.get(), directory_of(session)) && gone;
  }
  return gone;
}

bool ContainerCgroups::has_slice(const SessionId& session) const {
  return std::ranges::any_of(mounts_, [&](const CgroupMount& mount) {
    return static_cast<bool>(open_cgroup(AT_FDCWD, mount.path + "/" + slice_path_of(session)));
  });
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
