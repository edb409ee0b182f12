// BOTH SIDES of the trust line: the closed set of typed requests a gate (UNTRUSTED) can make of the keeper (TRUSTED),
// and of replies. What has no field here cannot reach dockerd. Every bound is in a field's type.
// A request and its answers carry the same RequestId, chosen by the gate; ids in flight are distinct.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>

#include "sallyport/bytes.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::protocol {

using RequestId = std::uint32_t;
using Argument = Text<limits::kMaxArgumentBytes>;

struct Label {
  Text<limits::kMaxLabelKeyBytes> key;
  Text<limits::kMaxLabelBytes> value;
  auto fields() { return std::tie(key, value); }
  bool operator==(const Label&) const = default;
};

// --- gate -> keeper ---

// What a client asked for where the profile decides. It decides nothing: the keeper tells the client by it which of its
// values do not hold. Zero: not asked for.
struct Wishes {
  Text<limits::kMaxUserBytes> user;  // [A-Za-z0-9_.:$-]*
  std::int64_t memory_swap = 0;      // bytes; -1: without a limit
  std::int64_t memory_reservation = 0;
  std::int64_t memory_swappiness = 0;
  std::int64_t cpu_shares = 0;
  std::int64_t cpu_period = 0;  // microseconds
  std::int64_t cpu_quota = 0;   // microseconds, of which the request's nano_cpus are made; -1: without a limit
  std::int64_t blkio_weight = 0;
  std::int64_t oom_score = 0;
  std::int64_t stop_timeout = 0;          // seconds, where it is more than is ever waited; -1: for ever
  std::int64_t log_bytes = 0;             // max-size; -1: without a limit
  std::int64_t log_files = 0;             // max-file
  std::int64_t tmp_bytes = 0;             // size= of the tmpfs on /tmp; -1: without a limit
  std::optional<std::uint32_t> tmp_mode;  // mode= of it
  bool tmp_noatime = false;
  bool unlimited_pids = false;
  bool ulimit_nofile = false;
  bool ulimit_nproc = false;
  bool ulimit_core = false;  // another than 0, which always holds
  auto fields() {
    return std::tie(user, memory_swap, memory_reservation, memory_swappiness, cpu_shares, cpu_period, cpu_quota,
                    blkio_weight, oom_score, stop_timeout, log_bytes, log_files, tmp_bytes, tmp_mode, tmp_noatime,
                    unlimited_pids, ulimit_nofile, ulimit_nproc, ulimit_core);
  }
};
// What a client may choose about a container. Everything else is imposed by the profile.
struct CreateContainer {
  std::optional<ContainerName> name;
  ImageRef image;                                                   // normal form, from api/names.hpp
  std::optional<ImageRef> image_as_written;                         // to be shown again; absent: in normal form
  std::optional<List<Argument, limits::kMaxArguments>> command;     // absent: the image's
  std::optional<List<Argument, limits::kMaxArguments>> entrypoint;  // absent: the image's
  List<Argument, limits::kMaxEnvironmentEntries> environment;       // KEY=VALUE or KEY: api::is_environment_entry
  List<Label, limits::kMaxLabels> labels;                           // kept in the ledger, never given to dockerd
  Text<limits::kMaxPathBytes> working_directory;                    // "" or an absolute clean path
  Text<limits::kMaxHostnameBytes> hostname;                         // "" or api::is_hostname
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  bool auto_remove = false;
  bool init = false;  // dockerd's own init (tini)
  bool read_only = false;
  std::uint8_t stop_signal = 0;               // 0: the image's; else api::is_signal
  std::optional<std::uint32_t> stop_timeout;  // seconds
  std::int64_t memory = 0;                    // bytes; 0: the profile's
  std::int64_t nano_cpus = 0;
  std::int64_t pids = 0;
  std::int64_t shm_bytes = 0;
  Text<limits::kMaxChoiceBytes> runtime;   // "", or only the one that is in force
  Text<limits::kMaxChoiceBytes> platform;  // "", or only the image's own
  Wishes wishes;
  auto fields() {
    return std::tie(name, image, image_as_written, command, entrypoint, environment, labels, working_directory,
                    hostname, tty, open_stdin, stdin_once, attach_stdin, attach_stdout, attach_stderr, auto_remove,
                    init, read_only, stop_signal, stop_timeout, memory, nano_cpus, pids, shm_bytes, runtime, platform,
                    wishes);
  }
};
struct StartContainer {
  ContainerName container;
  auto fields() { return std::tie(container); }
};
enum class WaitCondition : std::uint8_t { NotRunning, NextExit, Removed, kCount };
struct WaitContainer {
  ContainerName container;
  WaitCondition condition = WaitCondition::NotRunning;
  auto fields() { return std::tie(container, condition); }
};
struct AttachContainer {
  ContainerName container;
  bool logs = false;
  bool stream = false;
  bool use_stdin = false;
  bool use_stdout = false;
  bool use_stderr = false;
  Text<64> detach_keys;  // [a-z0-9@\[\]^_,-]* or ""
  auto fields() { return std::tie(container, logs, stream, use_stdin, use_stdout, use_stderr, detach_keys); }
};
struct ReadLogs {
  ContainerName container;
  bool follow = false;
  bool use_stdout = false;
  bool use_stderr = false;
  bool timestamps = false;
  std::int64_t since_nanoseconds = 0;  // since the epoch; 0: the beginning
  std::int64_t until_nanoseconds = 0;  // 0: no end
  std::optional<std::uint32_t> tail;   // absent: all
  auto fields() {
    return std::tie(container, follow, use_stdout, use_stderr, timestamps, since_nanoseconds, until_nanoseconds, tail);
  }
};
struct KillContainer {
  ContainerName container;
  std::uint8_t signal = 9;  // api::is_signal: libc keeps 32 and 33
  auto fields() { return std::tie(container, signal); }
};
struct StopContainer {
  ContainerName container;
  std::optional<std::uint32_t> timeout;  // seconds; absent: the container's own
  auto fields() { return std::tie(container, timeout); }
};
struct ResizeContainer {
  ContainerName container;
  std::uint16_t height = 0;
  std::uint16_t width = 0;
  auto fields() { return std::tie(container, height, width); }
};
struct InspectContainer {
  ContainerName container;
  auto fields() { return std::tie(container); }
};
struct ListContainers {  // the gate filters: it may see all of its session's anyway
  bool all = false;
  auto fields() { return std::tie(all); }
};
struct RemoveContainer {
  ContainerName container;
  bool force = false;
  auto fields() { return std::tie(container, force); }
};
// The client of a request in flight has gone: its wait or stream may end. Legal, and ignored, when it crosses the end.
struct CancelRequest {
  RequestId request = 0;
  auto fields() { return std::tie(request); }
};
// What the gate decided alone: recorded as its claim (`source: gate`), with no answer.
struct GateClaim {
  bool allowed = false;
  std::uint16_t http_status = 0;  // 0: of several kinds together
  Text<16> method;
  Text<128> endpoint;  // the row of the endpoint table, or what the client asked for
  Text<128> rule;      // field path or row
  Text<limits::kMaxReasonBytes> reason;
  std::uint32_t repeated = 1;  // how many alike this record stands for
  auto fields() { return std::tie(allowed, http_status, method, endpoint, rule, reason, repeated); }
};

using Request = std::variant<CreateContainer, StartContainer, WaitContainer, AttachContainer, ReadLogs, KillContainer,
                             StopContainer, ResizeContainer, InspectContainer, ListContainers, RemoveContainer,
                             CancelRequest, GateClaim>;
struct RequestEnvelope {
  RequestId id = 0;
  Request request;
  auto fields() { return std::tie(id, request); }
};

// --- keeper -> gate ---

// First message on a new gate's channel; no request id.
struct Welcome {
  SessionId session;
  ProfileName profile;
  Text<limits::kMaxDockerVersionBytes> docker_version;  // that clients are shown
  auto fields() { return std::tie(session, profile, docker_version); }
};
// A refusal or an error, in Docker's terms: status is the HTTP status, message what the client is shown.
struct Failed {
  std::uint16_t http_status = 500;
  Text<limits::kMaxReasonBytes> message;
  std::uint32_t retry_after_seconds = 0;  // with 429
  auto fields() { return std::tie(http_status, message, retry_after_seconds); }
};
struct Succeeded {            // start, kill, stop, resize, remove
  bool not_modified = false;  // 304: already started, already stopped
  auto fields() { return std::tie(not_modified); }
};
struct Created {
  ContainerId id;
  List<Text<limits::kMaxWarningBytes>, limits::kMaxWarnings> warnings;  // which of the client's values do not hold
  auto fields() { return std::tie(id, warnings); }
};
// wait: sent as soon as dockerd has registered the wait, so that the client's head can be flushed before start.
struct Waiting {
  auto fields() { return std::tie(); }
};
struct Exited {  // the end of a wait
  std::int64_t status = 0;
  Text<limits::kMaxReasonBytes> error;
  auto fields() { return std::tie(status, error); }
};
// attach: comes with one descriptor, dockerd's raw stream after its 101. `early` was read past dockerd's head.
struct Hijacked {
  bool tty = false;
  Text<limits::kMaxUpstreamHeadBytes> early;
  auto fields() { return std::tie(tty, early); }
};
// attach: the container does not run; Hijacked follows when it is started.
struct Registered {
  bool tty = false;
  auto fields() { return std::tie(tty); }
};
// logs: comes with one descriptor that yields the log bytes (stdcopy frames unless tty) and ends with them.
struct Streaming {
  bool tty = false;
  auto fields() { return std::tie(tty); }
};
enum class ContainerStatus : std::uint8_t { Created, Running, Paused, Restarting, Removing, Exited, Dead, kCount };
struct Summary {  // one entry of a list
  ContainerId id;
  ContainerName name;
  Text<limits::kMaxImageRefBytes> image;  // as the client wrote it
  Text<80> image_id;
  Text<1024> command;
  std::int64_t created = 0;  // seconds since the epoch
  ContainerStatus status = ContainerStatus::Created;
  Text<128> status_text;  // "Up 3 seconds", "Exited (0) 2 minutes ago"
  std::int32_t exit_code = 0;
  List<Label, limits::kMaxLabels> labels;
  auto fields() {
    return std::tie(id, name, image, image_id, command, created, status, status_text, exit_code, labels);
  }
};
// A list is one ListItem for each container, then Succeeded: so no list outgrows a datagram.
struct ListItem {
  Summary container;
  auto fields() { return std::tie(container); }
};
struct Inspected {
  Summary container;
  Text<64> created_at;  // RFC 3339, as dockerd gives it
  Text<64> started_at;
  Text<64> finished_at;
  bool oom_killed = false;
  bool auto_remove = false;
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  bool read_only = false;
  bool init = false;
  bool has_entrypoint = false;
  bool has_command = false;
  Text<256> path;
  List<Argument, limits::kMaxArguments> arguments;
  List<Argument, limits::kMaxEnvironmentEntries> environment;
  List<Argument, limits::kMaxArguments> entrypoint;
  List<Argument, limits::kMaxArguments> command;
  Text<limits::kMaxPathBytes> working_directory;
  Text<limits::kMaxHostnameBytes> hostname;
  Text<64> user;
  Text<32> stop_signal;
  std::optional<std::int64_t> stop_timeout;
  Text<limits::kMaxReasonBytes> state_error;
  Text<limits::kMaxChoiceBytes> runtime;
  Text<32> log_size;
  Text<32> log_files;
  Text<256> tmp_options;  // of the tmpfs on /tmp; "": there is none
  std::int64_t oom_score = 0;
  std::int64_t memory = 0;
  std::int64_t memory_swap = 0;
  std::int64_t cpu_period = 0;
  std::int64_t cpu_quota = 0;
  std::int64_t pids = 0;
  std::int64_t shm_bytes = 0;
  auto fields() {
    return std::tie(container, created_at, started_at, finished_at, oom_killed, auto_remove, tty, open_stdin,
                    stdin_once, attach_stdin, attach_stdout, attach_stderr, read_only, init, has_entrypoint,
                    has_command, path, arguments, environment, entrypoint, command, working_directory, hostname, user,
                    stop_signal, stop_timeout, state_error, runtime, log_size, log_files, tmp_options, oom_score,
                    memory, memory_swap, cpu_period, cpu_quota, pids, shm_bytes);
  }
};

using Reply = std::variant<Welcome, Failed, Succeeded, Created, Waiting, Exited, Hijacked, Streaming, ListItem,
                           Inspected, Registered>;
struct ReplyEnvelope {
  RequestId id = 0;
  Reply reply;
  auto fields() { return std::tie(id, reply); }
};

}  // namespace sallyport::protocol
