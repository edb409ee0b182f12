// UNTRUSTED SIDE. How Docker writes the values that a profile imposes: read so that a client can be told which of its
// wishes do not hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/gate/json_reader.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

// 10m, 1.5 GiB, 500: as Docker writes sizes (go-units RAMInBytes); -1 is without a limit.
std::optional<std::int64_t> bytes_in(std::string_view size);

// Options of a tmpfs on /tmp that give no more than the profile's does: rw, noexec, nosuid, nodev, noatime, size=,
// mode=. False for any other.
bool take_tmpfs_options(protocol::Wishes& wishes, std::string_view options);

// An element of Ulimits, whose form has been checked.
void take_ulimit(protocol::Wishes& wishes, const JsonValue& item);

}  // namespace sallyport::gate
