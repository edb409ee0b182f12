#include "broker/api/names.hpp"

#include <array>

#include "sallyport/limits.hpp"

namespace sallyport::api {

namespace {

using detail::is_alnum;
using detail::is_digit;
using detail::is_lower;
using detail::is_lower_hex;

// distribution/reference: path-component = [a-z0-9]+ joined by '.', '_', '__' or '-'+.
bool is_path_component(std::string_view text) {
  if (text.empty()) return false;
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t start = i;
    while (i < text.size() && (is_lower(text[i]) || is_digit(text[i]))) ++i;
    if (i == start) return false;
    if (i == text.size()) return true;
    const std::size_t separator = i;
    while (i < text.size() && (text[i] == '.' || text[i] == '_' || text[i] == '-')) ++i;
    const std::string_view joint = text.substr(separator, i - separator);
    const bool dashes = joint.find_first_not_of('-') == std::string_view::npos;
    if (!dashes && joint != "." && joint != "_" && joint != "__") return false;
  }
  return false;  // ended in a separator
}

bool is_repository_path(std::string_view path) {
  for (;;) {
    const std::size_t slash = path.find('/');
    if (!is_path_component(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_registry(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  if (host.empty() || host.front() == '-' || host.back() == '-' || host.front() == '.' || host.back() == '.')
    return false;
  if (!detail::all(host, [](char c) { return is_alnum(c) || c == '.' || c == '-'; })) return false;
  if (colon == std::string_view::npos) return true;
  const std::string_view port = text.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && detail::all(port, is_digit);
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > limits::kMaxTagBytes || text[0] == '.' || text[0] == '-') return false;
  return detail::all(text, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

constexpr std::array<std::string_view, 32> kSignals = {
    "",          "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
    "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
    "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
    "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};

std::string_view next_part(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view part = rest.substr(0, slash);
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  return part;
}
// Names of one architecture (containerd platforms/database.go).
std::string_view architecture(std::string_view name) {
  if (name == "x86_64" || name == "x86-64") return "amd64";
  return name == "aarch64" ? "arm64" : name;
}

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 3> kSignalAliases = {
    {{"SIGCLD", 17}, {"SIGIOT", 6}, {"SIGPOLL", 29}}};

constexpr std::uint8_t kRtMin = 34;
constexpr std::uint8_t kRtMax = 64;

// 1..99 without a leading zero.
std::optional<std::uint8_t> small_number(std::string_view text) {
  if (text.empty() || text.size() > 2 || text[0] == '0' || !detail::all(text, is_digit)) return {};
  return static_cast<std::uint8_t>(text.size() == 1 ? text[0] - '0' : (text[0] - '0') * 10 + (text[1] - '0'));
}

// RTMIN to RTMIN+15 and RTMAX-14 to RTMAX: each number has one name.
std::optional<std::uint8_t> real_time_signal(std::string_view name) {
  const bool from_least = name.starts_with("RTMIN");
  if (!from_least && !name.starts_with("RTMAX")) return {};
  name.remove_prefix(5);
  if (name.empty()) return from_least ? kRtMin : kRtMax;
  if (name[0] != (from_least ? '+' : '-')) return {};
  const auto distance = small_number(name.substr(1));
  if (!distance || *distance > (from_least ? 15 : 14)) return {};
  return static_cast<std::uint8_t>(from_least ? kRtMin + *distance : kRtMax - *distance);
}

constexpr char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

Result<ImageRef> normal_image(std::string_view text) {
  if (text.empty()) return fail("an image has to be named");
  if (text.size() > limits::kMaxImageRefBytes)
    return fail("the image reference is longer than is served (" + std::to_string(limits::kMaxImageRefBytes) +
                " bytes)");
  if (text.starts_with("sha256:")) return fail("name the image as the profile does, not by its id");
  std::string_view name = text;
  std::string_view digest;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    digest = text.substr(at + 1);
    name = text.substr(0, at);
    if (!ImageIdGrammar::accepts(digest)) return fail("the image's digest is not sha256: and 64 hexadecimal digits");
  }
  std::string_view tag;
  if (const std::size_t colon = name.rfind(':');
      colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(tag)) return fail("the image's tag is not valid");
  }
  std::string_view registry = "docker.io";
  bool official = false;
  const std::size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  // The first part is a registry only if it looks like a host (distribution/reference, splitDockerDomain).
  if (slash != std::string_view::npos &&
      (first.find_first_of(".:") != std::string_view::npos || first == "localhost")) {
    if (!is_registry(first)) return fail("the image's registry is not valid");
    registry = first == "index.docker.io" ? std::string_view("docker.io") : first;
    name.remove_prefix(slash + 1);
  }
  if (!is_repository_path(name)) return fail("the image's name is not valid");
  if (registry == "docker.io" && name.find('/') == std::string_view::npos) official = true;
  if (name.size() == 64 && detail::all(name, is_lower_hex))
    return fail("name the image as the profile does, not by its id");
  std::string normal(registry);
  normal += official ? "/library/" : "/";
  normal += name;
  if (!tag.empty() || digest.empty()) normal.append(":").append(tag.empty() ? std::string_view("latest") : tag);
  if (!digest.empty()) normal.append("@").append(digest);
  return ImageRef::parse(normal);
}

std::string familiar_image(std::string_view normal) {
  constexpr std::string_view kHub = "docker.io/";
  constexpr std::string_view kOfficial = "docker.io/library/";
  if (normal.starts_with(kOfficial)) normal.remove_prefix(kOfficial.size());
  else if (normal.starts_with(kHub)) normal.remove_prefix(kHub.size());
  return std::string(normal);
}

std::optional<std::uint8_t> signal_of(std::string_view text) {
  if (text.empty()) return std::uint8_t{9};
  if (is_digit(text[0])) {
    const auto number = small_number(text);
    if (!number || !is_signal(*number)) return {};
    return number;
  }
  if (text.size() > 12) return {};
  std::string name;
  for (char c : text) name += upper(c);
  if (!name.starts_with("SIG")) name.insert(0, "SIG");
  for (std::size_t i = 1; i < kSignals.size(); ++i)
    if (kSignals[i] == name) return static_cast<std::uint8_t>(i);
  for (const auto& [alias, number] : kSignalAliases)
    if (alias == name) return number;
  return real_time_signal(std::string_view(name).substr(3));
}

bool is_signal(std::uint8_t number) { return (number >= 1 && number <= 31) || (number >= kRtMin && number <= kRtMax); }

std::string_view signal_name(std::uint8_t number) {
  return number < kSignals.size() ? kSignals[number] : std::string_view();
}

Result<ContainerName> new_container_name(std::string_view text) {
  if (text.starts_with('/')) text.remove_prefix(1);
  if (text.size() < 2) return fail("a container's name has at least two characters");
  if (text.size() >= 12 && detail::all(text, is_lower_hex)) return fail("a container's name must not look like an id");
  return ContainerName::parse(text);
}

bool is_allowed_directory(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.size() > limits::kMaxPathBytes) return false;
  if (path == "/") return true;
  bool first = true;
  for (std::string_view rest = path.substr(1);;) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (first && (segment == "proc" || segment == "sys" || segment == "dev")) return false;
    first = false;
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  return detail::all(path, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

bool is_platform(std::string_view asked, std::string_view held) {
  const std::string_view held_system = next_part(held);
  const std::string_view held_architecture = next_part(held);
  const bool has_parts = asked.find('/') != std::string_view::npos;
  const std::string_view first = next_part(asked);
  if (!has_parts) return first == held_system || architecture(first) == held_architecture;
  if (first != held_system || architecture(next_part(asked)) != held_architecture) return false;
  return asked.empty() || held.empty() || asked == held;
}

bool is_hostname(std::string_view text) {
  if (text.empty() || text.size() > limits::kMaxHostnameBytes || text[0] == '.') return false;
  return text.find("..") == std::string_view::npos &&
         detail::all(text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_environment_entry(std::string_view entry) {
  const std::string_view key = entry.substr(0, entry.find('='));
  if (key.empty() || !(is_alnum(key[0]) || key[0] == '_') || is_digit(key[0])) return false;
  return detail::all(key, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool steers_runtime(std::string_view entry) {
  std::string key;
  for (char c : entry.substr(0, entry.find('='))) key += upper(c);
  if (key.starts_with("NVIDIA_") || key.starts_with("ASCEND_") || key.starts_with("SYSBOX_")) return true;
  // Of an image without NVIDIA_REQUIRE_CUDA it makes NVIDIA's hook give all devices.
  if (key == "CUDA_VERSION") return true;
  return key == "AMD_VISIBLE_DEVICES" || key == "HABANA_VISIBLE_DEVICES" || key == "MTHREADS_VISIBLE_DEVICES";
}

}  // namespace sallyport::api
