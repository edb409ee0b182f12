// TRUSTED SIDE. Plan: the whole sandbox as plain immutable data, made before anything is done. It can be printed
// (`sallyport plan`), tested and compared. make_plan() is pure: what it knows of the host is in HostFacts.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/host_facts.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/result.hpp"

namespace sallyport::launcher {

// Ids inside the sandbox's user namespace. Nothing else is mapped, uid 0 least of all.
inline constexpr std::uint32_t kWorkerIdInside = 1000;
inline constexpr std::uint32_t kInitIdInside = 999;

inline constexpr const char* kSocketDirectory = "/run/sallyport";
inline constexpr const char* kDockerSocket = "/run/sallyport/docker.sock";
inline constexpr int kWorkerStreamFd = 3;

struct Namespace {
  const char* name;
  std::uint64_t flag;
};
std::vector<Namespace> all_namespaces();  // seven, all made by one clone3

struct RootEntry {
  enum class Kind : std::uint8_t { Directory, File, Link, HostTree, Device, Tmpfs, Proc };
  Kind kind = Kind::Directory;
  std::string target;  // absolute in the sandbox
  std::string source;  // host path (HostTree, Device), content (File), destination (Link)
  bool source_is_file = false;
  std::uint64_t bytes = 0;  // size of a Tmpfs
  bool operator==(const RootEntry&) const = default;
};

struct ResourceLimit {
  const char* name;
  int resource;
  std::uint64_t value;  // soft and hard alike
};

struct Listener {
  Address address;  // in the sandbox
  bool operator==(const Listener&) const = default;
};

struct Plan {
  std::string profile;
  std::vector<std::string> command;      // argv
  std::vector<std::string> programs;     // paths tried for argv[0], in order
  std::vector<std::string> environment;  // KEY=VALUE, sorted
  std::string directory;
  std::string hostname;
  std::vector<RootEntry> root;  // made in this order on an empty tmpfs, which is then read-only
  std::vector<ResourceLimit> limits;
  std::optional<std::chrono::seconds> time;
  std::optional<std::chrono::seconds> grace;  // between SIGTERM and SIGKILL
  std::uint64_t output_bytes = 0;
  bool has_docker = false;
  bool has_loopback = false;  // of the sandbox's own; without it there are no sockets of TCP or UDP either
  std::optional<ContainerSection> imposed;  // by the broker on each container of the session
  std::vector<Listener> listeners;          // docker.sock first where has_docker, then the forwards in profile order
  std::vector<std::string> not_enforced;    // limits of the profile that this version cannot enforce
  bool says_running = false;                // somebody waits to hear that the worker runs
  bool opens_session() const { return !listeners.empty(); }
};

using Environment = std::map<std::string, std::string>;

// `command` empty: the profile's. Fails where the profile cannot be had as it is written.
Result<Plan> make_plan(const Profile& profile, const HostFacts& host, std::vector<std::string> command,
                       const Environment& caller);

std::string address_text(const Address& address);

// For people: every namespace, mount, limit, descriptor and step, in order.
std::string render_plan(const Plan& plan);

}  // namespace sallyport::launcher
