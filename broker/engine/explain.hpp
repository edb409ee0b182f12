// TRUSTED SIDE. dockerd's error texts name host paths, processes and ids of others. A client gets our own words for the
// causes it can act on, with dockerd's HTTP status and the phrases by which clients tell those causes apart. What is
// named in them is what the session itself asked for, never a piece of dockerd's text.
#pragma once

#include <string>
#include <string_view>

#include "broker/protocol/messages.hpp"

namespace sallyport::engine {

enum class Operation : unsigned char { Create, Start, Wait, Attach, Logs, Kill, Stop, Resize, Inspect, Remove };

// Whom an error is about, as the session knows it; "" where it is not known.
struct Subject {
  std::string_view container = {};  // what the client wrote; of a create, the image
  std::string_view program = {};    // what the container runs: the first of its arguments
  std::string_view directory = {};  // its working directory
};

// Ends the words for a cause that is not known here: whoever sends them writes dockerd's own text to the log.
inline constexpr std::string_view kLogSaysMore = "the broker's log says more";
bool is_unexplained(const protocol::Failed& failed);

// `text` is dockerd's message.
protocol::Failed explain(Operation operation, unsigned status, std::string_view text, const Subject& subject);

// For State.Error of an inspection and for the error of a wait.
std::string explain_state_error(std::string_view text, const Subject& subject);

// A missing container and a foreign one look alike.
protocol::Failed no_such_container(std::string_view container);

// Errors of the way to dockerd: not reachable (503), too slow (504), too large or malformed (502).
protocol::Failed explain_transport(int code);

// A text that a session chose, for people: in quotes, at most 80 bytes of it, anything but printable ASCII escaped.
std::string shown(std::string_view text);

}  // namespace sallyport::engine
