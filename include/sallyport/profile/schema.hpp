// BOTH SIDES. Readers of one key each, shared by profile and broker.toml: what a key must look like, its range, its
// remedy.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/profile/toml_reader.hpp"

namespace sallyport {

struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = INT64_MAX;
};

bool read_size(TomlTable& table, std::string_view key, Range range, std::uint64_t& into);
bool read_count(TomlTable& table, std::string_view key, Range range, std::uint64_t& into);
bool read_count(TomlTable& table, std::string_view key, Range range, std::uint32_t& into);
bool read_duration(TomlTable& table, std::string_view key, std::optional<std::chrono::seconds>& into);
bool read_rate(TomlTable& table, std::string_view key, std::uint32_t& into);
bool read_cpus(TomlTable& table, std::string_view key, double& into);
bool read_path(TomlTable& table, std::string_view key, std::string& into);
// A key with one value in this version: another that the design knows is "not available", the rest is wrong.
void only_value(TomlTable& table, std::string_view key, std::string_view value);

}  // namespace sallyport
