#include "launcher/plan.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <set>

namespace sallyport::launcher {
namespace {

constexpr std::array kDevices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr std::uint64_t kMaxLockedMemory = 8ULL << 20;  // Linux's own default for users since 5.16
constexpr std::uint64_t kMaxPendingSignals = 4096;      // and timers; each is memory of the kernel

using Kind = RootEntry::Kind;

void add_accounts(Plan& plan) {
  const auto file = [&](const char* path, std::string content) {
    plan.root.push_back({.kind = Kind::File, .target = path, .source = std::move(content)});
  };
  file("/etc/passwd",
       "worker:x:1000:1000:sandboxed worker:/tmp:/bin/sh\n"
       "init:x:999:999:sandbox init:/:/usr/sbin/nologin\n"
       "nobody:x:65534:65534:every host user:/:/usr/sbin/nologin\n");
  file("/etc/group", "worker:x:1000:\ninit:x:999:\nnogroup:x:65534:\n");
  file("/etc/hosts", "127.0.0.1\tlocalhost " + plan.hostname + "\n::1\tlocalhost\n");
  file("/etc/resolv.conf", "");
  file("/etc/hostname", plan.hostname + "\n");
  file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n");
}

void add_host_entries(Plan& plan, const HostFacts& host) {
  for (const HostEntry& entry : host.entries) {
    if (entry.kind == HostEntry::Kind::Link) {
      plan.root.push_back({.kind = Kind::Link, .target = entry.path, .source = entry.link});
      continue;
    }
    plan.root.push_back({.kind = Kind::HostTree,
                         .target = entry.path,
                         .source = host.root + entry.path,
                         .source_is_file = entry.kind == HostEntry::Kind::File});
  }
}

void add_own_mounts(Plan& plan, const SandboxSection& sandbox) {
  const auto directory = [&](const char* path) { plan.root.push_back({.kind = Kind::Directory, .target = path}); };
  const auto link = [&](const char* path, const char* to) {
    plan.root.push_back({.kind = Kind::Link, .target = path, .source = to});
  };
  directory("/run");
  directory(kSocketDirectory);
  plan.root.push_back({.kind = Kind::Tmpfs, .target = "/tmp", .bytes = sandbox.tmp_bytes});
  directory("/dev");
  for (const char* device : kDevices)
    plan.root.push_back({.kind = Kind::Device, .target = device, .source = device, .source_is_file = true});
  link("/dev/fd", "/proc/self/fd");
  link("/dev/stdin", "/proc/self/fd/0");
  link("/dev/stdout", "/proc/self/fd/1");
  link("/dev/stderr", "/proc/self/fd/2");
  plan.root.push_back({.kind = Kind::Tmpfs, .target = "/dev/shm", .bytes = sandbox.tmp_bytes});
  plan.root.push_back({.kind = Kind::Proc, .target = "/proc"});
}

// What the profile adds to the host's view, and the directories that lead to it.
void add_readable(Plan& plan, const HostFacts& host) {
  for (const HostEntry& added : host.readable) {
    for (std::size_t slash = added.path.find('/', 1); slash != std::string::npos;
         slash = added.path.find('/', slash + 1)) {
      const std::string directory = added.path.substr(0, slash);
      if (std::ranges::find(plan.root, directory, &RootEntry::target) == plan.root.end())
        plan.root.push_back({.kind = Kind::Directory, .target = directory});
    }
    plan.root.push_back({.kind = Kind::HostTree,
                         .target = added.path,
                         .source = added.path,
                         .source_is_file = added.kind == HostEntry::Kind::File});
  }
}

// Directories between kSocketDirectory and a forward's socket.
Result<> add_socket_directories(Plan& plan, const std::string& path) {
  const std::string_view base = kSocketDirectory;
  if (!path.starts_with(std::string(base) + "/")) return fail("forward " + path + ": not below " + std::string(base));
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return fail("forward " + path + ": longer than a socket's name may be (107)");
  for (std::size_t slash = path.find('/', base.size() + 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const RootEntry entry{.kind = Kind::Directory, .target = path.substr(0, slash)};
    if (std::ranges::find(plan.root, entry) == plan.root.end()) plan.root.push_back(entry);
  }
  return {};
}

Result<> add_listeners(Plan& plan, const Profile& profile) {
  plan.has_docker = profile.docker.has_value();
  plan.has_loopback = profile.sandbox.loopback;
  if (profile.docker) plan.imposed = profile.docker->container;
  if (plan.has_docker) plan.listeners.push_back({UnixAddress{kDockerSocket}});
  for (const ForwardSection& forward : profile.forwards) {
    if (const auto* local = std::get_if<UnixAddress>(&forward.listen)) TRY(add_socket_directories(plan, local->path));
    const Listener listener{forward.listen};
    if (std::ranges::find(plan.listeners, listener) != plan.listeners.end())
      return fail("two forwards of profile " + plan.profile + " listen at the same address");
    plan.listeners.push_back(listener);
    plan.has_loopback = plan.has_loopback || std::holds_alternative<TcpAddress>(forward.listen);
  }
  return {};
}

void add_environment(Plan& plan, const Profile& profile, const Environment& caller) {
  Environment result{{"PATH", kDefaultPath}, {"HOME", "/tmp"}};
  for (const std::string& name : profile.worker.pass_environment)
    if (const auto found = caller.find(name); found != caller.end()) result[name] = found->second;
  for (const auto& [name, value] : profile.worker.environment) result[name] = value;
  if (plan.has_docker) {
    result["SALLYPORT_FD"] = std::to_string(kWorkerStreamFd);
    result["DOCKER_HOST"] = std::string("unix://") + kDockerSocket;
  }
  for (const auto& [name, value] : result) plan.environment.push_back(name + "=" + value);
}

Result<> add_programs(Plan& plan) {
  const std::string& name = plan.command.front();
  if (name.empty()) return fail("the command is an empty string: name a program");
  if (name.find('/') != std::string::npos) {
    plan.programs.push_back(name);
    return {};
  }
  std::string path;
  for (const std::string& entry : plan.environment)
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    // An empty element would mean the working directory, where the worker may have put anything.
    if (end > start) plan.programs.push_back(path.substr(start, end - start) + "/" + name);
    start = end + 1;
  }
  if (plan.programs.empty()) return fail("find " + name + ": PATH in the profile is empty");
  return {};
}

Result<> add_limits(Plan& plan, const LimitsSection& limits, const HostFacts& host) {
  const auto at_most = [](std::uint64_t wanted, std::uint64_t hard) { return std::min(wanted, hard); };
  plan.limits.push_back({"core file bytes", RLIMIT_CORE, at_most(1, host.hard_core)});
  plan.limits.push_back({"open files", RLIMIT_NOFILE, at_most(limits.open_files, host.hard_open_files)});
  plan.limits.push_back({"locked memory", RLIMIT_MEMLOCK, at_most(kMaxLockedMemory, host.hard_locked_memory)});
  plan.limits.push_back({"message queues", RLIMIT_MSGQUEUE, 0});
  plan.limits.push_back({"pending signals", RLIMIT_SIGPENDING, at_most(kMaxPendingSignals, host.hard_pending_signals)});
  plan.limits.push_back({"real-time priority", RLIMIT_RTPRIO, 0});
  plan.limits.push_back({"nice below 0", RLIMIT_NICE, 0});
  if (limits.pids != 0) plan.limits.push_back({"processes", RLIMIT_NPROC, at_most(limits.pids, host.hard_processes)});
  plan.time = limits.time;
  plan.grace = limits.grace;
  plan.output_bytes = limits.output_bytes;
  if (limits.memory_bytes != 0) plan.not_enforced.push_back("memory");
  if (limits.cpus != 0) plan.not_enforced.push_back("cpus");
  for (const std::string& required : limits.require) {
    const bool needs_cgroup = required == "memory" || required == "cpus";
    if (needs_cgroup)
      return fail("limits.require names \"" + required +
                  "\" and this version cannot enforce it for the worker (it needs a cgroup v2 of "
                  "the session's own): take it out of limits.require, or run the memory-hungry part in containers");
  }
  return {};
}

}  // namespace

std::vector<Namespace> all_namespaces() {
  return {{"user", CLONE_NEWUSER}, {"pid", CLONE_NEWPID}, {"mount", CLONE_NEWNS},     {"network", CLONE_NEWNET},
          {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};
}

Result<Plan> make_plan(const Profile& profile, const HostFacts& host, std::vector<std::string> command,
                       const Environment& caller) {
  Plan plan;
  plan.profile = profile.name.text();
  if (command.empty()) command = profile.worker.command;
  plan.command = std::move(command);
  if (plan.command.empty())
    return fail("profile " + plan.profile + " has no worker.command: write one, or give a command after --");
  plan.directory = profile.worker.directory;
  if (!plan.directory.starts_with('/')) return fail("worker.directory \"" + plan.directory + "\" is not absolute");
  plan.hostname = profile.sandbox.hostname;
  if (profile.seccomp != "worker")
    return fail("seccomp.profile \"" + profile.seccomp + "\" is not shipped with this version: use \"worker\"");
  if (profile.sandbox.host_root) plan.root.push_back({.kind = Kind::Directory, .target = "/etc"});
  add_host_entries(plan, host);
  if (profile.sandbox.host_root) add_accounts(plan);
  add_own_mounts(plan, profile.sandbox);
  if (profile.sandbox.host_root) {
    plan.root.push_back({.kind = Kind::Directory, .target = "/var"});
    const auto is_in_var_tmp = [](const HostEntry& added) { return added.path.starts_with("/var/tmp/"); };
    if (std::ranges::none_of(host.readable, is_in_var_tmp))
      plan.root.push_back({.kind = Kind::Link, .target = "/var/tmp", .source = "/tmp"});
    add_readable(plan, host);
  }
  TRY(add_listeners(plan, profile));
  add_environment(plan, profile, caller);
  TRY(add_programs(plan));
  TRY(add_limits(plan, profile.limits, host));
  return plan;
}

}  // namespace sallyport::launcher
