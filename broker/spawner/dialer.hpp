// TRUSTED SIDE. A dialer: a fork of the spawner that becomes the session's dialer uid, with at most one group more,
// connects to one fixed address and hands the connected socket back. A Unix upstream that checks peer credentials sees
// that uid, never root; and a connect that hangs hangs nobody else.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "broker/protocol/spawner_messages.hpp"
#include "sallyport/child.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner {

struct DialTarget {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::int64_t extra_group = -1;
};
// Refuses what is no absolute path and no dotted IPv4 address, docker.sock itself, and the groups that open it or are
// root's.
struct DialRules {
  std::string docker_socket;
  gid_t docker_group = 0;
};
Result<DialTarget> parse_target(const protocol::spawner::Dial& request, const DialRules& rules);

struct Dialer {
  Child child;
  UniqueFd answer;  // readable once the dialer has an answer, or has ended without
};
Result<Dialer> start_dialer(const DialTarget& target, uid_t uid, int null_device);

struct DialOutcome {
  int error_code = 0;
  UniqueFd connected;
};
DialOutcome read_answer(int answer);

}  // namespace sallyport::spawner
