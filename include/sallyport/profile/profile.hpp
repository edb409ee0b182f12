// BOTH SIDES. A profile: all that one worker may do, as plain immutable data, and the one parser for both doors.
// load_profile() refuses unknown keys, wrong types, contradictions and a file that others may write, naming file, line,
// key and remedy. The parser uses toml++ (toml_reader.cpp only); this header is std only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sallyport/ids.hpp"
#include "sallyport/result.hpp"

namespace sallyport {

struct WorkerSection {
  std::string user = "session";      // the only value of this version
  std::vector<std::string> command;  // default for `sallyport run NAME`
  std::map<std::string, std::string> environment;
  std::vector<std::string> pass_environment;  // names taken from the launcher's environment
  std::string directory = "/";                // working directory in the sandbox
};

struct SandboxSection {
  bool host_root = true;              // root = "host"
  std::string root_directory;         // else an absolute directory, read-only
  std::vector<std::string> readable;  // with the host's root: more of the host, at the same path, read-only
  std::string hostname = "sandbox";
  std::uint64_t tmp_bytes = 256ULL << 20;  // size of /tmp (and of /dev/shm)
  bool loopback = false;                   // TCP and UDP within the sandbox; a TCP forward brings it, too
};

struct LimitsSection {             // 0 or empty: no limit of ours
  std::uint64_t memory_bytes = 0;  // needs cgroup v2: not enforced in this version
  double cpus = 0;                 // needs cgroup v2: not enforced in this version
  std::uint64_t pids = 512;        // RLIMIT_NPROC: counts per uid, and the uid is the session's own
  std::optional<std::chrono::seconds> time;
  // Between SIGTERM and SIGKILL. Without it kTermGrace where the time is up or the broker stops, and what the caller
  // (a unit's TimeoutStopSec=) gives where it is the caller's SIGTERM.
  std::optional<std::chrono::seconds> grace;
  std::uint64_t open_files = 1024;                // RLIMIT_NOFILE
  std::uint64_t output_bytes = 1ULL << 30;        // stdout and stderr together; what is beyond is dropped and said
  std::uint32_t connections_per_minute = 12'000;  // new ones of its forwards; those beyond are held back, and told
  std::vector<std::string> require;               // refuse the launch where one of these cannot be enforced
};

struct TcpAddress {
  std::string address;  // dotted IPv4; for `listen` 127.x.y.z
  std::uint16_t port = 0;
  bool operator==(const TcpAddress&) const = default;
};
struct UnixAddress {
  std::string path;  // absolute; for `listen` below /run/sallyport/
  bool operator==(const UnixAddress&) const = default;
};
using Address = std::variant<TcpAddress, UnixAddress>;

struct ForwardSection {
  Address listen;     // in the sandbox
  Address to;         // fixed upstream on the host
  std::string group;  // one extra group for the dialer, name or number; "" for none
};

struct ContainerSection {  // imposed on every container
  std::uint64_t memory_bytes = 512ULL << 20;
  double cpus = 1.0;
  std::uint64_t pids = 128;
  std::uint64_t shm_bytes = 64ULL << 20;
  std::uint64_t tmp_bytes = 64ULL << 20;  // tmpfs on /tmp and over each volume an image declares
  std::uint64_t log_bytes = 10ULL << 20;
  std::string runtime = "runc";
  bool read_only = true;
  // user = "session" and network = "none" are the only values of this version; the parser refuses others.
};

struct BudgetSection {
  std::uint32_t containers = 8;  // alive or stopped, at one time
  std::uint32_t creates_per_minute = 60;
  std::uint32_t requests_per_minute = 3000;
  std::uint64_t memory_bytes = 0;                // sum over the session's containers; 0: containers * memory
  std::optional<std::chrono::seconds> lifetime;  // of one container; then it is killed
};

enum class ApiGroup : unsigned char { Run, Stop, Remove, Observe, kCount };
std::string_view name_of(ApiGroup group);

struct DockerSection {
  std::array<bool, static_cast<std::size_t>(ApiGroup::kCount)> allow{};
  std::vector<std::string> images;  // patterns in normal form: '*' matches any run of characters but '/' and '@'
  ContainerSection container;
  BudgetSection budget;
  bool allows(ApiGroup group) const { return allow[static_cast<std::size_t>(group)]; }
};

struct Profile {
  ProfileName name;
  std::array<std::uint8_t, 32> hash{};  // SHA-256 of the file's bytes
  WorkerSection worker;
  SandboxSection sandbox;
  LimitsSection limits;
  std::string seccomp = "worker";  // a shipped profile
  std::vector<ForwardSection> forwards;
  std::optional<DockerSection> docker;
  std::vector<std::string> weaken;  // words that weaken a promise, each with its consequence in the README
};

// Only from text: for tests and fuzzing. `file` is what errors name.
Result<Profile> parse_profile(std::string_view text, const ProfileName& name, const std::string& file);

// Opens directory/NAME.toml without following symlinks, refuses one that is not root's (or the caller's own uid, where
// the caller is not root) or that group or others may write, reads it once, hashes and parses those same bytes.
Result<Profile> load_profile(const std::string& directory, const ProfileName& name);

struct BrokerConfig;
// What only both files together can say: a forward to the Docker socket, or to a socket of ours, is refused.
Result<> check_against(const Profile& profile, const BrokerConfig& config);

// True where `image` (normal form) matches one of the patterns (normal form). Total; linear in the pattern.
bool image_is_allowed(const std::vector<std::string>& patterns, std::string_view image);

}  // namespace sallyport
