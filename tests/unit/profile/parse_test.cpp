// What a good profile says is what the Profile holds, and what it leaves out has the default.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport {
namespace {

const ProfileName kName = *ProfileName::parse("worker");

// The profile of the design, less the keys of later versions.
constexpr const char* kWhole = R"(# a comment may hold anything: λ [[[ "
weaken = ["writable-rootfs"]
[worker]
user    = "session"
command = ["/usr/bin/rq", "worker"]
environment = { PYTHONUNBUFFERED = "1", GREETING = "hello \u03bb" }
pass_environment = ["LANG"]
directory = "/tmp"
[sandbox]
root     = "/srv/root"
hostname = "eval-1"
loopback = true
tmp      = "128MiB"
[limits]
memory = "2GiB"
pids   = 256
cpus   = 1.5
time   = "6h"
open_files = 512
output = "10MiB"
connections = "900/min"
require = ["pids", "time"]
[seccomp]
profile = "worker"
[[forward]]
listen = "127.0.0.1:6379"
to     = "unix:/run/redis/redis.sock"
group  = "redis"
[[forward]]
listen = "unix:/run/sallyport/model.sock"
to     = "10.1.2.3:8080"
[docker]
allow  = ["run", "stop", "remove", "observe"]
images = ["busybox:*", "registry.example/eval/*@sha256:*"]
[docker.container]
user = "session"
memory = "1GiB"
pids = 64
cpus = 2
shm = "16MiB"
tmp = 1048576
log = "1MiB"
network = "none"
runtime = "runsc"
read_only = false
[docker.budget]
containers = 4
memory = "4GiB"
creates = "10/min"
requests = "300/min"
lifetime = "30min"
)";

TEST(Profile, HoldsWhatTheFileSays) {
  const auto profile = parse_profile(kWhole, kName, "worker.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  EXPECT_EQ(profile->worker.command, (std::vector<std::string>{"/usr/bin/rq", "worker"}));
  EXPECT_EQ(profile->worker.environment.at("GREETING"), "hello \xce\xbb");
  EXPECT_EQ(profile->worker.pass_environment, std::vector<std::string>{"LANG"});
  EXPECT_EQ(profile->worker.directory, "/tmp");
  EXPECT_FALSE(profile->sandbox.host_root);
  EXPECT_EQ(profile->sandbox.root_directory, "/srv/root");
  EXPECT_EQ(profile->sandbox.hostname, "eval-1");
  EXPECT_TRUE(profile->sandbox.loopback);
  EXPECT_EQ(profile->sandbox.tmp_bytes, 128ULL << 20);
  EXPECT_EQ(profile->limits.memory_bytes, 2ULL << 30);
  EXPECT_EQ(profile->limits.pids, 256U);
  EXPECT_EQ(profile->limits.cpus, 1.5);
  EXPECT_EQ(profile->limits.time, std::chrono::hours(6));
  EXPECT_EQ(profile->limits.open_files, 512U);
  EXPECT_EQ(profile->limits.output_bytes, 10ULL << 20);
  EXPECT_EQ(profile->limits.connections_per_minute, 900U);
  EXPECT_EQ(profile->limits.require, (std::vector<std::string>{"pids", "time"}));
  EXPECT_EQ(profile->weaken, std::vector<std::string>{"writable-rootfs"});
}

TEST(Profile, HoldsItsForwardsInTheFilesOrder) {
  const auto profile = parse_profile(kWhole, kName, "worker.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  ASSERT_EQ(profile->forwards.size(), 2U);
  EXPECT_EQ(profile->forwards[0].listen, Address(TcpAddress{"127.0.0.1", 6379}));
  EXPECT_EQ(profile->forwards[0].to, Address(UnixAddress{"/run/redis/redis.sock"}));
  EXPECT_EQ(profile->forwards[0].group, "redis");
  EXPECT_EQ(profile->forwards[1].listen, Address(UnixAddress{"/run/sallyport/model.sock"}));
  EXPECT_EQ(profile->forwards[1].to, Address(TcpAddress{"10.1.2.3", 8080}));
}

TEST(Profile, HoldsTheDockerSection) {
  const auto profile = parse_profile(kWhole, kName, "worker.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  const DockerSection& docker = profile->docker.value();
  EXPECT_TRUE(docker.allows(ApiGroup::Run) && docker.allows(ApiGroup::Stop));
  EXPECT_TRUE(docker.allows(ApiGroup::Remove) && docker.allows(ApiGroup::Observe));
  EXPECT_EQ(docker.images,
            (std::vector<std::string>{"docker.io/library/busybox:*", "registry.example/eval/*@sha256:*"}));
  EXPECT_EQ(docker.container.memory_bytes, 1ULL << 30);
  EXPECT_EQ(docker.container.pids, 64U);
  EXPECT_EQ(docker.container.cpus, 2.0);
  EXPECT_EQ(docker.container.shm_bytes, 16ULL << 20);
  EXPECT_EQ(docker.container.tmp_bytes, 1ULL << 20);
  EXPECT_EQ(docker.container.log_bytes, 1ULL << 20);
  EXPECT_EQ(docker.container.runtime, "runsc");
  EXPECT_FALSE(docker.container.read_only);
  EXPECT_EQ(docker.budget.containers, 4U);
  EXPECT_EQ(docker.budget.memory_bytes, 4ULL << 30);
  EXPECT_EQ(docker.budget.creates_per_minute, 10U);
  EXPECT_EQ(docker.budget.requests_per_minute, 300U);
  EXPECT_EQ(docker.budget.lifetime, std::chrono::minutes(30));
}

TEST(Profile, ThatIsEmptyHasTheDefaultsAndNoDockerAtAll) {
  const auto profile = parse_profile("", kName, "worker.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  EXPECT_TRUE(profile->worker.command.empty());
  EXPECT_TRUE(profile->sandbox.host_root);
  EXPECT_FALSE(profile->sandbox.loopback);
  EXPECT_EQ(profile->seccomp, "worker");
  EXPECT_TRUE(profile->forwards.empty());
  EXPECT_FALSE(profile->docker);
}

TEST(Profile, AllowsOnlyTheGroupsThatItNames) {
  const auto profile = parse_profile("[docker]\nallow = [\"observe\"]\n", kName, "worker.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  EXPECT_TRUE(profile->docker->allows(ApiGroup::Observe));
  EXPECT_FALSE(profile->docker->allows(ApiGroup::Run));
  EXPECT_FALSE(profile->docker->allows(ApiGroup::Stop));
  EXPECT_FALSE(profile->docker->allows(ApiGroup::Remove));
}

bool is_forward_taken(const std::string& path, const BrokerConfig& config) {
  const auto profile =
      parse_profile("[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"unix:" + path + "\"\n", kName, "worker.toml");
  return check_against(*profile, config).has_value();
}

TEST(Profile, ForwardToTheDockerSocketIsRefusedUnderAnyOfItsNames) {
  const auto outcome = is_forward_taken;
  BrokerConfig config;
  config.docker_socket = "/srv/dockerd/d.sock";
  EXPECT_FALSE(outcome("/srv/dockerd/d.sock", config));
  EXPECT_FALSE(outcome("/run/docker.sock", config));
  EXPECT_FALSE(outcome("/var/run/docker.sock", config));
  EXPECT_FALSE(outcome("/run/containerd/containerd.sock", config));
  EXPECT_FALSE(outcome("/run/sallyport/broker.sock", config));
  EXPECT_TRUE(outcome("/run/redis/redis.sock", config));
  config.docker_socket = "/var/run/dockerd//d.sock";  // as an option may say it
  EXPECT_FALSE(outcome("/run/dockerd/d.sock", config));
}

TEST(Profile, ForwardToOurOwnSocketIsRefusedUnderAnyOfItsNames) {
  BrokerConfig config;
  for (const char* runtime : {"/run/sallyport", "/var/run/sallyport", "/run//sallyport/", "/run/x/../sallyport"}) {
    config.runtime_directory = runtime;
    EXPECT_FALSE(is_forward_taken("/run/sallyport/broker.sock", config)) << runtime;
    EXPECT_FALSE(is_forward_taken("/var/run/sallyport/broker.sock", config)) << runtime;
    EXPECT_FALSE(is_forward_taken("/run/sallyport/of/a-run.sock", config)) << runtime;
    EXPECT_TRUE(is_forward_taken("/run/sallyport-of-another/broker.sock", config)) << runtime;
  }
}

TEST(Profile, ForwardToAForbiddenSocketIsRefusedByALinkToItOrToItsDirectory) {
  std::string directory = testing::TempDir() + "forward-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  BrokerConfig config;
  config.docker_socket = directory + "/docker.sock";
  config.runtime_directory = directory + "/runtime";
  std::filesystem::create_directory(config.runtime_directory);
  for (const std::string& path : {config.docker_socket, config.control_socket(), directory + "/redis.sock"})
    std::ofstream(path) << "";
  std::filesystem::create_symlink("docker.sock", directory + "/to-docker");
  std::filesystem::create_symlink("runtime", directory + "/to-runtime");
  std::filesystem::create_symlink("redis.sock", directory + "/to-redis");
  EXPECT_FALSE(is_forward_taken(directory + "/to-docker", config));
  EXPECT_FALSE(is_forward_taken(directory + "/to-runtime/broker.sock", config));
  EXPECT_TRUE(is_forward_taken(directory + "/to-redis", config));
  EXPECT_TRUE(is_forward_taken(directory + "/nothing-yet", config));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace sallyport
