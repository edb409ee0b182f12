// TRUSTED SIDE. The cgroups that dockerd makes for a session's containers, below the parent that the keeper names:
// sallyport-SESSION in each hierarchy (cgroupfs driver; runc leaves it behind), or sallyport-SESSION.slice (systemd
// driver). Their processes die here even while dockerd does not answer.
#pragma once

#include <vector>

#include "broker/spawner/cgroup_tree.hpp"
#include "sallyport/child.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::spawner {

class ContainerCgroups {
 public:
  static Result<ContainerCgroups> find();
  explicit ContainerCgroups(std::vector<CgroupMount> mounts = {});

  // Kills all; true if there was no process. To be called until it says so.
  Result<bool> kill(const SessionId& session) const;
  void add_processes(const SessionId& session, std::set<pid_t>& into) const;
  // cgroupfs driver. True once nothing is left in any hierarchy.
  Result<bool> remove(const SessionId& session) const;
  // systemd driver: whether a slice of the session's exists, and the child that stops it.
  Result<bool> has_slice(const SessionId& session) const;
  static Result<Child> stop_slice(const SessionId& session, int systemctl, int null_device);

 private:
  template <class Visit>
  Result<bool> visit_all(const SessionId& session, Visit visit) const;
  std::vector<CgroupMount> mounts_;
};

}  // namespace sallyport::spawner
