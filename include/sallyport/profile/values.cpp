#include "sallyport/profile/values.hpp"

#include <limits>

namespace sallyport {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr Unit kSizeUnits[] = {
    {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}, {"B", 1}};
constexpr Unit kDurationUnits[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};

template <std::size_t Count>
std::optional<std::uint64_t> parse_with_unit(std::string_view text, const Unit (&units)[Count]) {
  std::size_t digits = 0;
  while (digits < text.size() && detail::is_digit(text[digits])) ++digits;
  const auto number = parse_number(text.substr(0, digits));
  if (!number) return {};
  for (const Unit& unit : units) {
    if (text.substr(digits) != unit.name) continue;
    if (*number > std::numeric_limits<std::int64_t>::max() / unit.factor) return {};
    return *number * unit.factor;
  }
  return {};
}

bool is_registry(std::string_view component) {
  if (component == "localhost") return true;
  for (const char c : component)
    if (c == '.' || c == ':' || (c >= 'A' && c <= 'Z')) return true;
  return false;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 18 || !detail::all(text, detail::is_digit)) return {};
  std::uint64_t number = 0;
  for (const char c : text) number = number * 10 + static_cast<std::uint64_t>(c - '0');
  return number;
}

std::optional<std::uint64_t> parse_size(std::string_view text) { return parse_with_unit(text, kSizeUnits); }

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  const auto seconds = parse_with_unit(text, kDurationUnits);
  if (!seconds) return {};
  return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

std::optional<std::uint32_t> parse_rate(std::string_view text) {
  if (!text.ends_with("/min")) return {};
  const auto number = parse_number(text.substr(0, text.size() - 4));
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return {};
  return static_cast<std::uint32_t>(*number);
}

std::optional<TcpAddress> parse_tcp_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  const auto port = parse_number(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) return {};
  const std::string_view address = text.substr(0, colon);
  std::string_view rest = address;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = rest.find('.');
    if ((dot == std::string_view::npos) != (part == 3)) return {};
    const std::string_view digits = rest.substr(0, dot);
    const auto number = parse_number(digits);
    // "010" is eight to inet_aton and ten to a reader: only the one spelling that both read alike.
    if (!number || *number > 255 || (digits.size() > 1 && digits[0] == '0')) return {};
    rest.remove_prefix(part == 3 ? rest.size() : dot + 1);
  }
  return TcpAddress{std::string(address), static_cast<std::uint16_t>(*port)};
}

bool is_clean_absolute_path(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.size() >= limits::kMaxPathBytes) return false;
  if (path.size() > 1 && path.back() == '/') return false;
  std::size_t start = 1;
  while (path.size() > 1 && start <= path.size()) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return detail::all(path, [](char c) { return detail::is_printable_ascii(c); });
}

std::optional<UnixAddress> parse_unix_address(std::string_view text) {
  if (!text.starts_with("unix:")) return {};
  const std::string_view path = text.substr(5);
  constexpr std::size_t kSunPathBytes = 108;  // sun_path, with its NUL: unix(7)
  if (path.size() < 2 || path.size() >= kSunPathBytes || !is_clean_absolute_path(path)) return {};
  return UnixAddress{std::string(path)};
}

std::optional<std::string> normal_image_pattern(std::string_view pattern) {
  const auto allowed = [](char c) {
    return detail::is_alnum(c) || c == '_' || c == '.' || c == '-' || c == '/' || c == ':' || c == '@' || c == '*';
  };
  if (pattern.empty() || !detail::all(pattern, allowed)) return {};
  if (pattern.front() == '/' || pattern.back() == '/' || pattern.find("//") != std::string_view::npos ||
      pattern.find("..") != std::string_view::npos)
    return {};
  const std::size_t slash = pattern.find('/');
  std::string registry = "docker.io";
  std::string path(pattern);
  if (slash != std::string_view::npos && is_registry(pattern.substr(0, slash))) {
    registry = pattern.substr(0, slash);
    path = pattern.substr(slash + 1);
    if (registry == "index.docker.io") registry = "docker.io";
  }
  if (registry == "docker.io" && path.find('/') == std::string::npos) path = "library/" + path;
  const std::size_t last = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  if (path.find_first_of(":@", last) == std::string::npos) path += ":latest";
  std::string normal = registry + "/" + path;
  if (normal.size() > limits::kMaxImageRefBytes) return {};
  return normal;
}

// Greedy: the leftmost place for each run between two stars is as good as any other, so there is one point to go back
// to and no recursion. At most pattern * image steps, and both are at most kMaxImageRefBytes long.
static bool matches(std::string_view pattern, std::string_view image) {
  std::size_t p = 0;
  std::size_t i = 0;
  std::size_t after_star = std::string_view::npos;
  std::size_t star_image = 0;
  while (i < image.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      star_image = i;
    } else if (p < pattern.size() && pattern[p] == image[i]) {
      ++p;
      ++i;
    } else if (after_star != std::string_view::npos && image[star_image] != '/' && image[star_image] != '@') {
      p = after_star;
      i = ++star_image;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool image_is_allowed(const std::vector<std::string>& patterns, std::string_view image) {
  for (const std::string& pattern : patterns)
    if (matches(pattern, image)) return true;
  return false;
}

}  // namespace sallyport
