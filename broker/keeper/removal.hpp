// TRUSTED SIDE. Kills and removes containers by id, and finds by name and label what a create may have left without
// one. No answer that it needs grows with what a session, or this host, has: each container is asked for alone.
#pragma once

#include <chrono>
#include <expected>
#include <map>
#include <string>

#include "broker/engine/docker_client.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::keeper {

namespace net = boost::asio;

// Containers of one session: name at dockerd -> the id that dockerd's answer to the create gave; empty where none came,
// and only the intent is known.
using Leftovers = std::map<std::string, std::string>;

// A create that was cut off may still make its container: dockerd does not hear that its client has gone. The end of a
// session waits for it this long...
inline constexpr std::chrono::seconds kIntentsSettle{3};
// ...and it is looked for this long: only a list made later drops an intent.
inline constexpr std::chrono::minutes kLateCreate{10};

// Why containers are left.
struct NotRemoved {
  std::string why;          // of the first of them; for people
  bool is_refused = false;  // dockerd is there, and does not do it: tried again at once it would not either
  const std::string& text() const { return why; }
};
using Removed = std::expected<void, NotRemoved>;

// Before the next try. It doubles: up to `away`, where dockerd may be back at any moment, and up to kLeftIsTriedEvery
// where it refuses. What goes takes it back to `first`.
class RetryPause {
 public:
  RetryPause(std::chrono::milliseconds first, std::chrono::milliseconds away)
      : first_(first), away_(away), pause_(first) {}
  std::chrono::milliseconds after(const Removed& removed, bool something_went);

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds away_;
  std::chrono::milliseconds pause_;
};

// Removes what it can, so many at a time as a session has connections to dockerd, and takes it out of `leftovers`. An
// intent is taken out when its container has been removed, or when `intents_may_be_dropped` and a list that dockerd
// made since does not show it. Error: which container is left first, and why; dockerd is away, or refuses; to be called
// again. Without one, all that is left are intents.
net::awaitable<Removed> remove_containers(engine::DockerClient& docker, std::string broker, SessionId session,
                                          Leftovers& leftovers, bool intents_may_be_dropped);

}  // namespace sallyport::keeper
