// TRUSTED SIDE. `--private-broker`: a broker for one run, connected by a socket pair instead of a path. It has state
// and log directories of its own; when it dies early, it is started once more to remove what it left.
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
  void finish();  // waits for it, reaps after it where it failed, removes its state directory
  bool ended_well();
  bool reap();
  UniqueFd connection_;
  Child process_;
  std::string program_;
  std::vector<std::string> arguments_;  // without --private-fd
  std::string state_directory_;
};

}  // namespace sallyport::launcher
