// TRUSTED SIDE. What is done to a directory of a cgroup hierarchy with everything below it, by descriptors and without
// following symlinks: killing, and removal. Both are tried again by the caller until they are done. What is gone
// (ENOENT, ENODEV) holds nothing; what cannot be opened or read is an error, never "nothing is left".
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <unordered_set>
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

// `name` is below `parent`; neither a symlink nor another kind of filesystem is entered. Nothing where it is missing.
Result<UniqueFd> open_cgroup(int parent, const std::string& name);

// Version 2: whether no process is in it or below it.
Result<bool> is_cgroup_empty(int directory);

// Of it and all below. A process gives its memory back while it dies, and one of a small share would take long over it.
void lift_cpu_limits(int directory);
// What one pass over several hierarchies has killed: a process is in each of them, and dies once.
using Killed = std::unordered_set<pid_t>;
// Kills every process in the tree that is not among the `killed`. True if there was none of either.
Result<bool> kill_cgroup_tree(const CgroupMount& mount, int directory, Killed& killed);
Result<bool> kill_cgroup_tree(const CgroupMount& mount, int directory);

// The processes in the tree, as far as they can be listed: for words about those that do not end.
void add_processes_of_tree(int directory, std::set<pid_t>& into);

// Removes the tree; true once it is gone, false while it is in use.
Result<bool> remove_cgroup_tree(int parent, const std::string& name);

// Of two that were both tried: the first error, else whether both are done.
Result<bool> both(Result<bool> one, Result<bool> other);

}  // namespace sallyport::spawner
