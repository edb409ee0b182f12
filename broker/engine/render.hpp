// TRUSTED SIDE. The canonical requests to dockerd: one API version, fixed order of queries and headers, our own headers
// only. Built from typed values, never from anything a client wrote as HTTP or JSON; there is no function that
// forwards.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/protocol/messages.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::engine {

inline constexpr std::string_view kApiVersion = "1.41";  // what dockerd 20.10 speaks and later ones still do

// All that the profile, the session and the host decide about a container; what the client may choose is in the
// request.
struct ContainerPlan {
  std::string dockerd_name;
  ImageId image;
  std::uint32_t uid = 0;  // and gid
  std::string broker;     // our label
  SessionId session;
  std::string cgroup_parent;
  std::vector<std::string> volumes;   // that the image declares: a tmpfs over each
  std::vector<std::string> withheld;  // variables of the image that the container must not have
  bool tmp = true;                    // a tmpfs on /tmp, unless that is a volume
  std::uint64_t tmpfs_bytes = 0;      // of each of them
  std::int64_t memory_bytes = 0;
  std::int64_t cpu_quota = 0;  // microseconds in each kCpuPeriod
  std::int64_t pids = 0;
  std::int64_t shm_bytes = 0;
  std::uint64_t log_bytes = 0;
  std::string runtime;
  bool read_only = true;
  bool add_home = false;  // HOME=/tmp, where neither client nor image says otherwise
  std::uint32_t stop_timeout = 10;
};
inline constexpr std::int64_t kCpuPeriod = 100'000;  // microseconds; the kernel's default
inline constexpr std::int64_t kNanoCpusPerQuota = 1'000'000'000 / kCpuPeriod;
inline constexpr std::int64_t kOomScoreAdjust = 500;  // a container dies before its host
inline constexpr std::uint32_t kTmpMode = 01777;
inline constexpr std::int64_t kLogFiles = 1;

inline constexpr std::string_view kBrokerLabel = "sallyport.broker";
inline constexpr std::string_view kSessionLabel = "sallyport.session";

// `seccomp_json` is our container profile; its text goes into SecurityOpt.
std::string create_body(const protocol::CreateContainer& ask, const ContainerPlan& plan, std::string_view seccomp_json);
std::string render_create(const ContainerPlan& plan, std::string_view body);

std::string render_version();
std::string render_info();
std::string render_image_inspect(const ImageRef& image);
std::string render_start(const ContainerId& id);
std::string render_wait(const ContainerId& id, protocol::WaitCondition condition);
std::string render_attach(const ContainerId& id, const protocol::AttachContainer& ask);
std::string render_logs(const ContainerId& id, const protocol::ReadLogs& ask);
std::string render_kill(const ContainerId& id, unsigned signal);
std::string render_stop(const ContainerId& id, std::optional<std::uint32_t> timeout_seconds);
std::string render_resize(const ContainerId& id, unsigned height, unsigned width);
std::string render_inspect(const ContainerId& id);
enum class Force : bool { No, Yes };
std::string render_remove(const ContainerId& id, Force force);  // with its anonymous volumes
std::string render_remove_named(std::string_view dockerd_name, Force force);
// Only containers with our labels; a label is forgeable by an image, so the answer still has to match a record.
std::string render_list(std::string_view broker, const SessionId& session);
// Of them, the one of exactly this name at dockerd; those of these ids.
std::string render_list_named(std::string_view broker, const SessionId& session, std::string_view dockerd_name);
std::string render_list_of(std::string_view broker, const SessionId& session, std::span<const ContainerId> ids);

}  // namespace sallyport::engine
