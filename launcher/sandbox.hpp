// TRUSTED SIDE. The launcher's half of building a sandbox: detached mounts, pipes, one clone3, the map of ids, and the
// conversation with init. Destroying a Sandbox kills everything in it and waits for that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "launcher/child_setup.hpp"
#include "launcher/plan.hpp"
#include "sallyport/child.hpp"
#include "sallyport/result.hpp"
#include "sallyport/uid_range.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::launcher {

struct WorkerPipes {
  UniqueFd input;   // the launcher writes
  UniqueFd output;  // the launcher reads
  UniqueFd error;
};

// One thing that init said.
struct InitReport {
  InitMessage message;
  std::vector<UniqueFd> descriptors;
};

class Sandbox {
 public:
  // On return init is building; what it says comes by next_report().
  static Result<Sandbox> start(const Plan& plan, const UidRange& range);

  // Blocks only if control() is not readable. Nothing: init is gone.
  Result<std::optional<InitReport>> next_report();
  Result<> start_worker();  // where the plan opens a session: once it is open

  int control() const { return control_.get(); }
  const ProcessHandle& init() const { return init_.handle(); }
  WorkerPipes& pipes() { return pipes_; }
  UniqueFd& stream() { return stream_; }     // the broker's end of the worker's descriptor 3
  void kill_and_wait() { init_ = Child(); }  // with init, the kernel ends its whole pid namespace first

 private:
  Child init_;
  UniqueFd control_;
  WorkerPipes pipes_;
  UniqueFd stream_;
};

// Words for a failed step: what was being done, to what, the system's reason, and what to do about it.
Error explain(const Plan& plan, const InitMessage& failure);
// The program or directory that the profile names cannot be used as it is: trying again does not help.
bool names_what_is_not_there(const InitMessage& failure);

}  // namespace sallyport::launcher
