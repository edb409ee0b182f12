#include "sallyport/profile/schema.hpp"

#include "sallyport/profile/values.hpp"

namespace sallyport {
namespace {

std::string size_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (unit + 1 < std::size(kUnits) && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + std::string(kUnits[unit]);
}

bool in_range(TomlTable& table, const TomlNode& node, std::string_view key, std::uint64_t value, Range range,
              std::string (*text)(std::uint64_t)) {
  if (value < range.least) {
    table.report(node, key, "is " + text(value) + "; the least is " + text(range.least));
    return false;
  }
  if (value > range.most) {
    table.report(node, key, "is " + text(value) + "; the most is " + text(range.most));
    return false;
  }
  return true;
}

std::string count_text(std::uint64_t count) { return std::to_string(count); }

}  // namespace

bool read_size(TomlTable& table, std::string_view key, Range range, std::uint64_t& into) {
  const TomlNode* node = table.take(key);
  if (node == nullptr) return false;
  std::optional<std::uint64_t> bytes;
  if (node->kind == TomlNode::Kind::Integer && node->integer >= 0) bytes = static_cast<std::uint64_t>(node->integer);
  if (node->kind == TomlNode::Kind::Text) bytes = parse_size(node->text);
  if (!bytes) {
    table.report(*node, key, "must be a size: \"64MiB\", \"2GiB\", or a number of bytes");
    return false;
  }
  if (!in_range(table, *node, key, *bytes, range, size_text)) return false;
  into = *bytes;
  return true;
}

bool read_count(TomlTable& table, std::string_view key, Range range, std::uint64_t& into) {
  const TomlNode* node = table.take(key, TomlNode::Kind::Integer);
  if (node == nullptr) return false;
  if (node->integer < 0) {
    table.report(*node, key, "is negative; the least is " + std::to_string(range.least));
    return false;
  }
  if (!in_range(table, *node, key, static_cast<std::uint64_t>(node->integer), range, count_text)) return false;
  into = static_cast<std::uint64_t>(node->integer);
  return true;
}

bool read_count(TomlTable& table, std::string_view key, Range range, std::uint32_t& into) {
  std::uint64_t wide = 0;
  range.most = std::min<std::uint64_t>(range.most, UINT32_MAX);
  if (!read_count(table, key, range, wide)) return false;
  into = static_cast<std::uint32_t>(wide);
  return true;
}

bool read_duration(TomlTable& table, std::string_view key, const Longest& longest,
                   std::optional<std::chrono::seconds>& into) {
  const TomlNode* node = table.take(key);
  if (node == nullptr) return false;
  const auto duration = node->kind == TomlNode::Kind::Text ? parse_duration(node->text) : std::nullopt;
  if (!duration || duration->count() == 0 || *duration > longest.time) {
    table.report(*node, key, "must be a duration above zero and of at most " + std::string(longest.text));
    return false;
  }
  into = duration;
  return true;
}

bool read_rate(TomlTable& table, std::string_view key, std::uint32_t& into) {
  const TomlNode* node = table.take(key);
  if (node == nullptr) return false;
  const auto rate = node->kind == TomlNode::Kind::Text ? parse_rate(node->text) : std::nullopt;
  if (!rate || *rate == 0 || *rate > 10'000'000) {
    table.report(*node, key, "must be a rate above zero and of at most 10000000/min: \"60/min\"");
    return false;
  }
  into = *rate;
  return true;
}

bool read_cpus(TomlTable& table, std::string_view key, double& into) {
  const TomlNode* node = table.take(key);
  if (node == nullptr) return false;
  double cpus = 0;
  if (node->kind == TomlNode::Kind::Integer) cpus = static_cast<double>(node->integer);
  if (node->kind == TomlNode::Kind::Real) cpus = node->real;
  // 0.01 is dockerd's least: a quota of 1 ms in a period of 100 ms.
  if (!(cpus >= 0.01 && cpus <= 4096)) {
    table.report(*node, key, "must be a number of CPUs from 0.01 to 4096, such as 1.5");
    return false;
  }
  into = cpus;
  return true;
}

bool read_path(TomlTable& table, std::string_view key, std::string& into) {
  std::string path;
  if (!table.text(key, path)) return false;
  if (!is_clean_absolute_path(path)) {
    table.report(*table.take(key), key, "must be an absolute path without \".\", \"..\", \"//\" or a '/' at its end");
    return false;
  }
  into = path;
  return true;
}

void only_value(TomlTable& table, std::string_view key, std::string_view value) {
  std::string given;
  if (!table.text(key, given) || given == value) return;
  table.report(*table.take(key), key, "other than \"" + std::string(value) + "\" is not available in this version");
}

}  // namespace sallyport
