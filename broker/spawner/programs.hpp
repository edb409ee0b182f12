// TRUSTED SIDE. The programs that the spawner executes, opened once at start: what a path means later does not matter.
#pragma once

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

struct Programs {
  UniqueFd gate;
  UniqueFd relay;
  UniqueFd systemctl;  // none where systemd does not run
  UniqueFd null_device;
};

// Gate and relay are the files beside this program's own.
Result<Programs> open_programs();

}  // namespace sallyport::spawner
