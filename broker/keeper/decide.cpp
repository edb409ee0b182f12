#include "broker/keeper/decide.hpp"

#include <algorithm>
#include <cmath>

#include "broker/api/names.hpp"
#include "broker/engine/json_writer.hpp"
#include "broker/protocol/verbs.hpp"

namespace sallyport::keeper {

using protocol::CreateContainer;

namespace {

constexpr std::int64_t kLeastQuota = engine::kCpuPeriod / 10;  // less would only make its end slow
constexpr std::int64_t kMinMemory = 6 << 20;                   // dockerd's own (daemon/daemon_unix.go)
// A container has to fit into one inspection: arguments stand there twice.
constexpr std::size_t kMaxDescriptionBytes = limits::kMaxMessageBytes - 24 * 1024;

Refusal refuse(std::uint16_t status, std::string rule, std::string message) {
  return {status, std::move(rule), "sallyport: " + std::move(message), 0};
}
std::string in_profile(const Profile& profile) { return " (profile " + profile.name.text() + ")"; }

template <class Texts>
bool all_plain(const Texts& texts) {
  return std::ranges::all_of(texts.items, [](const auto& item) { return engine::is_plain_text(item.value); });
}
template <class Texts>
std::size_t bytes_of(const Texts& texts) {
  std::size_t sum = 0;
  for (const auto& item : texts.items) sum += item.value.size() + 8;
  return sum;
}

Verdict decide_arguments(const CreateContainer& ask) {
  if (ask.command && !all_plain(*ask.command)) return refuse(400, "Cmd", "Cmd holds a NUL or bytes that are not UTF-8");
  if (ask.entrypoint && !all_plain(*ask.entrypoint))
    return refuse(400, "Entrypoint", "Entrypoint holds a NUL or bytes that are not UTF-8");
  std::size_t size = bytes_of(ask.environment);
  if (ask.command) size += 2 * bytes_of(*ask.command);
  if (ask.entrypoint) size += 2 * bytes_of(*ask.entrypoint);
  for (const auto& label : ask.labels.items) {
    if (label.key.value.empty() || !engine::is_plain_text(label.key.value) || !engine::is_plain_text(label.value.value))
      return refuse(400, "Labels", "a label is empty, or holds a NUL or bytes that are not UTF-8");
    size += label.key.value.size() + label.value.value.size() + 8;
  }
  if (size > kMaxDescriptionBytes)
    return refuse(413, "Cmd", "arguments, environment and labels of this container are too large together");
  return {};
}

Verdict decide_environment(const CreateContainer& ask) {
  for (const auto& entry : ask.environment.items) {
    if (!api::is_environment_entry(entry.value) || !engine::is_plain_text(entry.value))
      return refuse(400, "Env", "an entry of Env is not KEY=VALUE, or holds a NUL or bytes that are not UTF-8");
    if (api::steers_runtime(entry.value))
      return refuse(403, "Env",
                    "Env " + entry.value.substr(0, entry.value.find('=')).substr(0, 64) +
                        " is not allowed: it steers container runtimes on the host");
  }
  return {};
}

// runc before 1.1.12 opens the working directory with descriptors of the host still at hand (CVE-2024-21626).
Verdict decide_places(const CreateContainer& ask) {
  const std::string& directory = ask.working_directory.value;
  if (!directory.empty() && (!api::is_allowed_directory(directory) || !engine::is_plain_text(directory)))
    return refuse(403, "WorkingDir",
                  "WorkingDir must be an absolute path without . and .. in it, and not beneath /proc, /sys or /dev");
  const std::string& hostname = ask.hostname.value;
  if (!detail::all(hostname, [](char c) { return detail::is_alnum(c) || c == '-'; }))
    return refuse(400, "Hostname", "Hostname may hold letters, digits and - only");
  return {};
}

Verdict decide_numbers(const CreateContainer& ask) {
  if (ask.memory < 0 || ask.nano_cpus < 0 || ask.pids < 0 || ask.shm_bytes < 0)
    return refuse(400, "HostConfig", "a limit in HostConfig is negative");
  if (ask.memory != 0 && ask.memory < kMinMemory)
    return refuse(400, "HostConfig.Memory", "Minimum memory limit allowed is 6MB");
  if (ask.stop_signal > 64) return refuse(400, "StopSignal", "StopSignal is not a signal");
  return {};
}

Verdict decide_name(const CreateContainer& ask, const Ledger& ledger) {
  if (!ask.name) return {};
  const Owned other = ledger.conflict(*ask.name);
  if (!other) return {};
  const std::string by = other->id.empty() ? "" : " by container \"" + other->id.text() + "\"";
  return Refusal{409, "name",
                 "Conflict. The container name \"/" + ask.name->text() + "\" is already in use" + by +
                     ". You have to remove (or rename) that container to be able to reuse that name.",
                 0};
}

Verdict decide_budget(const CreateContainer& ask, const Profile& profile, const Ledger& ledger) {
  const BudgetSection& budget = profile.docker->budget;
  if (ledger.count() >= budget.containers)
    return refuse(403, "docker.budget.containers",
                  "the session has " + std::to_string(ledger.count()) + " containers, and its budget is " +
                      std::to_string(budget.containers) + ": remove one first" + in_profile(profile));
  const ContainerSection& section = profile.docker->container;
  const std::uint64_t most =
      budget.memory_bytes != 0 ? budget.memory_bytes : std::uint64_t{budget.containers} * section.memory_bytes;
  const std::uint64_t wanted = memory_of(ask, section);
  if (wanted > most || ledger.memory_bytes() > most - wanted)
    return refuse(403, "docker.budget.memory",
                  "the session's containers have " + std::to_string(ledger.memory_bytes()) +
                      " bytes of memory, this one asks for " + std::to_string(wanted) + ", and their budget is " +
                      std::to_string(most) + in_profile(profile));
  return {};
}

std::int64_t clamp(std::int64_t asked, std::uint64_t most) {
  const auto ceiling = static_cast<std::int64_t>(most);
  return asked == 0 ? ceiling : std::min(asked, ceiling);
}

// Without the one slash that it may end in.
std::string_view volume_path(std::string_view declared) {
  if (declared.size() > 1 && declared.ends_with('/')) declared.remove_suffix(1);
  return declared;
}

}  // namespace

const api::Endpoint* endpoint_of(const protocol::Request& request) {
  const api::Verb verb = protocol::verb_of(request);
  if (verb == api::Verb::None) return nullptr;
  for (const api::Endpoint& endpoint : api::kEndpoints)
    if (endpoint.verb == verb) return &endpoint;
  return nullptr;
}

Verdict decide_group(const api::Endpoint& endpoint, const Profile& profile) {
  if (!profile.docker) return refuse(403, "docker", "this profile has no [docker] section" + in_profile(profile));
  if (endpoint.rule != api::EndpointRule::Serve)
    return refuse(403, std::string(endpoint.path), std::string(endpoint.reason));
  if (!endpoint.group || profile.docker->allows(*endpoint.group)) return {};
  const std::string group(name_of(*endpoint.group));
  return refuse(403, "docker.allow",
                std::string(api::name_of(endpoint.method)) + " " + std::string(endpoint.path) + " is not allowed: \"" +
                    group + "\" is not in docker.allow" + in_profile(profile));
}

std::uint64_t memory_of(const CreateContainer& ask, const ContainerSection& section) {
  return static_cast<std::uint64_t>(clamp(ask.memory, section.memory_bytes));
}

Verdict decide_create(const CreateContainer& ask, const Profile& profile, const Ledger& ledger) {
  if (!profile.docker) return refuse(403, "docker", "this profile has no [docker] section" + in_profile(profile));
  for (const auto check : {decide_arguments, decide_environment, decide_places, decide_numbers})
    if (Verdict refusal = check(ask)) return refusal;
  if (!image_is_allowed(profile.docker->images, ask.image.text())) {
    std::string allowed;
    for (const std::string& pattern : profile.docker->images) allowed += (allowed.empty() ? "" : ", ") + pattern;
    return refuse(403, "Image",
                  "image " + api::familiar_image(ask.image.text()) + " is not allowed: this profile allows " +
                      (allowed.empty() ? "none" : allowed.substr(0, 400)) + in_profile(profile));
  }
  if (Verdict refusal = decide_name(ask, ledger)) return refusal;
  return decide_budget(ask, profile, ledger);
}

Verdict decide_image(const CreateContainer& ask, const engine::ImageFacts& image) {
  const std::string name = "image " + api::familiar_image(ask.image.text());
  if (image.volumes.size() > limits::kMaxImageVolumes)
    return refuse(403, "Image.Volumes",
                  name + " declares more than " + std::to_string(limits::kMaxImageVolumes) + " volumes");
  for (const std::string& declared : image.volumes) {
    const std::string_view path = volume_path(declared);
    if (path == "/" || !api::is_allowed_directory(path) || !engine::is_plain_text(path))
      return refuse(403, "Image.Volumes", name + " declares a volume at a path that cannot be covered by a tmpfs");
  }
  return {};
}

Verdict decide_rate(std::string_view what, std::uint32_t per_minute, std::uint32_t retry_after) {
  Refusal refusal = refuse(429, "docker.budget." + std::string(what),
                           "more than " + std::to_string(per_minute) + " " + std::string(what) +
                               " in a minute; try again in " + std::to_string(retry_after) + " s");
  refusal.retry_after = retry_after;
  return refusal;
}

std::string cgroup_parent(const SessionId& session, bool systemd_cgroups) {
  return systemd_cgroups ? "sallyport-" + session.text() + ".slice" : "/sallyport-" + session.text();
}

engine::ContainerPlan plan_container(const CreateContainer& ask, const ContainerSection& section,
                                     const engine::ImageFacts& image, const PlanFacts& facts,
                                     const ContainerName& name) {
  engine::ContainerPlan plan;
  plan.dockerd_name = "sp-" + facts.session.text() + "-" + name.text();
  plan.image = image.id;
  plan.uid = facts.container_uid;
  plan.broker = facts.broker;
  plan.session = facts.session;
  plan.cgroup_parent = cgroup_parent(facts.session, facts.systemd_cgroups);
  for (const std::string& declared : image.volumes) plan.volumes.emplace_back(volume_path(declared));
  std::ranges::sort(plan.volumes);
  const auto repeated = std::ranges::unique(plan.volumes);
  plan.volumes.erase(repeated.begin(), repeated.end());
  plan.tmp = std::ranges::find(plan.volumes, "/tmp") == plan.volumes.end();
  plan.tmpfs_bytes = section.tmp_bytes;
  plan.memory_bytes = clamp(ask.memory, section.memory_bytes);
  const auto most_quota = static_cast<std::uint64_t>(std::llround(section.cpus * engine::kCpuPeriod));
  const std::int64_t least_quota = std::clamp<std::int64_t>(static_cast<std::int64_t>(most_quota), 1000, kLeastQuota);
  plan.cpu_quota =
      std::max<std::int64_t>(clamp(ask.nano_cpus / (1'000'000'000 / engine::kCpuPeriod), most_quota), least_quota);
  plan.pids = clamp(ask.pids, section.pids);
  plan.shm_bytes = clamp(ask.shm_bytes, section.shm_bytes);
  plan.log_bytes = section.log_bytes;
  plan.runtime = section.runtime;
  plan.read_only = section.read_only || ask.read_only;
  plan.add_home = !image.sets_home && std::ranges::none_of(ask.environment.items, [](const auto& entry) {
    return entry.value.starts_with("HOME=");
  });
  plan.stop_timeout = std::min(ask.stop_timeout.value_or(10), limits::kMaxStopSeconds);
  return plan;
}

}  // namespace sallyport::keeper
