// TRUSTED SIDE. What a container would get: the client's request and the image's configuration, merged as dockerd
// merges them (daemon/commit.go). Every rule that keeps the host safe from a field of a create is a rule on this, so
// that none can hold for the client's value alone. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "broker/engine/read_reply.hpp"
#include "broker/keeper/decide.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::keeper {

// Views into the request and the image facts that it was made of.
struct Effective {
  std::vector<std::string_view> entrypoint;
  std::vector<std::string_view> command;
  std::vector<std::string_view> environment;  // KEY=VALUE; a key alone takes that variable away
  std::vector<std::string_view> withheld;  // keys of the image's variables that steer a runtime: no container has them
  std::string_view working_directory;      // "": dockerd's own, which is /
  std::string_view stop_signal;            // the image's; "" where the client names one, by its number
  std::vector<std::string_view> volumes;   // sorted, each once, without a slash at its end
  std::string_view program() const;        // the first argument; "" where there is none
};
Effective merge(const protocol::CreateContainer& ask, const engine::ImageFacts& image);

// Bytes of texts, whoever chose them, that dockerd writes each time it shows such a container, and we read.
std::size_t described_bytes(const Effective& effective, const engine::ImageFacts& image);

// The rules. To be asked for each create, with the image that it is made of.
Verdict decide_effective(const protocol::CreateContainer& ask, const engine::ImageFacts& image);

}  // namespace sallyport::keeper
