// TRUSTED SIDE. The uid ranges of sessions that an earlier broker left, or this one with containers of theirs. Whoever
// takes a range, launcher or spawner, takes the lock of its file first (uid_range.hpp): we hold those of the left
// ranges until what ran under them is gone, so that nobody is given one, and nobody has to wait for one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sallyport/ids.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

class LeftRanges {
 public:
  LeftRanges(std::string runtime_directory, UidSpan span) : directory_(std::move(runtime_directory)), span_(span) {}

  void add(const SessionId& session, std::uint32_t uid_base);  // 0: it had none
  void keep(const SessionId& session, std::uint32_t uid_base, UniqueFd lock);
  void release(const SessionId& session) { ranges_.erase(session); }
  // Takes what is free. True once all are held: to be called until it says so.
  bool take_locks();

 private:
  struct Lock {
    std::uint32_t base = 0;
    UniqueFd file;     // none: somebody else still has it, or
    std::string said;  // why it cannot be taken, to the log
  };
  std::string directory_;
  UidSpan span_;
  std::map<SessionId, std::vector<Lock>> ranges_;
};

}  // namespace sallyport::spawner
