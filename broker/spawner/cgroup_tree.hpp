// TRUSTED SIDE. What is done to a directory of a cgroup hierarchy with everything below it, by descriptors and without
// following symlinks: killing, and removal. Both are tried again by the caller until they are done.
#pragma once

#include <string>
#include <vector>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

enum class CgroupVersion { One, Two };

struct CgroupMount {
  CgroupVersion version = CgroupVersion::One;
  std::string path;
  std::string root;         // what of the hierarchy is mounted there: "/", or a part in a container
  bool is_freezer = false;  // the version 1 hierarchy that can stop what it kills
};

// The mounted hierarchies, from /proc/self/mountinfo.
Result<std::vector<CgroupMount>> list_cgroup_mounts();

Result<std::string> own_cgroup2_path();  // from /proc/self/cgroup: "/" or "/system.slice/…"

// `name` is below `parent`; neither a symlink nor another kind of filesystem is entered. No error where it is missing.
UniqueFd open_cgroup(int parent, const std::string& name);

// Kills every process in the tree. True if there was none.
bool kill_cgroup_tree(const CgroupMount& mount, int directory);

// Removes the tree; true once it is gone.
bool remove_cgroup_tree(int parent, const std::string& name);

}  // namespace sallyport::spawner
