// BOTH SIDES. broker.toml: places, who may open sessions, the uid span. Same strictness and errors as a profile.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"

namespace sallyport {

struct OpenRule {  // [[open]]
  ProfileName profile;
  std::vector<std::uint32_t> uids;  // users = [names or numbers], resolved in /etc/passwd
  std::vector<std::uint32_t> gids;  // groups = [...]
};

// The default is free by systemd's table (docs/UIDS-GIDS.md: from 0x70000000 on, below 2^31, which runc wants), and
// begins behind what useradd(8) gives of subuids (login.defs(5): to 600100000), what systemd-nspawn picks, and what
// sssd(5) and FreeIPA give to a domain's people (ldap_idmap_range_max: to 2000200000; they are in no file of /etc). It
// has room for 2245 sessions of 65536 ids, aligned, should an engine of a session's own need so many.
struct UidSpan {
  std::uint32_t first = 2'000'224'256;
  std::uint32_t last = 2'147'352'575;  // inclusive; (last - first + 1) / kUidsPerSession sessions
  std::string text() const { return std::to_string(first) + "-" + std::to_string(last); }
};

struct BrokerConfig {
  std::string file;  // where it was read; "" for built-in defaults
  std::string profile_directory = "/etc/sallyport/profiles";
  std::string state_directory = "/var/lib/sallyport";
  std::string log_directory = "/var/log/sallyport";
  std::string runtime_directory = "/run/sallyport";
  std::string docker_socket = "/run/docker.sock";
  std::string docker_version;      // that clients are shown, who ask for "at least 24.0.6"; "": the newest compared
  std::string user = "sallyport";  // the keeper's; name or number, never root
  std::uint32_t user_id = 0;       // resolved from `user`; 0: no such user, and the broker refuses
  UidSpan uid_span;
  std::uint32_t max_sessions = limits::kUsualSessions;
  std::chrono::seconds stop_within = limits::kUsualStopWithin;  // the most of a profile's grace at a stop
  std::vector<OpenRule> open;                                   // empty: root only

  std::string control_socket() const { return runtime_directory + "/broker.sock"; }
};

// A relative place in the file is refused. Options on a command line override places after loading.
Result<BrokerConfig> parse_config(std::string_view text, const std::string& file);
Result<BrokerConfig> load_config(const std::string& file);

// What is right by itself and cannot be used: a control socket's path longer than a socket's may be (unix(7)); any
// [[open]], because nothing but `sallyport run` opens a session yet, and that needs root.
Result<> check_usable(const BrokerConfig& config);
// False of an error for which nobody has to mend a file: a descriptor or memory is missing, the disk fails.
bool is_misconfiguration(const Error& error);

// Whether passwd, group, subuid or subgid of `directory` give one of its ids to somebody else.
Result<> check_span(const UidSpan& span, const std::string& directory = "/etc");

inline constexpr const char* kDefaultConfigFile = "/etc/sallyport/broker.toml";
// What --config named (which must be there), else the default file, else the built-in defaults.
Result<BrokerConfig> find_config(const std::optional<std::string>& named);

// From /etc/passwd and /etc/group, without NSS (our programs are static): a name or a number.
Result<std::uint32_t> resolve_user(const std::string& name_or_number);
Result<std::uint32_t> resolve_group(const std::string& name_or_number);

}  // namespace sallyport
