// UNTRUSTED SIDE. sallyport-gate: started by the spawner in an empty root with descriptors 3 (keeper), 4 (the sandbox's
// docker.sock, listening) and 5 (the worker's fd 3). Everything that needs a call outside the filter happens before it.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

#include "broker/async/malloc_tuning.hpp"
#include "broker/gate/gate.hpp"
#include "sallyport/log.hpp"
#include "seccomp/filters.hpp"

namespace {

constexpr int kKeeperFd = 3;
constexpr int kListenerFd = 4;
constexpr int kStreamFd = 5;

}  // namespace

int main() {
  using namespace sallyport;
  async::tune_malloc();
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return EXIT_FAILURE;  // writes answer EPIPE instead
  // The exec made it dumpable again: nobody of its uid may trace it or read its /proc files.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return EXIT_FAILURE;
  gate::Gate gate({UniqueFd::adopt(kKeeperFd), UniqueFd::adopt(kListenerFd), UniqueFd::adopt(kStreamFd)});
  if (const int error = seccomp::install(seccomp::Filter::Gate); error != 0) {
    log::error("gate: cannot install its filter: error " + std::to_string(error));
    return EXIT_FAILURE;
  }
  // Without destructors: the process holds nothing that outlives it.
  ::_exit(gate.run());
}
