// BOTH SIDES. The small grammars inside a profile's strings: sizes, durations, rates, addresses, paths, image patterns.
// Total functions without locale; each returns nothing where the text is not of its grammar.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/profile/profile.hpp"

namespace sallyport {

std::optional<std::uint64_t> parse_number(std::string_view text);           // decimal digits only
std::optional<std::uint64_t> parse_size(std::string_view text);             // 512KiB 64MiB 2GiB 1TiB 4096B
std::optional<std::chrono::seconds> parse_duration(std::string_view text);  // 45s 30min 6h 2d
std::optional<std::uint32_t> parse_rate(std::string_view text);             // 60/min
std::optional<TcpAddress> parse_tcp_address(std::string_view text);         // 10.0.0.1:6379
std::optional<UnixAddress> parse_unix_address(std::string_view text);       // unix:/run/redis/redis.sock
bool is_clean_absolute_path(std::string_view path);                         // no "//", "/./", "/../", no trailing '/'

// `busybox` -> docker.io/library/busybox:latest, as dockerd reads names; '*' may stand anywhere. Nothing if malformed.
std::optional<std::string> normal_image_pattern(std::string_view pattern);

}  // namespace sallyport
