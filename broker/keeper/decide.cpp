#include "broker/keeper/decide.hpp"

#include "broker/api/names.hpp"
#include "broker/engine/explain.hpp"
#include "broker/engine/json_writer.hpp"
#include "broker/keeper/plan_container.hpp"
#include "broker/keeper/refuse.hpp"
#include "broker/protocol/verbs.hpp"

namespace sallyport::keeper {

using protocol::CreateContainer;

namespace {

constexpr std::int64_t kMinMemory = 6 << 20;  // dockerd's own (daemon/daemon_unix.go)

// The form of what the client wrote; an honest gate has seen to it. What keeps the host safe is in effective.cpp.
Verdict decide_texts(const CreateContainer& ask) {
  for (const auto& entry : ask.environment.items)
    if (!api::is_environment_entry(entry.value))
      return refuse(400, "Env", "an entry of Env is neither KEY=VALUE nor KEY");
  for (const auto& label : ask.labels.items)
    if (label.key.value.empty() || !engine::is_plain_text(label.key.value) || !engine::is_plain_text(label.value.value))
      return refuse(400, "Labels", "a label is empty, or holds a NUL or bytes that are not UTF-8");
  const std::string& hostname = ask.hostname.value;
  if (!hostname.empty() && !api::is_hostname(hostname))
    return refuse(400, "Hostname", "Hostname may hold letters, digits, -, _ and single dots only");
  return {};
}

Verdict decide_numbers(const CreateContainer& ask) {
  if (ask.memory < 0 || ask.nano_cpus < 0 || ask.pids < 0 || ask.shm_bytes < 0)
    return refuse(400, "HostConfig", "a limit in HostConfig is negative");
  if (ask.memory != 0 && ask.memory < kMinMemory)
    return refuse(400, "HostConfig.Memory", "Minimum memory limit allowed is 6MB");
  if (ask.stop_signal != 0 && !api::is_signal(ask.stop_signal))
    return refuse(400, "StopSignal", "StopSignal is not a signal");
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

// What it keeps is the keeper's own memory, which all sessions share.
Verdict decide_room(const CreateContainer& ask, const Ledger& ledger) {
  const std::size_t name_bytes = ask.name ? ask.name->text().size() : kMadeUpNameBytes;
  const std::size_t wanted =
      with_room_to_remember(kept_bytes_of(name_bytes, image_as_shown(ask).size(), ask.labels.items));
  if (ledger.kept_bytes() + wanted <= limits::kMaxLedgerTextBytes) return {};
  return refuse(403, std::string(kLedgerRule),
                "the labels, names and images of the session's " + std::to_string(ledger.count()) +
                    " containers take " + std::to_string(ledger.kept_bytes()) + " bytes of the broker's memory, this " +
                    "one's need " + std::to_string(wanted) + ", and a session may have " +
                    std::to_string(limits::kMaxLedgerTextBytes) +
                    ": remove a container first, or give it fewer and shorter labels");
}

Verdict decide_runtime(const CreateContainer& ask, const Profile& profile) {
  const std::string& in_force = profile.docker->container.runtime;
  if (ask.runtime.value.empty() || ask.runtime.value == in_force) return {};
  return refuse(403, "HostConfig.Runtime",
                "HostConfig.Runtime " + engine::shown(ask.runtime.value) + " is not allowed: the runtime is " +
                    in_force + in_profile(profile));
}

}  // namespace

std::string image_as_shown(const CreateContainer& ask) {
  return ask.image_as_written ? ask.image_as_written->text() : api::familiar_image(ask.image.text());
}

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

Verdict decide_create(const CreateContainer& ask, const Profile& profile, const Ledger& ledger) {
  if (!profile.docker) return refuse(403, "docker", "this profile has no [docker] section" + in_profile(profile));
  for (const auto check : {decide_texts, decide_numbers})
    if (Verdict refusal = check(ask)) return refusal;
  if (!image_is_allowed(profile.docker->images, ask.image.text())) {
    std::string allowed;
    for (const std::string& pattern : profile.docker->images) allowed += (allowed.empty() ? "" : ", ") + pattern;
    return refuse(403, "Image",
                  "image " + api::familiar_image(ask.image.text()) + " is not allowed: this profile allows " +
                      (allowed.empty() ? "none" : allowed.substr(0, 400)) + in_profile(profile));
  }
  if (Verdict refusal = decide_runtime(ask, profile)) return refusal;
  if (Verdict refusal = decide_name(ask, ledger)) return refusal;
  if (Verdict refusal = decide_budget(ask, profile, ledger)) return refusal;
  return decide_room(ask, ledger);
}

Verdict decide_rate(std::string_view what, std::uint32_t per_minute, std::uint32_t retry_after) {
  Refusal refusal = refuse(429, "docker.budget." + std::string(what),
                           "more than " + std::to_string(per_minute) + " " + std::string(what) + " in a minute" +
                               std::string(what == "requests" ? ", by their weight" : "") + "; try again in " +
                               std::to_string(retry_after) + " s");
  refusal.retry_after = retry_after;
  return refusal;
}

}  // namespace sallyport::keeper
