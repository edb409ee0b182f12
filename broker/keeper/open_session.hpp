// TRUSTED SIDE. From a hello on the control socket to a session with gate and relay.
#pragma once

#include "broker/keeper/admission.hpp"
#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

struct Hello {
  handshake::OpenSession message;
  std::vector<UniqueFd> fds;
  Peer peer;
};

// The session stands, its gate and relay are served and its processes watched; or why not, for the launcher's user.
// `control` becomes the session's.
net::awaitable<Result<SessionPtr>> open_session(Services& services, Hello hello,
                                                std::unique_ptr<async::Channel>& control);

}  // namespace sallyport::keeper
