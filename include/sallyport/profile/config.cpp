#include "sallyport/profile/config.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "sallyport/profile/root_file.hpp"
#include "sallyport/profile/schema.hpp"
#include "sallyport/profile/values.hpp"

namespace sallyport {
namespace {

constexpr std::uint64_t kLeastSpanUid = 65'536;        // below are people, system users, DynamicUser= and nobody
constexpr std::uint64_t kMostSpanUid = 4'294'967'293;  // -1 and -2 have meanings of their own

void read_span(TomlTable& root, UidSpan& into) {
  std::string text;
  const TomlNode* node = root.take("uid_span");
  if (!root.text("uid_span", text)) return;
  const std::size_t dash = text.find('-');
  const auto first = parse_number(std::string_view(text).substr(0, dash));
  const auto last = dash == std::string::npos ? std::nullopt : parse_number(std::string_view(text).substr(dash + 1));
  if (!first || !last || *first < kLeastSpanUid || *last > kMostSpanUid || *first > *last ||
      *last - *first + 1 < limits::kUidsPerSession) {
    root.report(
        *node, "uid_span",
        "must be FIRST-LAST, 65536 or above, with room for one session (16 uids): \"" + UidSpan{}.text() + "\"");
    return;
  }
  into = UidSpan{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last)};
}

void read_ids(TomlTable& open, std::string_view key, Result<std::uint32_t> (*resolve)(const std::string&),
              std::vector<std::uint32_t>& into) {
  const TomlNode* node = open.take(key, TomlNode::Kind::Array);
  if (node == nullptr) return;
  for (const TomlNode& item : node->items) {
    std::string name = item.text;
    if (item.kind == TomlNode::Kind::Integer && item.integer >= 0) name = std::to_string(item.integer);
    else if (item.kind != TomlNode::Kind::Text || name.empty()) {
      open.report(item, key, "must be a list of names or numbers");
      continue;
    }
    if (const auto id = resolve(name)) into.push_back(*id);
    else open.report(item, key, "cannot be resolved: " + id.error().text());
  }
}

void read_open(TomlTable open, std::vector<OpenRule>& rules) {
  OpenRule rule;
  std::string name;
  const TomlNode* node = open.take("profile");
  if (node == nullptr) {
    open.errors().report(open.line(), "key open.profile is missing; name the profile that may be opened");
  } else if (open.text("profile", name)) {
    if (auto parsed = ProfileName::parse(name)) rule.profile = *std::move(parsed);
    else open.report(*node, "profile", "is " + parsed.error().text());
  }
  read_ids(open, "users", resolve_user, rule.uids);
  read_ids(open, "groups", resolve_group, rule.gids);
  if (rule.uids.empty() && rule.gids.empty() && open.errors().none())
    open.errors().report(open.line(), "section [[open]] lets nobody in; add users = [...] or groups = [...]");
  open.finish();
  rules.push_back(std::move(rule));
}

// As Docker writes its own: digits.digits.digits, and what a distribution adds.
bool is_docker_version(std::string_view text) {
  if (text.size() > limits::kMaxDockerVersionBytes) return false;
  for (int part = 0; part < 3; ++part) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || (part < 2 && (digits == text.size() || text[digits] != '.'))) return false;
    text.remove_prefix(part < 2 ? digits + 1 : digits);
  }
  return text.empty() || (std::string_view("+-~").contains(text[0]) && detail::all(text.substr(1), [](char c) {
                            return detail::is_alnum(c) || c == '.' || c == '+' || c == '-' || c == '~';
                          }));
}

void read_docker_version(TomlTable& root, std::string& into) {
  const TomlNode* node = root.take("docker_version");
  if (!root.text("docker_version", into) || is_docker_version(into)) return;
  root.report(*node, "docker_version", "must be MAJOR.MINOR.PATCH, as Docker's own: \"28.5.2\"");
}

void read_stop_within(TomlTable& root, std::chrono::seconds& into) {
  std::optional<std::chrono::seconds> read;
  if (read_duration(root, "stop_within", kLongestGrace, read)) into = *read;
}

void read_user(TomlTable& root, BrokerConfig& into) {
  const TomlNode* node = root.take("user");
  if (node != nullptr && node->kind == TomlNode::Kind::Integer && node->integer >= 0)
    into.user = std::to_string(node->integer);
  else if (!root.text("user", into.user)) return;
  if (into.user == "root" || parse_number(into.user) == 0U)
    root.report(*node, "user", "must not be root: the keeper needs no powers but the Docker socket; use \"sallyport\"");
}

}  // namespace

Result<BrokerConfig> parse_config(std::string_view text, const std::string& file) {
  if (text.size() > kMaxConfigurationBytes) return fail(file + ": is larger than 64 KiB; shorten it");
  const TomlNode tree = TRY(parse_toml(text, file));
  TomlErrors errors(file);
  TomlTable root(&tree, "", errors);
  BrokerConfig config;
  config.file = file;
  read_path(root, "profile_directory", config.profile_directory);
  read_path(root, "state_directory", config.state_directory);
  read_path(root, "log_directory", config.log_directory);
  read_path(root, "runtime_directory", config.runtime_directory);
  read_path(root, "docker_socket", config.docker_socket);
  read_docker_version(root, config.docker_version);
  read_user(root, config);
  read_span(root, config.uid_span);
  read_stop_within(root, config.stop_within);
  const std::uint64_t room =
      (std::uint64_t{config.uid_span.last} - config.uid_span.first + 1) / limits::kUidsPerSession;
  const bool named = read_count(root, "max_sessions", {1, limits::kMaxSessions}, config.max_sessions);
  if (named && config.max_sessions > room)
    errors.report(root.line_of("max_sessions"), "key max_sessions is " + std::to_string(config.max_sessions) +
                                                    ", but uid_span has room for " + std::to_string(room) +
                                                    "; widen it");
  config.max_sessions = static_cast<std::uint32_t>(std::min<std::uint64_t>(config.max_sessions, room));
  for (TomlTable& open : root.tables("open")) read_open(std::move(open), config.open);
  root.finish();
  TRY(errors.result());
  return config;
}

Result<> check_usable(const BrokerConfig& config) {
  if (!config.open.empty())
    return fail(config.file +
                ": section [[open]] is of no use yet: only `sallyport run` opens sessions, and it needs root, to take "
                "uids and to mount; remove the section");
  const std::string path = config.control_socket();
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() <= kMost) return {};
  return fail("the socket " + path + " has a longer name than a socket may have (" + std::to_string(kMost) +
              "): choose a shorter runtime_directory");
}

bool is_misconfiguration(const Error& error) {
  return !error.may_pass && (error.code == 0 || error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP);
}

static void resolve_keeper(BrokerConfig& config) {
  // A host without that user can still run a profile that needs no broker: only the broker refuses a user_id of 0.
  if (const auto id = resolve_user(config.user)) config.user_id = *id;
}

Result<BrokerConfig> load_config(const std::string& file) {
  const std::string bytes = TRY(read_root_file(file));
  BrokerConfig config = TRY(parse_config(bytes, file));
  resolve_keeper(config);
  return config;
}

Result<BrokerConfig> find_config(const std::optional<std::string>& named) {
  if (named) return load_config(*named);
  if (::access(kDefaultConfigFile, F_OK) == 0 || errno != ENOENT) return load_config(kDefaultConfigFile);
  BrokerConfig config;
  resolve_keeper(config);
  return config;
}

}  // namespace sallyport
