// BOTH SIDES. Grammars of what clients name: image references, signals, environment entries, working directories.
// Total functions over bytes, no locale. An image reference leaves here in normal form or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/ids.hpp"
#include "sallyport/result.hpp"

namespace sallyport::api {

// `busybox` -> docker.io/library/busybox:latest; registry/path[:tag][@sha256:…]. Image ids and their prefixes are
// refused: a client names images by what the profile lists, and an id prefix would name any image of the host.
Result<ImageRef> normal_image(std::string_view text);

// docker.io/library/busybox:latest -> busybox:latest, as Docker shows it.
std::string familiar_image(std::string_view normal);

// For KILL, SIGKILL, kill, 9, RTMIN+3, …; "" is SIGKILL as dockerd has it. Names and numbers are dockerd's (moby
// pkg/signal/signal_linux.go), without leading zeros and signs.
std::optional<std::uint8_t> signal_of(std::string_view text);
// 1..31 and 34..64: the C library keeps 32 and 33 for itself, and dockerd knows neither.
bool is_signal(std::uint8_t number);
// Name of a standard signal, "SIGKILL"; "" for any other number.
std::string_view signal_name(std::uint8_t number);

// A name that a client may give at create: dockerd's grammar, and nothing that could be taken for an id.
Result<ContainerName> new_container_name(std::string_view text);

// Absolute, without empty, "." and ".." segments, and not beneath /proc, /sys or /dev (CVE-2024-21626).
bool is_allowed_directory(std::string_view path);

// True where `asked`, as a client writes it (linux/amd64, linux/arm64/v8, linux, amd64, x86_64), is the platform `held`
// (system/architecture[/variant], as dockerd says it of an image).
bool is_platform(std::string_view asked, std::string_view held);

// A host name of a container: letters, digits, '-', '_' and single dots. It is written to files of the container's.
bool is_hostname(std::string_view text);

// KEY=VALUE with KEY [A-Za-z_][A-Za-z0-9_.-]*. KEY alone takes the variable out of what the image sets.
bool is_environment_entry(std::string_view entry);
// True for variables by which an OCI runtime or its hooks give devices: the container would steer the host's runtime.
bool steers_runtime(std::string_view entry);

}  // namespace sallyport::api
