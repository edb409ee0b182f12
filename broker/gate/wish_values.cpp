#include "broker/gate/wish_values.hpp"

#include <charconv>
#include <cmath>

namespace sallyport::gate {

using protocol::Wishes;

std::optional<std::int64_t> bytes_in(std::string_view size) {
  if (size == "-1") return -1;
  double amount = 0;
  const char* const last = size.data() + size.size();
  if (size.empty() || !detail::is_digit(size[0])) return {};  // from_chars would take "-1", "inf" and "nan" as well
  const auto [end, error] = std::from_chars(size.data(), last, amount, std::chars_format::fixed);
  if (error != std::errc()) return {};
  std::string_view unit(end, static_cast<std::size_t>(last - end));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  if (unit.ends_with('b') || unit.ends_with('B')) unit.remove_suffix(1);
  if (unit.size() == 2 && (unit[1] == 'i' || unit[1] == 'I')) unit.remove_suffix(1);
  if (unit.size() > 1) return {};
  const std::size_t power = unit.empty() ? 0 : std::string_view("kKmMgGtTpP").find(unit[0]);
  if (power == std::string_view::npos) return {};
  const double bytes = std::ldexp(amount, unit.empty() ? 0 : static_cast<int>(10 * (power / 2 + 1)));
  if (bytes >= 0x1p63) return {};
  return static_cast<std::int64_t>(bytes);
}

namespace {

bool take_tmpfs_option(Wishes& wishes, std::string_view option) {
  if (option == "rw" || option == "noexec" || option == "nosuid" || option == "nodev") return true;
  if (option == "noatime") return wishes.tmp_noatime = true;
  if (option.starts_with("size=")) {
    const auto bytes = bytes_in(option.substr(5));
    if (!bytes || *bytes < 0) return false;
    wishes.tmp_bytes = *bytes == 0 ? -1 : *bytes;  // of a tmpfs 0 is no limit
    return true;
  }
  if (!option.starts_with("mode=") || option.size() > 10) return false;
  const std::string_view digits = option.substr(5);
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, wishes.tmp_mode.emplace(), 8);
  return error == std::errc() && end == last;
}

}  // namespace

bool take_tmpfs_options(Wishes& wishes, std::string_view options) {
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    if (!take_tmpfs_option(wishes, options.substr(0, comma))) return false;
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return true;
}

void take_ulimit(Wishes& wishes, const JsonValue& item) {
  std::string_view name;
  bool is_zero_limit = true;
  for (const JsonMember& member : item.members) {
    if (member.key == "Name") name = member.value.text;
    else is_zero_limit &= member.value.integer == 0;
  }
  if (name == "nofile") wishes.ulimit_nofile = true;
  if (name == "nproc") wishes.ulimit_nproc = true;
  if (name == "core") wishes.ulimit_core |= !is_zero_limit;
}

}  // namespace sallyport::gate
