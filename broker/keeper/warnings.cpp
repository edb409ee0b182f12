#include <algorithm>
#include <cstdio>

#include "broker/engine/explain.hpp"
#include "broker/keeper/plan_container.hpp"

namespace sallyport::keeper {

using engine::ContainerPlan;
using protocol::CreateContainer;

namespace {

// "0.5", without needless zeros.
std::string cpus_text(std::int64_t nano_cpus) {
  char text[32];
  (void)std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(nano_cpus / 1'000'000'000),
                      static_cast<long long>(nano_cpus % 1'000'000'000 / 1'000'000));
  std::string out = text;
  while (out.ends_with('0')) out.pop_back();
  if (out.ends_with('.')) out.pop_back();
  return out;
}
std::string octal(std::uint32_t mode) {
  char text[16];
  (void)std::snprintf(text, sizeof text, "%o", mode);
  return text;
}

class Warnings {
 public:
  explicit Warnings(std::vector<Warning>& into) : into_(into) {}
  // What was asked for, and what stands instead.
  void add(const std::string& field, const std::string& asked, const std::string& instead) {
    const std::string words = "sallyport: " + field + " " + asked + " does not hold: " + instead;
    into_.push_back({field, words.substr(0, limits::kMaxWarningBytes)});
  }
  void number(const std::string& field, std::int64_t asked, const std::string& instead) {
    add(field, asked < 0 ? "without a limit" : std::to_string(asked), instead);
  }
  // A limit that is held to the profile's; 0: not asked for.
  void limit(const std::string& field, std::int64_t asked, std::int64_t in_force) {
    if (asked != 0 && asked != in_force) number(field, asked, "this profile allows " + std::to_string(in_force));
  }

 private:
  std::vector<Warning>& into_;
};

void warn_of_user(Warnings& warnings, const CreateContainer& ask, const ContainerPlan& plan) {
  const std::string uid = std::to_string(plan.uid);
  const std::string& user = ask.wishes.user.value;
  if (!user.empty() && user != uid && user != uid + ":" + uid)
    warnings.add("User", engine::shown(user), "containers run as the session's own user, " + uid);
}

void warn_of_memory(Warnings& warnings, const CreateContainer& ask, const ContainerPlan& plan) {
  warnings.limit("HostConfig.Memory", ask.memory, plan.memory_bytes);
  const protocol::Wishes& wishes = ask.wishes;
  if (wishes.memory_swap != 0 && wishes.memory_swap != plan.memory_bytes)
    warnings.number("HostConfig.MemorySwap", wishes.memory_swap,
                    "containers have no swap, so memory and swap together are " + std::to_string(plan.memory_bytes));
  if (wishes.memory_reservation != 0)
    warnings.number("HostConfig.MemoryReservation", wishes.memory_reservation, "no memory is reserved");
  if (wishes.memory_swappiness > 0)
    warnings.number("HostConfig.MemorySwappiness", wishes.memory_swappiness, "containers have no swap");
  warnings.limit("HostConfig.ShmSize", ask.shm_bytes, plan.shm_bytes);
  if (wishes.oom_score != 0 && wishes.oom_score != limits::kOomScoreOfHostile)
    warnings.number(
        "HostConfig.OomScoreAdj", wishes.oom_score,
        "it is " + std::to_string(limits::kOomScoreOfHostile) + ", so that a container dies before its host");
}

void warn_of_cpus(Warnings& warnings, const CreateContainer& ask, const ContainerPlan& plan) {
  constexpr std::int64_t kUsualShares = 1024;  // the kernel's default, which holds
  const std::string in_force = cpus_text(plan.cpu_quota * engine::kNanoCpusPerQuota);
  const std::int64_t quota = ask.wishes.cpu_quota;
  const bool differs = ask.nano_cpus != 0 && ask.nano_cpus / engine::kNanoCpusPerQuota != plan.cpu_quota;
  if (quota < 0) warnings.number("HostConfig.CpuQuota", quota, "this profile allows " + in_force + " CPUs");
  else if (differs && quota != 0) warnings.number("HostConfig.CpuQuota", quota, in_force + " CPUs are in force");
  else if (differs) warnings.add("HostConfig.NanoCpus", cpus_text(ask.nano_cpus), in_force + " CPUs are in force");
  if (ask.wishes.cpu_period != 0 && ask.wishes.cpu_period != engine::kCpuPeriod)
    warnings.number("HostConfig.CpuPeriod", ask.wishes.cpu_period,
                    "CPU time is given out in periods of " + std::to_string(engine::kCpuPeriod));
  if (ask.wishes.cpu_shares != 0 && ask.wishes.cpu_shares != kUsualShares)
    warnings.number("HostConfig.CpuShares", ask.wishes.cpu_shares, "CPU time is the profile's");
  if (ask.wishes.blkio_weight != 0)
    warnings.number("HostConfig.BlkioWeight", ask.wishes.blkio_weight, "disk shares are the profile's");
}

void warn_of_processes(Warnings& warnings, const CreateContainer& ask, const ContainerPlan& plan) {
  warnings.limit("HostConfig.PidsLimit", ask.wishes.unlimited_pids ? -1 : ask.pids, plan.pids);
  if (ask.wishes.ulimit_nofile) warnings.add("HostConfig.Ulimits", "nofile", "it stays as dockerd has it");
  if (ask.wishes.ulimit_nproc) warnings.add("HostConfig.Ulimits", "nproc", "processes are limited by PidsLimit");
  if (ask.wishes.ulimit_core) warnings.add("HostConfig.Ulimits", "core", "containers write no core files");
  if (ask.wishes.stop_timeout != 0)
    warnings.add("StopTimeout", ask.wishes.stop_timeout < 0 ? "for ever" : std::to_string(ask.wishes.stop_timeout),
                 "at most " + std::to_string(limits::kMaxStopSeconds) + " s are waited");
}

void warn_of_files(Warnings& warnings, const CreateContainer& ask, const ContainerPlan& plan) {
  const protocol::Wishes& wishes = ask.wishes;
  if (wishes.log_bytes != 0 && wishes.log_bytes != static_cast<std::int64_t>(plan.log_bytes))
    warnings.number("HostConfig.LogConfig max-size", wishes.log_bytes,
                    "this profile keeps " + std::to_string(plan.log_bytes) + " bytes");
  if (wishes.log_files != 0 && wishes.log_files != engine::kLogFiles)
    warnings.number("HostConfig.LogConfig max-file", wishes.log_files, "logs are kept in one file");
  if (wishes.tmp_bytes != 0 && wishes.tmp_bytes != static_cast<std::int64_t>(plan.tmpfs_bytes))
    warnings.number("HostConfig.Tmpfs /tmp size", wishes.tmp_bytes,
                    "this profile gives it " + std::to_string(plan.tmpfs_bytes));
  if (wishes.tmp_mode.value_or(limits::kTmpMode) != limits::kTmpMode)
    warnings.add("HostConfig.Tmpfs /tmp mode", octal(*wishes.tmp_mode), "it is " + octal(limits::kTmpMode));
  if (wishes.tmp_noatime) warnings.add("HostConfig.Tmpfs /tmp", "noatime", "it is mounted without");
}

void warn_of_variables(std::vector<Warning>& into, const ContainerPlan& plan) {
  if (plan.withheld.empty()) return;
  std::string names;
  for (const std::string& key : plan.withheld) names += (names.empty() ? "" : ", ") + engine::shown(key);
  names.resize(std::min(names.size(), limits::kMaxWarningBytes / 2));
  into.push_back({"Image.Env",
                  "sallyport: Env " + names + " of the image is taken away: it steers container runtimes on the host"});
}

}  // namespace

std::vector<Warning> warnings_of(const CreateContainer& ask, const ContainerPlan& plan) {
  std::vector<Warning> list;
  Warnings warnings(list);
  for (const auto part : {warn_of_user, warn_of_memory, warn_of_cpus, warn_of_processes, warn_of_files})
    part(warnings, ask, plan);
  warn_of_variables(list, plan);
  return list;
}

std::string fields_of(const std::vector<Warning>& warnings) {
  std::string text;
  for (const Warning& warning : warnings) text += (text.empty() ? "imposed: " : ", ") + warning.field;
  return text;
}

}  // namespace sallyport::keeper
