#include <algorithm>
#include <array>

#include "sallyport/profile/profile.hpp"
#include "sallyport/profile/root_file.hpp"
#include "sallyport/profile/schema.hpp"
#include "sallyport/profile/values.hpp"

namespace sallyport {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kTiB = 1ULL << 40;
constexpr std::uint64_t kLeastContainerMemory = 6 * kMiB;  // dockerd 20.10 refuses less
constexpr std::uint64_t kMostPids = 4'194'304;             // PID_MAX_LIMIT, include/linux/threads.h

constexpr std::string_view kGroupNames[] = {"run", "stop", "remove", "observe"};
static_assert(std::size(kGroupNames) == static_cast<std::size_t>(ApiGroup::kCount));
constexpr std::string_view kLaterGroups[] = {"exec",  "copy",   "pull",   "images", "build",  "networks", "volumes",
                                             "pause", "update", "rename", "commit", "events", "system"};
constexpr std::string_view kRequirable[] = {"memory", "cpus", "pids", "time", "open_files", "output"};

// writable-rootfs: containers may write to their root, on the host's disk, without a bound (container.read_only =
// false).
constexpr std::string_view kWritableRootfs = "writable-rootfs";
constexpr std::string_view kLaterWeakenWords[] = {"shared-uid"};

template <std::size_t Count>
bool one_of(std::string_view word, const std::string_view (&words)[Count]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}
template <std::size_t Count>
std::string listed(const std::string_view (&words)[Count]) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

bool is_variable_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && !detail::is_digit(name[0]) &&
         detail::all(name, [](char c) { return detail::is_alnum(c) || c == '_'; });
}
bool is_set_by_us(std::string_view name) { return name == "DOCKER_HOST" || name.starts_with("SALLYPORT_"); }

void read_environment(TomlTable& worker, WorkerSection& into) {
  if (const TomlNode* node = worker.take("environment", TomlNode::Kind::Table)) {
    for (const TomlNode& value : node->items) {
      const std::string& name = value.key;
      const std::string key = "environment." + name;
      if (!is_variable_name(name))
        worker.report(value, key, "is not a name a variable can have ([A-Za-z_][A-Za-z0-9_]*)");
      else if (is_set_by_us(name)) worker.report(value, key, "is set by sallyport itself; remove it");
      else if (value.kind != TomlNode::Kind::Text) worker.report(value, key, "must be a string in quotes");
      else if (value.text.find('\0') != std::string::npos)
        worker.report(value, key, "holds a NUL character; remove it");
      else into.environment.emplace(name, value.text);
    }
  }
  const TomlNode* passed = worker.take("pass_environment");
  if (!worker.texts("pass_environment", into.pass_environment)) return;
  for (const std::string& name : into.pass_environment) {
    if (!is_variable_name(name)) worker.report(*passed, "pass_environment", "names something that is not a variable");
    else if (is_set_by_us(name)) worker.report(*passed, "pass_environment", "names " + name + ", which sallyport sets");
    else if (into.environment.contains(name))
      worker.report(*passed, "pass_environment", "names " + name + ", which environment sets too; remove it from one");
  }
}

void read_worker(TomlTable worker, WorkerSection& into) {
  only_value(worker, "user", "session");
  if (const TomlNode* command = worker.take("command"); worker.texts("command", into.command)) {
    if (into.command.empty() || into.command[0].empty())
      worker.report(*command, "command", "is empty; write [\"/usr/bin/program\", \"argument\"]");
    if (into.command.size() > limits::kMaxArguments) worker.report(*command, "command", "has more than 1024 arguments");
  }
  read_environment(worker, into);
  read_path(worker, "directory", into.directory);
  worker.finish();
}

// What the sandbox already has, or must not have: its own mounts, and the places where the host's sockets are.
constexpr std::array<std::string_view, 12> kNotReadable = {"/usr", "/bin",  "/sbin", "/lib", "/lib32", "/lib64",
                                                           "/etc", "/proc", "/sys",  "/dev", "/run",   "/var/run"};
// Directories of the sandbox's own, in which more can be shown.
constexpr std::array<std::string_view, 3> kNotItself = {"/tmp", "/var", "/var/tmp"};

void read_readable(TomlTable& sandbox, SandboxSection& into) {
  const TomlNode* node = sandbox.take("readable");
  if (!sandbox.texts("readable", into.readable) || into.readable.empty()) return;
  if (!into.host_root)
    sandbox.report(*node, "readable", "goes with root = \"host\"; put the files into the root directory");
  for (const std::string& path : into.readable) {
    if (!is_clean_absolute_path(path) || path == "/")
      sandbox.report(*node, "readable", "must hold absolute paths of directories or files other than /");
    for (const std::string_view taken : kNotReadable)
      if (path == taken || path.starts_with(std::string(taken) + "/"))
        sandbox.report(*node, "readable",
                       "names " + path + ": " + std::string(taken) + " of the sandbox is sallyport's own");
    for (const std::string_view taken : kNotItself)
      if (path == taken) sandbox.report(*node, "readable", "names " + path + "; name what is needed in it");
    for (const std::string& other : into.readable)
      if (path.starts_with(other + "/"))
        sandbox.report(*node, "readable", "names " + path + ", which lies in " + other + "; remove one");
  }
}

void read_sandbox(TomlTable sandbox, SandboxSection& into) {
  std::string root;
  if (const TomlNode* node = sandbox.take("root"); sandbox.text("root", root) && root != "host") {
    if (!is_clean_absolute_path(root) || root == "/")
      sandbox.report(*node, "root", "must be \"host\" or an absolute path of a directory other than /");
    into.host_root = false;
    into.root_directory = root;
  }
  read_readable(sandbox, into);
  if (const TomlNode* node = sandbox.take("hostname"); sandbox.text("hostname", into.hostname)) {
    const auto allowed = [](char c) { return detail::is_alnum(c) || c == '-'; };
    if (into.hostname.empty() || into.hostname.size() > limits::kMaxHostnameBytes || into.hostname[0] == '-' ||
        !detail::all(into.hostname, allowed))
      sandbox.report(*node, "hostname", "must be 1 to 63 letters, digits and '-'");
  }
  read_size(sandbox, "tmp", {64 << 10, kTiB}, into.tmp_bytes);
  sandbox.truth("loopback", into.loopback);
  sandbox.not_yet("writable", "writable directories");
  sandbox.not_yet("shared", "directories shared by sessions");
  sandbox.not_yet("workspace", "a filesystem of the session's own");
  sandbox.finish();
}

void check_required(TomlTable& limits, const LimitsSection& read) {
  const TomlNode* require = limits.take("require");
  for (const std::string& word : read.require) {
    if (!one_of(word, kRequirable)) {
      limits.report(*require, "require", "names something that is no limit; known: " + listed(kRequirable));
      continue;
    }
    const bool set = word == "memory" ? read.memory_bytes != 0
                     : word == "cpus" ? read.cpus != 0
                     : word == "pids" ? read.pids != 0
                     : word == "time" ? read.time.has_value()
                                      : true;
    if (!set)
      limits.report(*require, "require", "names " + word + ", which limits does not set; set it or remove the word");
  }
}

void read_limits(TomlTable limits, LimitsSection& into) {
  read_size(limits, "memory", {kMiB, 1024 * kTiB}, into.memory_bytes);
  read_cpus(limits, "cpus", into.cpus);
  read_count(limits, "pids", {1, kMostPids}, into.pids);
  read_duration(limits, "time", kAYear, into.time);
  read_duration(limits, "grace", kLongestGrace, into.grace);
  read_count(limits, "open_files", {16, 1'048'576}, into.open_files);
  read_size(limits, "output", {1, 1024 * kTiB}, into.output_bytes);
  read_rate(limits, "connections", into.connections_per_minute);
  if (limits.texts("require", into.require)) check_required(limits, into);
  limits.finish();
}

void read_seccomp(TomlTable seccomp, std::string& into) {
  const TomlNode* node = seccomp.take("profile");
  if (seccomp.text("profile", into) && into != "worker") {
    seccomp.report(*node, "profile",
                   into.find('/') == std::string::npos
                       ? "is not a shipped profile; the one there is: \"worker\""
                       : "as a file is not available in this version; use the shipped \"worker\"");
  }
  seccomp.finish();
}

void read_listen(TomlTable& forward, const TomlNode& node, const std::string& text, ForwardSection& into) {
  if (const auto unix_address = parse_unix_address(text)) {
    if (!unix_address->path.starts_with("/run/sallyport/") || unix_address->path == "/run/sallyport/docker.sock")
      forward.report(node, "listen",
                     "must be a path below /run/sallyport/, and not docker.sock, which is sallyport's own");
    into.listen = *unix_address;
  } else if (const auto tcp = parse_tcp_address(text)) {
    if (!tcp->address.starts_with("127."))
      forward.report(
          node, "listen",
          "must be a loopback address: the sandbox has no other; write 127.0.0.1:" + std::to_string(tcp->port));
    into.listen = *tcp;
  } else {
    forward.report(node, "listen",
                   "must be \"127.0.0.1:PORT\" or \"unix:/run/sallyport/NAME\"; host names are not "
                   "available in this version");
  }
}

void read_to(TomlTable& forward, const TomlNode& node, const std::string& text, ForwardSection& into) {
  if (const auto unix_address = parse_unix_address(text)) into.to = *unix_address;
  else if (const auto tcp = parse_tcp_address(text); tcp && !tcp->address.starts_with("0.")) into.to = *tcp;
  else
    forward.report(node, "to", "must be \"unix:/path/of/a.sock\" or \"10.0.0.1:PORT\"; host names are not looked up");
}

void read_forward(TomlTable forward, std::vector<ForwardSection>& forwards) {
  ForwardSection into;
  std::string text;
  for (const std::string_view key : {"listen", "to"}) {
    const TomlNode* node = forward.take(key);
    if (node == nullptr)
      forward.errors().report(forward.line(), "key forward." + std::string(key) + " is missing; add it");
    else if (forward.text(key, text)) (key == "listen" ? read_listen : read_to)(forward, *node, text, into);
  }
  if (const TomlNode* node = forward.take("group"); forward.text("group", into.group)) {
    if (into.group == "root" || into.group == "0" || into.group == "docker")
      forward.report(*node, "group",
                     "would give the upstream's dialer the powers of " + into.group + "; use another group");
    else if (into.group.empty() || into.group.size() > 32 || into.group.find(':') != std::string::npos)
      forward.report(*node, "group", "must be a group's name, or its number in quotes");
  }
  for (const ForwardSection& other : forwards)
    if (other.listen == into.listen)
      forward.errors().report(forward.line_of("listen"),
                              "key forward.listen repeats an earlier forward's; give it its own");
  forward.finish();
  forwards.push_back(std::move(into));
}

void read_groups(TomlTable& docker, DockerSection& into) {
  const TomlNode* node = docker.take("allow", TomlNode::Kind::Array);
  if (node == nullptr) return;
  for (const TomlNode& item : node->items) {
    const auto found = std::find(std::begin(kGroupNames), std::end(kGroupNames), item.text);
    if (item.kind == TomlNode::Kind::Text && found != std::end(kGroupNames)) {
      into.allow[static_cast<std::size_t>(found - std::begin(kGroupNames))] = true;
    } else if (one_of(item.text, kLaterGroups)) {
      docker.report(item, "allow", "names " + item.text + ", which is not available in this version; remove it");
    } else {
      const std::string close = closest_word(item.text, {std::begin(kGroupNames), std::end(kGroupNames)});
      docker.report(item, "allow",
                    "names a group that is not known; " +
                        (close.empty() ? "known: " + listed(kGroupNames) : "did you mean " + close + "?"));
    }
  }
}

void read_images(TomlTable& docker, DockerSection& into) {
  const TomlNode* node = docker.take("images");
  std::vector<std::string> patterns;
  docker.texts("images", patterns);
  for (const std::string& pattern : patterns) {
    if (const auto normal = normal_image_pattern(pattern)) into.images.push_back(*normal);
    else docker.report(*node, "images", "names something that is no image or pattern; write \"busybox:*\"");
  }
  if (into.allows(ApiGroup::Run) && patterns.empty())
    docker.errors().report(
        docker.line_of("images"),
        "key docker.images is empty, but docker.allow has \"run\"; name the images, or remove \"run\"");
}

void read_container(TomlTable container, ContainerSection& into) {
  only_value(container, "user", "session");
  only_value(container, "network", "none");
  read_size(container, "memory", {kLeastContainerMemory, 1024 * kTiB}, into.memory_bytes);
  read_cpus(container, "cpus", into.cpus);
  read_count(container, "pids", {1, kMostPids}, into.pids);
  read_size(container, "shm", {64 << 10, kTiB}, into.shm_bytes);
  read_size(container, "tmp", {64 << 10, kTiB}, into.tmp_bytes);
  read_size(container, "log", {64 << 10, kTiB}, into.log_bytes);
  if (const TomlNode* node = container.take("runtime"); container.text("runtime", into.runtime)) {
    if (!ContainerNameGrammar::accepts(into.runtime))
      container.report(*node, "runtime", "must be a runtime's name as dockerd knows it, such as \"runc\"");
  }
  container.truth("read_only", into.read_only);
  container.finish();
}

void read_budget(TomlTable budget, const ContainerSection& container, BudgetSection& into) {
  read_count(budget, "containers", {1, limits::kMaxContainers}, into.containers);
  read_rate(budget, "creates", into.creates_per_minute);
  read_rate(budget, "requests", into.requests_per_minute);
  read_duration(budget, "lifetime", kAYear, into.lifetime);
  if (const TomlNode* node = budget.take("memory");
      read_size(budget, "memory", {kLeastContainerMemory, 1024 * kTiB}, into.memory_bytes) &&
      container.memory_bytes > into.memory_bytes)
    budget.report(*node, "memory",
                  "is less than docker.container.memory, so no container could be made; raise it, or "
                  "lower the other");
  budget.finish();
}

void read_docker(TomlTable docker, DockerSection& into) {
  read_groups(docker, into);
  read_images(docker, into);
  read_container(docker.table("container"), into.container);
  read_budget(docker.table("budget"), into.container, into.budget);
  docker.not_yet("mount", "mounts of host directories");
  docker.not_yet("network", "networks of the session");
  docker.not_yet("volume", "volumes of the session");
  docker.finish();
}

void read_weaken(TomlTable& root, Profile& into) {
  const TomlNode* node = root.take("weaken");
  root.texts("weaken", into.weaken);
  bool writable_rootfs = false;
  for (const std::string& word : into.weaken) {
    if (word == kWritableRootfs) writable_rootfs = true;
    else if (one_of(word, kLaterWeakenWords))
      root.report(*node, "weaken",
                  "names " + word +
                      ", which is not available in "
                      "this version; remove it");
    else root.report(*node, "weaken", "names a word that is not known; the one there is: \"writable-rootfs\"");
  }
  const bool needed = into.docker && !into.docker->container.read_only;
  if (needed && !writable_rootfs)
    root.errors().report(root.line(),
                         "docker.container.read_only = false lets containers write to the host's disk without "
                         "a bound; if that is wanted, add weaken = [\"writable-rootfs\"] at the top of the file");
  if (writable_rootfs && !needed)
    root.report(*node, "weaken", "names writable-rootfs, but docker.container.read_only is not false; remove the word");
}

}  // namespace

std::string_view name_of(ApiGroup group) {
  const auto index = static_cast<std::size_t>(group);
  return index < std::size(kGroupNames) ? kGroupNames[index] : std::string_view("?");
}

Result<Profile> parse_profile(std::string_view text, const ProfileName& name, const std::string& file) {
  if (text.size() > kMaxConfigurationBytes) return fail(file + ": is larger than 64 KiB; shorten it");
  const TomlNode tree = TRY(parse_toml(text, file));
  TomlErrors errors(file);
  TomlTable root(&tree, "", errors);
  Profile profile;
  profile.name = name;
  read_worker(root.table("worker"), profile.worker);
  read_sandbox(root.table("sandbox"), profile.sandbox);
  read_limits(root.table("limits"), profile.limits);
  read_seccomp(root.table("seccomp"), profile.seccomp);
  for (TomlTable& forward : root.tables("forward")) read_forward(std::move(forward), profile.forwards);
  if (profile.forwards.size() > limits::kMaxForwards)
    errors.report(root.line_of("forward"),
                  "there are more than " + std::to_string(limits::kMaxForwards) + " [[forward]] sections; remove some");
  if (TomlTable docker = root.table("docker"); docker.present()) read_docker(docker, profile.docker.emplace());
  read_weaken(root, profile);
  root.finish();
  TRY(errors.result());
  return profile;
}

}  // namespace sallyport
