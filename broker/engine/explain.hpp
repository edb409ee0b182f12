// TRUSTED SIDE. dockerd's error texts name host paths, processes and ids of others. A client gets our own words for the
// few causes it can act on, with the same HTTP status and the phrases by which clients tell those causes apart.
#pragma once

#include <string>
#include <string_view>

#include "broker/protocol/messages.hpp"

namespace sallyport::engine {

enum class Operation : unsigned char { Create, Start, Wait, Attach, Logs, Kill, Stop, Resize, Inspect, Remove };

// `container` is what the client wrote; `text` is dockerd's message.
protocol::Failed explain(Operation operation, unsigned status, std::string_view text, std::string_view container);

// For State.Error of an inspection and for the error of a wait.
std::string explain_state_error(std::string_view text);

// A missing container and a foreign one look alike.
protocol::Failed no_such_container(std::string_view container);

// Errors of the way to dockerd: not reachable (503), too slow (504), too large or malformed (502).
protocol::Failed explain_transport(int code);

}  // namespace sallyport::engine
