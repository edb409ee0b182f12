// BOTH SIDES. Readers of one key each, shared by profile and broker.toml: what a key must look like, its range, its
// remedy.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/limits.hpp"
#include "sallyport/profile/toml_reader.hpp"

namespace sallyport {

struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = INT64_MAX;
};

bool read_size(TomlTable& table, std::string_view key, Range range, std::uint64_t& into);
bool read_count(TomlTable& table, std::string_view key, Range range, std::uint64_t& into);
bool read_count(TomlTable& table, std::string_view key, Range range, std::uint32_t& into);
inline constexpr std::chrono::seconds kLongest = std::chrono::hours(24 * 366);
struct Longest {
  std::chrono::seconds time;
  std::string_view text;  // with examples
};
inline constexpr Longest kAYear{kLongest, R"(a year: "45s", "30min", "6h", "2d")"};
inline constexpr Longest kLongestGrace{limits::kMostGrace, R"(an hour: "45s", "30min")"};
bool read_duration(TomlTable& table, std::string_view key, const Longest& longest,
                   std::optional<std::chrono::seconds>& into);
bool read_rate(TomlTable& table, std::string_view key, std::uint32_t& into);
bool read_cpus(TomlTable& table, std::string_view key, double& into);
bool read_path(TomlTable& table, std::string_view key, std::string& into);
// A key with one value in this version: another that the design knows is "not available", the rest is wrong.
void only_value(TomlTable& table, std::string_view key, std::string_view value);

}  // namespace sallyport
