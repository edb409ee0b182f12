// BOTH SIDES. THE table of the fields of a create body (and of its query, in query_fields.hpp). The gate's decoder is
// driven by it: what has no row is unknown, and refused unless it is zero. A zero value (false, 0, "", null, [], {}) is
// accepted everywhere, because clients send whole structures of zeros, and never reaches dockerd.
// A path is grammar, a client's key is data, and the two never meet in one string: a body is walked one level at a time,
// and at each level a key is compared with the last names of the rows there (member_field). `[]` in a path stands for an
// element, `<net>` and `*` for any key: no key of a client's is ever equal to these.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "sallyport/ids.hpp"

namespace sallyport::api {

enum class FieldRule : std::uint8_t {
  Allow,          // carried in the typed request after its grammar
  Clamp,          // carried; the keeper holds it to the profile's ceiling
  Rewrite,        // carried in another form
  Force,          // accepted where well-formed; the profile's own value is imposed whatever it says
  MustBeDefault,  // only zero and the neutral values listed
  Deny,           // only zero: no other value is ever accepted
  Members,        // an object: its members have rows
  RepeatsQuery,   // ignored by dockerd, and sent by clients beside the query: only what the query says
};

struct CreateField {
  std::string_view path;
  FieldRule rule;
  std::string_view reason;        // shown to a client that is refused
  std::string_view neutral = {};  // compact JSON values between '|', besides zero
};

inline constexpr auto kCreateFields = std::to_array<CreateField>({
    CreateField{"name", FieldRule::RepeatsQuery, "a name is given in the query, and may be repeated in the body"},
    CreateField{"platform", FieldRule::RepeatsQuery, "a platform is given in the query, and may be repeated in the body"},
    CreateField{"Hostname", FieldRule::Allow, "letters, digits, -, _ and single dots; it is written to /etc/hosts"},
    CreateField{"Domainname", FieldRule::MustBeDefault, "it is written to /etc/hosts"},
    CreateField{"User", FieldRule::Force, "every container runs as the session's own user, whatever is asked"},
    CreateField{"AttachStdin", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"AttachStdout", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"AttachStderr", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"ExposedPorts", FieldRule::MustBeDefault, "containers have no network, so no ports"},
    CreateField{"Tty", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"OpenStdin", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"StdinOnce", FieldRule::Allow, "only bookkeeping of dockerd"},
    CreateField{"Env", FieldRule::Allow, "KEY=VALUE, or KEY to leave the image's out; variables by which a runtime gives devices are refused"},
    CreateField{"Cmd", FieldRule::Allow, "what the container runs"},
    CreateField{"Healthcheck", FieldRule::Members, "a command that dockerd would run for ever"},
    CreateField{"Healthcheck.Test", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever", R"(["NONE"])"},
    CreateField{"Healthcheck.Interval", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever"},
    CreateField{"Healthcheck.Timeout", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever"},
    CreateField{"Healthcheck.StartPeriod", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever"},
    CreateField{"Healthcheck.StartInterval", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever"},
    CreateField{"Healthcheck.Retries", FieldRule::MustBeDefault, "no health checks: dockerd would run a command for ever"},
    CreateField{"ArgsEscaped", FieldRule::MustBeDefault, "only for Windows"},
    CreateField{"Image", FieldRule::Rewrite, "in normal form, then checked against the profile's images and created by id"},
    CreateField{"Volumes", FieldRule::MustBeDefault, "volumes lie on the host's disk without a limit; /tmp is a tmpfs"},
    CreateField{"WorkingDir", FieldRule::Allow, "absolute and clean, not beneath /proc, /sys or /dev (CVE-2024-21626)"},
    CreateField{"Entrypoint", FieldRule::Allow, "what the container runs"},
    CreateField{"NetworkDisabled", FieldRule::Force, "containers have no network"},
    CreateField{"MacAddress", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"OnBuild", FieldRule::MustBeDefault, "only for builds"},
    CreateField{"Labels", FieldRule::Allow, "kept by the broker and shown again, never given to dockerd"},
    CreateField{"StopSignal", FieldRule::Allow, "a signal's name or number"},
    CreateField{"StopTimeout", FieldRule::Clamp, "bounded, or a stop could wait for ever"},
    CreateField{"Shell", FieldRule::MustBeDefault, "only for builds"},
    CreateField{"Cpuset", FieldRule::MustBeDefault, "placement on CPUs is the profile's"},
    CreateField{"Runtime", FieldRule::Allow, "only the profile's own runtime; docker-py writes it here as well"},
    CreateField{"<every HostConfig field at TOP LEVEL>", FieldRule::Deny, "fields of HostConfig belong inside HostConfig; dockerd would take them from here as well"},
    CreateField{"HostConfig", FieldRule::Members, "always built anew and complete"},
    CreateField{"HostConfig.Binds", FieldRule::Deny, "this profile mounts nothing of the host into containers"},
    CreateField{"HostConfig.ContainerIDFile", FieldRule::Force, "a file of the client's; it means nothing to the broker"},
    CreateField{"HostConfig.LogConfig", FieldRule::Members, "logs are kept in a bounded file"},
    CreateField{"HostConfig.LogConfig.Type", FieldRule::MustBeDefault, "other log drivers make dockerd open sockets and files of the host", R"("json-file")"},
    CreateField{"HostConfig.LogConfig.Config", FieldRule::Force, "log files are bounded by the profile; only max-size and max-file may be asked for"},
    CreateField{"HostConfig.NetworkMode", FieldRule::MustBeDefault, "containers have no network; leave it out or use none", R"("none"|"default")"},
    CreateField{"HostConfig.PortBindings", FieldRule::Deny, "containers have no network, so no ports"},
    CreateField{"HostConfig.PortBindings.*[].HostIp", FieldRule::Deny, "containers have no network, so no ports"},
    CreateField{"HostConfig.PortBindings.*[].HostPort", FieldRule::Deny, "containers have no network, so no ports"},
    CreateField{"HostConfig.RestartPolicy", FieldRule::Members, "a container ends with its session and is not restarted"},
    CreateField{"HostConfig.RestartPolicy.Name", FieldRule::MustBeDefault, "a container ends with its session and is not restarted", R"("no")"},
    CreateField{"HostConfig.RestartPolicy.MaximumRetryCount", FieldRule::MustBeDefault, "a container ends with its session and is not restarted"},
    CreateField{"HostConfig.AutoRemove", FieldRule::Allow, "honoured; the broker sees to it as well"},
    CreateField{"HostConfig.VolumeDriver", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.VolumesFrom", FieldRule::Deny, "it would mount what other containers have"},
    CreateField{"HostConfig.ConsoleSize", FieldRule::Force, "the size of a terminal is set by resize"},
    CreateField{"HostConfig.Annotations", FieldRule::Deny, "they steer the runtime on the host"},
    CreateField{"HostConfig.CapAdd", FieldRule::Deny, "containers have no capabilities"},
    CreateField{"HostConfig.CapDrop", FieldRule::Force, "all capabilities are dropped in any case"},
    CreateField{"HostConfig.Capabilities", FieldRule::Deny, "containers have no capabilities"},
    CreateField{"HostConfig.CgroupnsMode", FieldRule::MustBeDefault, "containers have a cgroup namespace of their own", R"("private")"},
    CreateField{"HostConfig.Dns", FieldRule::MustBeDefault, "containers have no network, and it is written to a file as it is"},
    CreateField{"HostConfig.DnsOptions", FieldRule::MustBeDefault, "containers have no network, and it is written to a file as it is"},
    CreateField{"HostConfig.DnsSearch", FieldRule::MustBeDefault, "containers have no network, and it is written to a file as it is"},
    CreateField{"HostConfig.ExtraHosts", FieldRule::MustBeDefault, "containers have no network, and it is written to a file as it is"},
    CreateField{"HostConfig.GroupAdd", FieldRule::Deny, "extra groups are groups of the host"},
    CreateField{"HostConfig.IpcMode", FieldRule::MustBeDefault, "containers have shared memory of their own", R"("private")"},
    CreateField{"HostConfig.Cgroup", FieldRule::Deny, "it would join the cgroup of another container"},
    CreateField{"HostConfig.Links", FieldRule::Deny, "it would show the environment of another container"},
    CreateField{"HostConfig.OomScoreAdj", FieldRule::Force, "a lower number would make the kernel kill others first; it has to be 0 or more"},
    CreateField{"HostConfig.PidMode", FieldRule::MustBeDefault, "containers have a pid namespace of their own"},
    CreateField{"HostConfig.Privileged", FieldRule::Deny, "it is every power over the host"},
    CreateField{"HostConfig.PublishAllPorts", FieldRule::Deny, "containers have no network, so no ports"},
    CreateField{"HostConfig.ReadonlyRootfs", FieldRule::Allow, "read-only if the client or the profile says so"},
    CreateField{"HostConfig.SecurityOpt", FieldRule::Force, "no-new-privileges and the broker's own seccomp profile always hold; only no-new-privileges may be asked for"},
    CreateField{"HostConfig.StorageOpt", FieldRule::Deny, "disk space is the profile's"},
    CreateField{"HostConfig.Tmpfs", FieldRule::Force, "/tmp is a tmpfs of the profile's size; others are not given"},
    CreateField{"HostConfig.UTSMode", FieldRule::MustBeDefault, "containers have a host name of their own"},
    CreateField{"HostConfig.UsernsMode", FieldRule::MustBeDefault, "user namespaces are dockerd's to set"},
    CreateField{"HostConfig.ShmSize", FieldRule::Clamp, "at most the profile's"},
    CreateField{"HostConfig.Sysctls", FieldRule::Deny, "kernel settings are the host's"},
    CreateField{"HostConfig.Runtime", FieldRule::Allow, "only the profile's own runtime, which is in force"},
    CreateField{"HostConfig.Isolation", FieldRule::MustBeDefault, "only for Windows", R"("default")"},
    CreateField{"HostConfig.Mounts", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].Type", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].Source", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].Target", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].ReadOnly", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].Consistency", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].BindOptions.Propagation", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].BindOptions.NonRecursive", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].BindOptions.CreateMountpoint", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].BindOptions.ReadOnlyNonRecursive", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].BindOptions.ReadOnlyForceRecursive", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].VolumeOptions.NoCopy", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].VolumeOptions.Labels", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].VolumeOptions.Subpath", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].VolumeOptions.DriverConfig.Name", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].VolumeOptions.DriverConfig.Options", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].ImageOptions.Subpath", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].ClusterOptions", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].TmpfsOptions.SizeBytes", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].TmpfsOptions.Mode", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.Mounts[].TmpfsOptions.Options", FieldRule::Deny, "this profile mounts nothing into containers"},
    CreateField{"HostConfig.MaskedPaths", FieldRule::MustBeDefault, "what dockerd masks in /proc stays masked"},
    CreateField{"HostConfig.ReadonlyPaths", FieldRule::MustBeDefault, "what dockerd makes read-only in /proc stays so"},
    CreateField{"HostConfig.Init", FieldRule::Allow, "dockerd's own small init"},
    CreateField{"HostConfig.CpuShares", FieldRule::Force, "CPU time is the profile's"},
    CreateField{"HostConfig.Memory", FieldRule::Clamp, "at most the profile's"},
    CreateField{"HostConfig.NanoCpus", FieldRule::Clamp, "at most the profile's"},
    CreateField{"HostConfig.CgroupParent", FieldRule::Deny, "a container stays in the cgroup of its session"},
    CreateField{"HostConfig.BlkioWeight", FieldRule::Force, "disk shares are the profile's"},
    CreateField{"HostConfig.BlkioWeightDevice", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioWeightDevice[].Path", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioWeightDevice[].Weight", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadBps", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadBps[].Path", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadBps[].Rate", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteBps", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteBps[].Path", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteBps[].Rate", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadIOps", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadIOps[].Path", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceReadIOps[].Rate", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteIOps", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteIOps[].Path", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.BlkioDeviceWriteIOps[].Rate", FieldRule::Deny, "it names a device of the host"},
    CreateField{"HostConfig.CpuPeriod", FieldRule::Rewrite, "with CpuQuota it becomes NanoCpus"},
    CreateField{"HostConfig.CpuQuota", FieldRule::Rewrite, "with CpuPeriod it becomes NanoCpus"},
    CreateField{"HostConfig.CpuRealtimePeriod", FieldRule::Deny, "real-time processes starve the host"},
    CreateField{"HostConfig.CpuRealtimeRuntime", FieldRule::Deny, "real-time processes starve the host"},
    CreateField{"HostConfig.CpusetCpus", FieldRule::MustBeDefault, "placement on CPUs is the profile's"},
    CreateField{"HostConfig.CpusetMems", FieldRule::MustBeDefault, "placement on CPUs is the profile's"},
    CreateField{"HostConfig.Devices", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.Devices[].PathOnHost", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.Devices[].PathInContainer", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.Devices[].CgroupPermissions", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceCgroupRules", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests[].Driver", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests[].Count", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests[].DeviceIDs", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests[].Capabilities", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.DeviceRequests[].Options", FieldRule::Deny, "containers get no devices of the host"},
    CreateField{"HostConfig.KernelMemory", FieldRule::MustBeDefault, "memory limits are the profile's"},
    CreateField{"HostConfig.KernelMemoryTCP", FieldRule::MustBeDefault, "memory limits are the profile's"},
    CreateField{"HostConfig.MemoryReservation", FieldRule::Force, "memory limits are the profile's"},
    CreateField{"HostConfig.MemorySwap", FieldRule::Force, "containers have no swap"},
    CreateField{"HostConfig.MemorySwappiness", FieldRule::Force, "containers have no swap"},
    CreateField{"HostConfig.OomKillDisable", FieldRule::Deny, "a container out of memory would hang and hold it"},
    CreateField{"HostConfig.PidsLimit", FieldRule::Clamp, "at most the profile's"},
    CreateField{"HostConfig.Ulimits", FieldRule::Force, "limits are the profile's; only nofile, nproc and core may be asked for"},
    CreateField{"HostConfig.Ulimits[].Name", FieldRule::Force, "limits are the profile's; only nofile, nproc and core may be asked for"},
    CreateField{"HostConfig.Ulimits[].Soft", FieldRule::Force, "limits are the profile's; only nofile, nproc and core may be asked for"},
    CreateField{"HostConfig.Ulimits[].Hard", FieldRule::Force, "limits are the profile's; only nofile, nproc and core may be asked for"},
    CreateField{"HostConfig.CpuCount", FieldRule::MustBeDefault, "only for Windows"},
    CreateField{"HostConfig.CpuPercent", FieldRule::MustBeDefault, "only for Windows"},
    CreateField{"HostConfig.IOMaximumIOps", FieldRule::MustBeDefault, "only for Windows"},
    CreateField{"HostConfig.IOMaximumBandwidth", FieldRule::MustBeDefault, "only for Windows"},
    CreateField{"NetworkingConfig", FieldRule::Members, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig", FieldRule::Members, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>", FieldRule::Members, "containers have no network; only the names default and none are accepted"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPAMConfig", FieldRule::Members, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPAMConfig.IPv4Address", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPAMConfig.IPv6Address", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPAMConfig.LinkLocalIPs", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.Links", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.Aliases", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.DriverOpts", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.GwPriority", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.NetworkID", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.EndpointID", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.Gateway", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPAddress", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPPrefixLen", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.IPv6Gateway", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.GlobalIPv6Address", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.GlobalIPv6PrefixLen", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.MacAddress", FieldRule::MustBeDefault, "containers have no network"},
    CreateField{"NetworkingConfig.EndpointsConfig.<net>.DNSNames", FieldRule::MustBeDefault, "containers have no network"},
});

static_assert([] {
  for (const CreateField& field : kCreateFields) {
    if (field.path.empty() || field.reason.empty()) return false;
    if (!field.neutral.empty() && field.rule != FieldRule::MustBeDefault) return false;
    for (const CreateField& other : kCreateFields)
      if (&field != &other && field.path == other.path) return false;
  }
  return true;
}(), "every field has a path of its own and a reason; only MustBeDefault has neutral values");

// The row at a path that the code names; no other path compiles.
consteval const CreateField& create_field(std::string_view path) {
  for (const CreateField& field : kCreateFields)
    if (field.path == path) return field;
  throw "no row has this path";
}

// A path taken apart once and for all: its last name, what stands before it ("" at the top), and whether a client's key
// can be this name. It cannot be an element, a placeholder or a path; a row inside an element belongs to its list.
struct FieldPlace {
  std::string_view parent;
  std::string_view name;
  bool is_reached_by_key = false;
};
constexpr bool is_field_name(std::string_view name) { return !name.empty() && detail::all(name, detail::is_alnum); }
constexpr FieldPlace place_of(const CreateField& field) {
  const std::size_t dot = field.path.rfind('.');
  FieldPlace place;
  if (dot != std::string_view::npos) place.parent = field.path.substr(0, dot);
  place.name = field.path.substr(dot + 1);
  place.is_reached_by_key = is_field_name(place.name) && place.parent.find("[]") == std::string_view::npos;
  return place;
}
inline constexpr auto kFieldPlaces = [] {
  std::array<FieldPlace, kCreateFields.size()> places;
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = place_of(kCreateFields[i]);
  return places;
}();

// The row of a client's key among the members of `parent`, which is the path of a row or "" for the body itself.
constexpr const CreateField* member_field(std::string_view parent, std::string_view key) {
  for (std::size_t i = 0; i < kFieldPlaces.size(); ++i) {
    const FieldPlace& place = kFieldPlaces[i];
    if (place.is_reached_by_key && place.name == key && place.parent == parent) return &kCreateFields[i];
  }
  return nullptr;
}
static_assert([] {
  for (const FieldPlace& place : kFieldPlaces) {
    bool has_members = !place.is_reached_by_key || place.parent.empty();
    for (const CreateField& field : kCreateFields)
      has_members = has_members || (field.path == place.parent && field.rule == FieldRule::Members);
    if (!has_members) return false;
  }
  return true;
}(), "what a client's key reaches stands in a row that has members");

}  // namespace sallyport::api
