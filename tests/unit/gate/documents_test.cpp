// The documents have every key that dockerd 20.10 sends, as it was seen to: clients index them.
#include <array>
#include <cstdio>
#include <set>

#include "broker/gate/json_reader.hpp"
#include "broker/gate/reply_writer.hpp"
#include "gate_harness.hpp"

namespace sallyport::gate {
namespace {

constexpr auto kInspect =
    std::to_array<const char*>({"Id",           "Created",         "Path",           "Args",       "State",
                                "Image",        "ResolvConfPath",  "HostnamePath",   "HostsPath",  "LogPath",
                                "Name",         "RestartCount",    "Driver",         "Platform",   "MountLabel",
                                "ProcessLabel", "AppArmorProfile", "ExecIDs",        "HostConfig", "GraphDriver",
                                "Mounts",       "Config",          "NetworkSettings"});
constexpr auto kState = std::to_array<const char*>({"Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead",
                                                    "Pid", "ExitCode", "Error", "StartedAt", "FinishedAt"});
constexpr auto kHostConfig = std::to_array<const char*>({"Binds",
                                                         "ContainerIDFile",
                                                         "LogConfig",
                                                         "NetworkMode",
                                                         "PortBindings",
                                                         "RestartPolicy",
                                                         "AutoRemove",
                                                         "VolumeDriver",
                                                         "VolumesFrom",
                                                         "CapAdd",
                                                         "CapDrop",
                                                         "CgroupnsMode",
                                                         "Dns",
                                                         "DnsOptions",
                                                         "DnsSearch",
                                                         "ExtraHosts",
                                                         "GroupAdd",
                                                         "IpcMode",
                                                         "Cgroup",
                                                         "Links",
                                                         "OomScoreAdj",
                                                         "PidMode",
                                                         "Privileged",
                                                         "PublishAllPorts",
                                                         "ReadonlyRootfs",
                                                         "SecurityOpt",
                                                         "Tmpfs",
                                                         "UTSMode",
                                                         "UsernsMode",
                                                         "ShmSize",
                                                         "Runtime",
                                                         "ConsoleSize",
                                                         "Isolation",
                                                         "CpuShares",
                                                         "Memory",
                                                         "NanoCpus",
                                                         "CgroupParent",
                                                         "BlkioWeight",
                                                         "BlkioWeightDevice",
                                                         "BlkioDeviceReadBps",
                                                         "BlkioDeviceWriteBps",
                                                         "BlkioDeviceReadIOps",
                                                         "BlkioDeviceWriteIOps",
                                                         "CpuPeriod",
                                                         "CpuQuota",
                                                         "CpuRealtimePeriod",
                                                         "CpuRealtimeRuntime",
                                                         "CpusetCpus",
                                                         "CpusetMems",
                                                         "Devices",
                                                         "DeviceCgroupRules",
                                                         "DeviceRequests",
                                                         "KernelMemory",
                                                         "KernelMemoryTCP",
                                                         "MemoryReservation",
                                                         "MemorySwap",
                                                         "MemorySwappiness",
                                                         "OomKillDisable",
                                                         "PidsLimit",
                                                         "Ulimits",
                                                         "CpuCount",
                                                         "CpuPercent",
                                                         "IOMaximumIOps",
                                                         "IOMaximumBandwidth",
                                                         "Mounts",
                                                         "MaskedPaths",
                                                         "ReadonlyPaths",
                                                         "Init"});
constexpr auto kConfig = std::to_array<const char*>(
    {"Hostname",   "Domainname", "User",    "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
     "OpenStdin",  "StdinOnce",  "Env",     "Cmd",         "Healthcheck",  "Image",        "Volumes",
     "WorkingDir", "Entrypoint", "OnBuild", "Labels",      "StopTimeout",  "StopSignal"});
constexpr auto kNetworkSettings = std::to_array<const char*>(
    {"Bridge", "SandboxID", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "Ports", "SandboxKey",
     "SecondaryIPAddresses", "SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address",
     "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress", "Networks"});
constexpr auto kNetwork = std::to_array<const char*>(
    {"IPAMConfig", "Links", "Aliases", "NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway",
     "GlobalIPv6Address", "GlobalIPv6PrefixLen", "MacAddress", "DriverOpts", "DNSNames", "GwPriority"});
constexpr auto kListed =
    std::to_array<const char*>({"Id", "Names", "Image", "ImageID", "Command", "Created", "Ports", "Labels", "State",
                                "Status", "HostConfig", "NetworkSettings", "Mounts"});

template <std::size_t Count>
void expect_keys(const JsonValue* object, const std::array<const char*, Count>& keys) {
  ASSERT_NE(object, nullptr);
  std::set<std::string> found;
  for (const JsonMember& member : object->members) found.insert(member.key);
  EXPECT_EQ(found, std::set<std::string>(keys.begin(), keys.end()));
}

protocol::Inspected inspected() {
  protocol::Inspected inspected;
  inspected.container = test::summary("db", '1', 1, protocol::ContainerStatus::Running);
  inspected.container.image = "busybox";
  inspected.stop_signal = "SIGINT";
  inspected.stop_timeout = 5;
  inspected.runtime = "runc";
  inspected.init = true;
  inspected.memory = inspected.memory_swap = 64;
  inspected.oom_score = 500;
  inspected.log_size = "1000";
  inspected.log_files = "1";
  inspected.tmp_options = "rw,size=7";
  return inspected;
}

TEST(Documents, OfAnInspectionHaveDockerdsKeys) {
  const auto read = read_json(inspect_json(inspected()));
  ASSERT_TRUE(read);
  expect_keys(&*read, kInspect);
  expect_keys(read->find("State"), kState);
  expect_keys(read->find("HostConfig"), kHostConfig);
  expect_keys(read->find("Config"), kConfig);
  expect_keys(read->find("NetworkSettings"), kNetworkSettings);
  expect_keys(read->find("NetworkSettings")->find("Networks")->find("none"), kNetwork);
}

TEST(Documents, OfAnInspectionSayWhatWasDecided) {
  const auto read = read_json(inspect_json(inspected()));
  ASSERT_TRUE(read);
  const JsonValue& host = *read->find("HostConfig");
  EXPECT_EQ(host.find("Runtime")->text, "runc");
  EXPECT_TRUE(host.find("Init")->boolean);
  EXPECT_EQ(host.find("MemorySwap")->integer, 64);
  EXPECT_EQ(host.find("OomScoreAdj")->integer, 500);
  EXPECT_EQ(compact(*host.find("LogConfig")), R"({"Type":"json-file","Config":{"max-file":"1","max-size":"1000"}})");
  EXPECT_EQ(compact(*host.find("Tmpfs")), R"({"/tmp":"rw,size=7"})");
  EXPECT_EQ(read->find("Config")->find("StopTimeout")->integer, 5);
  EXPECT_EQ(read->find("Config")->find("Image")->text, "busybox");
}

// Text is looked through in blocks of 16: what must not stand as it is must be met at each place of a block and behind
// it.
TEST(Documents, NoByteThatMustBeEscapedStandsAsItIsWhereverItIs) {
  for (std::size_t length : {1, 15, 16, 17, 35}) {
    for (std::size_t at = 0; at < length; ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        std::string text(length, 'a');
        text[at] = static_cast<char>(byte);
        std::string escaped = text.substr(at, 1);
        char code[8];
        std::snprintf(code, sizeof code, "\\u00%02x", byte);
        if (byte == '"' || byte == '\\') escaped = "\\" + escaped;
        else if (byte == '\n') escaped = "\\n";
        else if (byte < 0x20 || byte == 0x7f) escaped = code;
        else if (byte >= 0x80) escaped = "\xEF\xBF\xBD";
        std::string out;
        append_json(out, text);
        ASSERT_EQ(out, "\"" + text.substr(0, at) + escaped + text.substr(at + 1) + "\"") << byte << " at " << at;
      }
    }
  }
}

TEST(Documents, OfAListHaveDockerdsKeysAndTheImageAsWritten) {
  auto container = test::summary("db", '1', 1, protocol::ContainerStatus::Running);
  container.image = "busybox";
  const auto read = read_json(list_json({container}));
  ASSERT_TRUE(read);
  expect_keys(&read->items.at(0), kListed);
  EXPECT_EQ(read->items[0].find("Image")->text, "busybox");
}

TEST(Documents, OfACreateHoldItsWarnings) {
  protocol::Created created{*ContainerId::parse(std::string(64, 'a')), {}};
  EXPECT_EQ(created_json(created), R"({"Id":")" + std::string(64, 'a') + R"(","Warnings":[]})" + "\n");
  created.warnings.items = {"one", "t\"wo"};
  EXPECT_EQ(created_json(created), R"({"Id":")" + std::string(64, 'a') + R"(","Warnings":["one","t\"wo"]})" + "\n");
}

}  // namespace
}  // namespace sallyport::gate
