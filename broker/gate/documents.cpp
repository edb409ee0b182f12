#include <algorithm>
#include <string>

#include "broker/api/versions.hpp"
#include "broker/gate/list_filter.hpp"
#include "broker/gate/reply_writer.hpp"

// Docker's documents, rebuilt from typed fields. The forms are those of dockerd 20.10, which later clients read as
// well; what would name a path, pid or address of the host is empty.
namespace sallyport::gate {

namespace {

// A member's name as it stands in a document, put together when this is compiled: an inspection has sixty of them.
class Key {
 public:
  template <std::size_t Size>
  consteval Key(const char (&name)[Size]) : size_(Size + 3) {  // NOLINT(google-explicit-constructor): literals are keys
    static_assert(Size + 3 <= sizeof(text_));
    text_[0] = ',';
    text_[1] = '"';
    std::copy_n(name, Size - 1, text_ + 2);
    text_[Size + 1] = '"';
    text_[Size + 2] = ':';
  }
  std::string_view behind_a_member() const { return {text_, size_}; }
  std::string_view first() const { return behind_a_member().substr(1); }

 private:
  char text_[28] = {};
  std::uint32_t size_;
};

// An object or array being written: puts the commas, and takes only escaped values.
class Json {
 public:
  explicit Json(std::string& out) : out_(out) {}
  Json& key(const Key& name) {
    out_ += fresh_ ? name.first() : name.behind_a_member();
    fresh_ = true;
    return *this;
  }
  void text(std::string_view value) {
    comma();
    append_json(out_, value);
  }
  void number(std::int64_t value) {
    comma();
    out_ += std::to_string(value);
  }
  void boolean(bool value) {
    comma();
    out_ += value ? "true" : "false";
  }
  void raw(std::string_view json) {
    comma();
    out_ += json;
  }  // constants of this file only
  Json& members(std::string_view json) {
    raw(json);
    return *this;
  }  // constants too: whole members of an object, as written
  void open(char bracket) {
    comma();
    out_ += bracket;
    fresh_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    fresh_ = false;
  }
  template <std::size_t Max>
  void list(const List<protocol::Argument, Max>& values) {
    open('[');
    for (const auto& value : values.items) text(value.value);
    close(']');
  }
  void labels(const List<protocol::Label, limits::kMaxLabels>& values) {
    open('{');
    for (const protocol::Label& label : values.items) {
      comma();
      append_json(out_, label.key.value);
      out_ += ':';
      append_json(out_, label.value.value);
    }
    close('}');
  }

 private:
  void comma() {
    if (!fresh_) out_ += ',';
    fresh_ = false;
  }
  std::string& out_;
  bool fresh_ = true;
};

constexpr std::string_view kNoNetwork =
    R"({"none":{"IPAMConfig":null,"Links":null,"Aliases":null,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"",)"
    R"("IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"MacAddress":"","DriverOpts":null,)"
    R"("DNSNames":null,"GwPriority":0}})";

std::string slashed(const ContainerName& name) { return "/" + name.text(); }

void write_state(Json& json, const protocol::Inspected& inspected) {
  using protocol::ContainerStatus;
  const ContainerStatus status = inspected.container.status;
  json.open('{');
  json.key("Status").text(status_name(status));
  json.key("Running").boolean(status == ContainerStatus::Running || status == ContainerStatus::Paused ||
                              status == ContainerStatus::Restarting);
  json.key("Paused").boolean(status == ContainerStatus::Paused);
  json.key("Restarting").boolean(status == ContainerStatus::Restarting);
  json.key("OOMKilled").boolean(inspected.oom_killed);
  json.key("Dead").boolean(status == ContainerStatus::Dead);
  json.key("Pid").number(0);
  json.key("ExitCode").number(inspected.container.exit_code);
  json.key("Error").text(inspected.state_error.value);
  json.key("StartedAt").text(inspected.started_at.value);
  json.key("FinishedAt").text(inspected.finished_at.value);
  json.close('}');
}

void write_limits(Json& json, const protocol::Inspected& inspected) {
  json.key("ShmSize").number(inspected.shm_bytes);
  json.key("OomScoreAdj").number(inspected.oom_score);
  json.key("Memory").number(inspected.memory);
  json.key("MemorySwap").number(inspected.memory_swap);
  json.key("CpuPeriod").number(inspected.cpu_period);
  json.key("CpuQuota").number(inspected.cpu_quota);
  json.key("PidsLimit").number(inspected.pids);
  json.members(
      R"("CpuShares":0,"NanoCpus":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","CpuCount":0,)"
      R"("CpuPercent":0,"KernelMemory":0,"KernelMemoryTCP":0,"MemoryReservation":0,"MemorySwappiness":null,)"
      R"("OomKillDisable":false,"Ulimits":[{"Name":"core","Hard":1,"Soft":1}],"BlkioWeight":0,"BlkioWeightDevice":null,)"
      R"("BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,)"
      R"("IOMaximumIOps":0,"IOMaximumBandwidth":0)");
}

void write_log_config(Json& json, const protocol::Inspected& inspected) {
  json.key("LogConfig").open('{');
  json.key("Type").text("json-file");
  json.key("Config").open('{');
  if (!inspected.log_files.value.empty()) json.key("max-file").text(inspected.log_files.value);
  if (!inspected.log_size.value.empty()) json.key("max-size").text(inspected.log_size.value);
  json.close('}');
  json.close('}');
}

// Every key that dockerd sends: clients index them. What a row of the create table refuses is at its zero; our seccomp
// profile and the paths that dockerd masks in /proc are said, the cgroup of the session is not.
void write_host_config(Json& json, const protocol::Inspected& inspected) {
  json.open('{');
  json.members(R"("Binds":null,"ContainerIDFile":"")");
  write_log_config(json, inspected);
  json.members(
      R"("NetworkMode":"none","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"VolumeDriver":"",)"
      R"("VolumesFrom":null)");
  json.key("AutoRemove").boolean(inspected.auto_remove);
  json.members(
      R"("CapAdd":null,"CapDrop":["ALL"],"CgroupnsMode":"private","Dns":null,"DnsOptions":null,"DnsSearch":null,)"
      R"("ExtraHosts":null,"GroupAdd":null,"IpcMode":"private","Cgroup":"","Links":null,"PidMode":"","Privileged":false,)"
      R"("PublishAllPorts":false)");
  json.key("ReadonlyRootfs").boolean(inspected.read_only);
  json.members(R"("SecurityOpt":["no-new-privileges"],"UTSMode":"","UsernsMode":"")");
  json.key("Tmpfs").open('{');
  if (!inspected.tmp_options.value.empty()) json.key("/tmp").text(inspected.tmp_options.value);
  json.close('}');
  json.key("Runtime").text(inspected.runtime.value);
  json.key("Init").boolean(inspected.init);
  json.members(R"("ConsoleSize":[0,0],"Isolation":"","CgroupParent":"")");
  write_limits(json, inspected);
  json.members(
      R"("Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"Mounts":[],"MaskedPaths":["/proc/asound","/proc/acpi",)"
      R"("/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug",)"
      R"("/proc/scsi","/sys/firmware"],"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys",)"
      R"("/proc/sysrq-trigger"])");
  json.close('}');
}

void write_config(Json& json, const protocol::Inspected& inspected) {
  json.open('{');
  json.key("Hostname").text(inspected.hostname.value);
  json.key("Domainname").text("");
  json.key("User").text(inspected.user.value);
  json.key("AttachStdin").boolean(inspected.attach_stdin);
  json.key("AttachStdout").boolean(inspected.attach_stdout);
  json.key("AttachStderr").boolean(inspected.attach_stderr);
  json.key("Tty").boolean(inspected.tty);
  json.key("OpenStdin").boolean(inspected.open_stdin);
  json.key("StdinOnce").boolean(inspected.stdin_once);
  json.key("Env").list(inspected.environment);
  json.key("Cmd");
  inspected.has_command ? json.list(inspected.command) : json.raw("null");
  json.key("Image").text(inspected.container.image.value);
  json.key("Volumes").raw("null");
  json.key("WorkingDir").text(inspected.working_directory.value);
  json.key("Entrypoint");
  inspected.has_entrypoint ? json.list(inspected.entrypoint) : json.raw("null");
  json.key("OnBuild").raw("null");
  json.key("Labels").labels(inspected.container.labels);
  json.key("Healthcheck").raw(R"({"Test":["NONE"]})");
  if (!inspected.stop_signal.value.empty()) json.key("StopSignal").text(inspected.stop_signal.value);
  if (inspected.stop_timeout) json.key("StopTimeout").number(*inspected.stop_timeout);
  json.close('}');
}

constexpr std::string_view kNetworkSettings =
    R"({"Bridge":"","SandboxID":"","LinkLocalIPv6Address":"","SandboxKey":"","EndpointID":"","Gateway":"",)"
    R"("GlobalIPv6Address":"","IPAddress":"","IPv6Gateway":"","MacAddress":"","LinkLocalIPv6PrefixLen":0,)"
    R"("GlobalIPv6PrefixLen":0,"IPPrefixLen":0,"SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null,)"
    R"("HairpinMode":false,"Ports":{},"Networks":)";

}  // namespace

// Clients compare the Version with the least that they need; what is served is that Engine's, and ours is named beside.
std::string version_json(std::string_view docker_version) {
  std::string out;
  Json json(out);
  json.open('{');
  json.key("Platform").raw(R"({"Name":"Sallyport )" SALLYPORT_VERSION R"("})");
  json.key("Components").open('[');
  json.open('{');
  json.key("Name").text("Engine");
  json.key("Version").text(docker_version);
  json.key("Details").open('{');
  json.key("ApiVersion").text(api::kNewestVersion);
  json.key("MinAPIVersion").text(api::kOldestClientVersion);
  json.members(R"("Os":"linux","Arch":"amd64")");
  json.close('}');
  json.close('}');
  json.raw(R"({"Name":"Sallyport","Version":")" SALLYPORT_VERSION R"(","Details":{}})");
  json.close(']');
  json.key("Version").text(docker_version);
  json.key("ApiVersion").text(api::kNewestVersion);
  json.key("MinAPIVersion").text(api::kOldestClientVersion);
  json.members(R"("GitCommit":"","GoVersion":"","Os":"linux","Arch":"amd64","KernelVersion":"","BuildTime":"")");
  json.close('}');
  return out;
}

std::string info_json(std::string_view docker_version) {
  std::string out =
      R"({"ID":"","Containers":0,"ContainersRunning":0,"ContainersPaused":0,"ContainersStopped":0,"Images":0,"Driver":"",)"
      R"("DriverStatus":[],"Plugins":{"Volume":[],"Network":[],"Authorization":null,"Log":["json-file"]},"MemoryLimit":true,)"
      R"("SwapLimit":true,"CpuCfsPeriod":true,"CpuCfsQuota":true,"CPUShares":true,"CPUSet":true,"PidsLimit":true,)"
      R"("IPv4Forwarding":false,"Debug":false,"NFd":0,"OomKillDisable":false,"NGoroutines":0,"SystemTime":"",)"
      R"("LoggingDriver":"json-file","CgroupDriver":"","NEventsListener":0,"KernelVersion":"","OperatingSystem":"Sallyport",)"
      R"("OSVersion":"","OSType":"linux","Architecture":"x86_64","IndexServerAddress":"","RegistryConfig":null,"NCPU":0,)"
      R"("MemTotal":0,"GenericResources":null,"DockerRootDir":"","HttpProxy":"","HttpsProxy":"","NoProxy":"","Name":"sallyport",)"
      R"("Labels":[],"ExperimentalBuild":false,"ServerVersion":)";
  append_json(out, docker_version);
  return out +
         R"(,"Runtimes":{},"DefaultRuntime":"","Swarm":{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive",)"
         R"("ControlAvailable":false,"Error":"","RemoteManagers":null},"LiveRestoreEnabled":false,"Isolation":"","InitBinary":"",)"
         R"("ContainerdCommit":{"ID":"","Expected":""},"RuncCommit":{"ID":"","Expected":""},"InitCommit":{"ID":"","Expected":""},)"
         R"("SecurityOptions":["name=seccomp,profile=sallyport"],"Warnings":null})";
}

std::string created_json(const protocol::Created& created) {
  std::string out;
  Json json(out);
  json.open('{');
  json.key("Id").text(created.id.text());
  json.key("Warnings").open('[');
  for (const auto& warning : created.warnings.items) json.text(warning.value);
  json.close(']');
  json.close('}');
  return out + "\n";
}

std::string exited_json(const protocol::Exited& exited) {
  std::string out = R"({"Error":)";
  if (exited.error.value.empty()) {
    out += "null";
  } else {
    out += R"({"Message":)";
    append_json(out, exited.error.value);
    out += '}';
  }
  return out + R"(,"StatusCode":)" + std::to_string(exited.status) + "}\n";
}

std::string inspect_json(const protocol::Inspected& inspected) {
  std::string out;
  out.reserve(4096);
  Json json(out);
  json.open('{');
  json.key("Id").text(inspected.container.id.text());
  json.key("Created").text(inspected.created_at.value);
  json.key("Path").text(inspected.path.value);
  json.key("Args").list(inspected.arguments);
  json.key("State");
  write_state(json, inspected);
  json.key("Image").text(inspected.container.image_id.value);
  json.members(R"("ResolvConfPath":"","HostnamePath":"","HostsPath":"","LogPath":"")");
  json.key("Name").text(slashed(inspected.container.name));
  json.members(
      R"("RestartCount":0,"Driver":"","Platform":"linux","MountLabel":"","ProcessLabel":"","AppArmorProfile":"","ExecIDs":null)");
  json.key("HostConfig");
  write_host_config(json, inspected);
  json.key("GraphDriver").raw(R"({"Data":null,"Name":""})");
  json.key("Mounts").raw("[]");
  json.key("Config");
  write_config(json, inspected);
  json.key("NetworkSettings").raw(kNetworkSettings);
  out += kNoNetwork;
  out += "}}\n";
  return out;
}

std::string list_json(const std::vector<protocol::Summary>& containers) {
  std::string out;
  Json json(out);
  json.open('[');
  for (const protocol::Summary& container : containers) {
    json.open('{');
    json.key("Id").text(container.id.text());
    json.key("Names").open('[');
    json.text(slashed(container.name));
    json.close(']');
    json.key("Image").text(container.image.value);
    json.key("ImageID").text(container.image_id.value);
    json.key("Command").text(container.command.value);
    json.key("Created").number(container.created);
    json.key("Ports").raw("[]");
    json.key("Labels").labels(container.labels);
    json.key("State").text(status_name(container.status));
    json.key("Status").text(container.status_text.value);
    json.key("HostConfig").raw(R"({"NetworkMode":"none"})");
    json.key("NetworkSettings").open('{');
    json.key("Networks").raw(kNoNetwork);
    json.close('}');
    json.key("Mounts").raw("[]");
    json.close('}');
  }
  json.close(']');
  out += '\n';
  return out;
}

}  // namespace sallyport::gate
