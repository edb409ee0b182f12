#include "broker/keeper/plan_container.hpp"

#include <algorithm>
#include <cmath>

#include "broker/keeper/effective.hpp"

namespace sallyport::keeper {

using protocol::CreateContainer;

namespace {

constexpr std::int64_t kLeastQuota = engine::kCpuPeriod / 10;  // less would only make its end slow

std::int64_t clamp(std::int64_t asked, std::uint64_t most) {
  const auto ceiling = static_cast<std::int64_t>(most);
  return asked == 0 ? ceiling : std::min(asked, ceiling);
}

}  // namespace

std::uint64_t memory_of(const CreateContainer& ask, const ContainerSection& section) {
  return static_cast<std::uint64_t>(clamp(ask.memory, section.memory_bytes));
}

std::string cgroup_parent(const SessionId& session, bool systemd_cgroups) {
  return systemd_cgroups ? "sallyport-" + session.text() + ".slice" : "/sallyport-" + session.text();
}

engine::ContainerPlan plan_container(const CreateContainer& ask, const ContainerSection& section,
                                     const engine::ImageFacts& image, const PlanFacts& facts,
                                     const ContainerName& name) {
  const Effective effective = merge(ask, image);
  engine::ContainerPlan plan;
  plan.dockerd_name = "sp-" + facts.session.text() + "-" + name.text();
  plan.image = image.id;
  plan.uid = facts.container_uid;
  plan.broker = facts.broker;
  plan.session = facts.session;
  plan.cgroup_parent = cgroup_parent(facts.session, facts.systemd_cgroups);
  plan.volumes.assign(effective.volumes.begin(), effective.volumes.end());
  plan.withheld.assign(effective.withheld.begin(), effective.withheld.end());
  plan.tmp = std::ranges::find(plan.volumes, "/tmp") == plan.volumes.end();
  plan.tmpfs_bytes = section.tmp_bytes;
  plan.memory_bytes = clamp(ask.memory, section.memory_bytes);
  const auto most_quota = static_cast<std::uint64_t>(std::llround(section.cpus * engine::kCpuPeriod));
  const std::int64_t least_quota = std::clamp<std::int64_t>(static_cast<std::int64_t>(most_quota), 1000, kLeastQuota);
  plan.cpu_quota = std::max<std::int64_t>(clamp(ask.nano_cpus / engine::kNanoCpusPerQuota, most_quota), least_quota);
  plan.pids = clamp(ask.pids, section.pids);
  plan.shm_bytes = clamp(ask.shm_bytes, section.shm_bytes);
  plan.core_limit = facts.core_limit;
  plan.log_bytes = section.log_bytes;
  plan.runtime = section.runtime;
  plan.read_only = section.read_only || ask.read_only;
  plan.add_home = std::ranges::none_of(
      effective.environment, [](std::string_view entry) { return entry == "HOME" || entry.starts_with("HOME="); });
  plan.stop_timeout = std::min(ask.stop_timeout.value_or(10), limits::kMaxStopSeconds);
  return plan;
}

}  // namespace sallyport::keeper
