// UNTRUSTED SIDE. sallyport-relay N: carries the forwards of one session. 3 is the keeper's channel, 4 and up are the
// sandbox's listeners, N of them. It starts in an empty root without capabilities and locks itself down before it reads
// a byte: whatever takes it over can use the upstreams of its own session, and nothing else.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "broker/relay/relay.hpp"
#include "sallyport/limits.hpp"
#include "seccomp/filters.hpp"

namespace {

constexpr int kKeeperFd = 3;
constexpr int kFirstListenerFd = 4;

int listener_count(int argc, char** argv) {
  int count = 0;
  if (argc != 2 || std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), count).ec != std::errc()) return 0;
  return count <= static_cast<int>(sallyport::limits::kMaxForwards) ? count : 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sallyport;
  const int listeners = listener_count(argc, argv);
  if (listeners <= 0) return 3;
  ::signal(SIGPIPE, SIG_IGN);  // writes answer EPIPE instead
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return 3;
  std::vector<UniqueFd> fds;
  for (int i = 0; i < listeners; ++i) fds.push_back(UniqueFd::adopt(kFirstListenerFd + i));
  const auto lock_down = []() noexcept { return seccomp::install(seccomp::Filter::Relay); };
  // Without destructors: the process holds nothing that outlives it.
  ::_exit(relay::serve(UniqueFd::adopt(kKeeperFd), std::move(fds), lock_down));
}
