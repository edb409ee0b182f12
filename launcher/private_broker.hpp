// TRUSTED SIDE. `--private-broker`: a broker for one run, connected by a socket pair instead of a path. When it dies
// early, it is started once more to remove what it left. It has state and log directories of its profile's that outlive
// it: the next one finds rates, shares of the trail and the trail as they were. A further pair is made only where more
// runs of the profile are under way at once than ever before.
#pragma once

#include <string>

#include "launcher/options.hpp"
#include "sallyport/child.hpp"
#include "sallyport/result.hpp"

namespace sallyport::launcher {

class PrivateBroker {
 public:
  static Result<PrivateBroker> start(const Options& options, const BrokerConfig& config);
  PrivateBroker(PrivateBroker&&) noexcept = default;
  ~PrivateBroker() { finish(); }

  UniqueFd take_connection() { return std::move(connection_); }

 private:
  PrivateBroker() = default;
  void finish();  // waits for it, reaps after it where it failed
  bool ended_well();
  bool reap();
  UniqueFd connection_;
  Child process_;
  std::string program_;
  std::vector<std::string> arguments_;  // without --private-fd
  std::string state_directory_;
  UniqueFd state_lock_;
  UniqueFd log_lock_;
};

}  // namespace sallyport::launcher
