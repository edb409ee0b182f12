// TRUSTED SIDE. The canonical requests to dockerd: fixed order of queries and headers, our own headers only, alike in
// every API version that is spoken. Built from typed values, never from anything a client wrote as HTTP or JSON; there
// is no function that forwards.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/engine/api_version.hpp"
#include "broker/protocol/messages.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::engine {

// Whole but for the API version, which DockerClient puts in: only it knows what the dockerd that is there now offers.
class Request {
 public:
  // `rest` begins with the path.
  Request(std::string_view method, std::string_view rest);
  Request& operator+=(std::string_view more) {
    text_ += more;
    return *this;
  }
  std::string in(const ApiVersion& version) const;

 private:
  std::string text_;
  std::size_t path_at_;
};

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
  std::int64_t core_limit = 1;  // containers_cores.hpp
  std::uint64_t log_bytes = 0;
  std::string runtime;
  bool read_only = true;
  bool add_home = false;  // HOME=/tmp, where neither client nor image says otherwise
  std::uint32_t stop_timeout = 10;
};
inline constexpr std::int64_t kCpuPeriod = 100'000;  // microseconds; the kernel's default
inline constexpr std::int64_t kNanoCpusPerQuota = 1'000'000'000 / kCpuPeriod;
inline constexpr std::int64_t kLogFiles = 1;

inline constexpr std::string_view kBrokerLabel = "sallyport.broker";
inline constexpr std::string_view kSessionLabel = "sallyport.session";

// `seccomp_json` is our container profile; its text goes into SecurityOpt.
std::string create_body(const protocol::CreateContainer& ask, const ContainerPlan& plan, std::string_view seccomp_json);
Request render_create(const ContainerPlan& plan, std::string_view body);

std::string render_version();  // without a version: what dockerd offers is not known yet
Request render_info();
Request render_image_inspect(const ImageRef& image);
Request render_start(const ContainerId& id);
Request render_wait(const ContainerId& id, protocol::WaitCondition condition);
Request render_attach(const ContainerId& id, const protocol::AttachContainer& ask);
Request render_logs(const ContainerId& id, const protocol::ReadLogs& ask);
Request render_kill(const ContainerId& id, unsigned signal);
Request render_stop(const ContainerId& id, std::optional<std::uint32_t> timeout_seconds);
Request render_resize(const ContainerId& id, unsigned height, unsigned width);
Request render_inspect(const ContainerId& id);
enum class Force : bool { No, Yes };
Request render_remove(const ContainerId& id, Force force);  // with its anonymous volumes
Request render_remove_named(std::string_view dockerd_name, Force force);
// Only containers with our labels; a label is forgeable by an image, so the answer still has to match a record.
Request render_list(std::string_view broker, const SessionId& session);
// Of them, the one of exactly this name at dockerd; those of these ids.
Request render_list_named(std::string_view broker, const SessionId& session, std::string_view dockerd_name);
Request render_list_of(std::string_view broker, const SessionId& session, std::span<const ContainerId> ids);

}  // namespace sallyport::engine
