// TRUSTED SIDE. The session's own cgroup, on cgroup2 only: sallyport-SESSION with leaves for sandbox, gate and relay,
// below the broker's own cgroup (under systemd that one is delegated). It is what kills by one write; without it pidfds
// do.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>

#include "sallyport/child.hpp"
#include "sallyport/ids.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

class CgroupRoot;

class SessionCgroup {
 public:
  SessionCgroup() = default;
  explicit operator bool() const { return static_cast<bool>(directory_); }
  int gate() const { return gate_.get(); }  // -1 where there is none: to be born in (CLONE_INTO_CGROUP)
  int relay() const { return relay_.get(); }

  Result<> kill() const;  // everything in it, at once
  Result<bool> is_empty() const;

 private:
  friend class CgroupRoot;
  UniqueFd directory_;
  UniqueFd sandbox_;
  UniqueFd gate_;
  UniqueFd relay_;
};

class CgroupRoot {
 public:
  // Finds the broker's own cgroup2 directory. An error where the host has none: sessions then live without.
  static Result<CgroupRoot> find();
  Result<SessionCgroup> make(const SessionId& session) const;
  // Moves a process of the sandbox, with nothing forked yet, into the leaf `sandbox`. An error where `init` has ended
  // by then: its number, which is all that the kernel takes, may have been another's, and that one is let go again.
  Result<> adopt_init(const SessionCgroup& session, pid_t pid, const ProcessHandle& init) const;
  // Whether the session's cgroup is gone after the call; false: still busy. For unknown sessions too.
  Result<bool> remove(const SessionId& session) const;
  Result<bool> kill(const SessionId& session) const;  // true if there was no process
  void add_processes(const SessionId& session, std::set<pid_t>& into) const;
  const std::string& path() const { return path_; }
  const std::string& own() const { return own_; }  // as /proc/self/cgroup has it
  // True where `pid` is in the cgroup of the broker, below it, or in none at all: then taking it over loses no limit
  // that an operator has set on the unit in which the launcher runs.
  bool may_adopt(pid_t pid) const;

 private:
  std::string path_;  // absolute
  std::string own_;
  UniqueFd directory_;
};

}  // namespace sallyport::spawner
