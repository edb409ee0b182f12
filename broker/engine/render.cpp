#include "broker/engine/render.hpp"

#include "broker/engine/json_writer.hpp"

namespace sallyport::engine {

using protocol::WaitCondition;

namespace {

constexpr std::string_view kHost = " HTTP/1.1\r\nHost: docker\r\n";

// With our headers, and those of `headers`.
Request with_head(std::string_view method, std::string_view path, std::string_view headers) {
  Request out(method, path);
  out += kHost;
  out += headers;
  out += "\r\n";
  return out;
}
Request get(std::string_view path) { return with_head("GET", path, ""); }
Request post(std::string_view path) { return with_head("POST", path, "Content-Length: 0\r\n"); }
std::string container(const ContainerId& id, std::string_view action) {
  return std::string("/containers/").append(id.text()).append(action);
}

// For values of ours only: everything but unreserved characters is escaped (RFC 3986 section 2.3).
std::string percent(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (detail::is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 0xf];
    }
  }
  return out;
}

std::string_view flag(bool value) { return value ? "1" : "0"; }

template <class TextList>
void write_texts(JsonWriter& json, std::string_view name, const TextList& list) {
  json.key(name).begin_array();
  for (const auto& item : list.items) json.text(item.value);
  json.end_array();
}

void write_process(JsonWriter& json, const protocol::CreateContainer& ask, const ContainerPlan& plan) {
  const std::string user = std::to_string(plan.uid);
  json.text("Image", plan.image.text()).text("User", user + ":" + user);
  if (ask.command) write_texts(json, "Cmd", *ask.command);
  if (ask.entrypoint) write_texts(json, "Entrypoint", *ask.entrypoint);
  json.key("Env").begin_array();
  for (const auto& entry : ask.environment.items) json.text(entry.value);
  // A name alone keeps the image's variable out, at create and at start (container/env.go).
  for (const std::string& key : plan.withheld) json.text(key);
  if (plan.add_home) json.text("HOME=/tmp");
  json.end_array();
  if (!ask.working_directory.value.empty()) json.text("WorkingDir", ask.working_directory.value);
  if (!ask.hostname.value.empty()) json.text("Hostname", ask.hostname.value);
  json.boolean("Tty", ask.tty).boolean("OpenStdin", ask.open_stdin).boolean("StdinOnce", ask.stdin_once);
  json.boolean("AttachStdin", ask.attach_stdin).boolean("AttachStdout", ask.attach_stdout);
  json.boolean("AttachStderr", ask.attach_stderr);
  if (ask.stop_signal != 0) json.text("StopSignal", std::to_string(ask.stop_signal));
  json.number("StopTimeout", plan.stop_timeout);
  json.key("Healthcheck").begin_object().key("Test").begin_array().text("NONE").end_array().end_object();
  json.key("Labels")
      .begin_object()
      .text(kBrokerLabel, plan.broker)
      .text(kSessionLabel, plan.session.text())
      .end_object();
}

// Over a declared volume by Mounts, because only a mount keeps dockerd from making the anonymous volume (a Tmpfs entry
// does not). On /tmp by Tmpfs, because only that can give an owner: runc sets a tmpfs to the mode of the directory
// beneath, and an image's /tmp that is not 1777 could not be written by the session's uid.
void write_mounts(JsonWriter& json, const ContainerPlan& plan) {
  const std::string size = std::to_string(plan.tmpfs_bytes);
  const std::string user = std::to_string(plan.uid);
  json.key("Tmpfs").begin_object();
  if (plan.tmp) json.text("/tmp", "rw,nosuid,nodev,noexec,size=" + size + ",mode=1777,uid=" + user + ",gid=" + user);
  json.end_object().key("Mounts").begin_array();
  for (const std::string& target : plan.volumes) {
    json.begin_object().text("Type", "tmpfs").text("Target", target).key("TmpfsOptions").begin_object();
    json.number("SizeBytes", static_cast<std::int64_t>(plan.tmpfs_bytes)).number("Mode", limits::kTmpMode);
    json.end_object().end_object();
  }
  json.end_array();
}

void write_isolation(JsonWriter& json, std::string_view seccomp_json) {
  json.text("NetworkMode", "none").text("IpcMode", "private").text("CgroupnsMode", "private");
  json.text("PidMode", "").text("UTSMode", "").text("UsernsMode", "");
  json.boolean("Privileged", false).boolean("PublishAllPorts", false);
  json.key("CapAdd").begin_array().end_array().key("CapDrop").begin_array().text("ALL").end_array();
  json.key("SecurityOpt").begin_array().text("no-new-privileges");
  json.text(std::string("seccomp=").append(seccomp_json)).end_array();
}

void write_limits(JsonWriter& json, const ContainerPlan& plan) {
  json.number("Memory", plan.memory_bytes).number("MemorySwap", plan.memory_bytes);
  json.number("CpuPeriod", kCpuPeriod).number("CpuQuota", plan.cpu_quota).number("PidsLimit", plan.pids);
  json.number("ShmSize", plan.shm_bytes).number("OomScoreAdj", limits::kOomScoreOfHostile);
  json.key("Ulimits").begin_array().begin_object().text("Name", "core");
  json.number("Soft", plan.core_limit).number("Hard", plan.core_limit).end_object().end_array();
  json.text("CgroupParent", plan.cgroup_parent);
  json.key("LogConfig").begin_object().text("Type", "json-file").key("Config").begin_object();
  json.text("max-size", std::to_string(plan.log_bytes))
      .text("max-file", std::to_string(kLogFiles))
      .end_object()
      .end_object();
}

std::string seconds_and_nanoseconds(std::int64_t nanoseconds) {
  std::string fraction = std::to_string(nanoseconds % 1'000'000'000);
  fraction.insert(0, 9 - fraction.size(), '0');
  return std::to_string(nanoseconds / 1'000'000'000) + "." + fraction;
}

}  // namespace

Request::Request(std::string_view method, std::string_view rest) : path_at_(method.size() + 1) {
  text_.reserve(256);
  text_.append(method).append(" ").append(rest);
}

std::string Request::in(const ApiVersion& version) const {
  const std::string_view text = text_;
  const std::string named = version.text();
  std::string out;
  out.reserve(text.size() + named.size() + 2);
  out.append(text.substr(0, path_at_)).append("/v").append(named).append(text.substr(path_at_));
  return out;
}

std::string create_body(const protocol::CreateContainer& ask, const ContainerPlan& plan,
                        std::string_view seccomp_json) {
  JsonWriter json;
  json.begin_object();
  write_process(json, ask, plan);
  json.key("HostConfig").begin_object();
  write_isolation(json, seccomp_json);
  write_limits(json, plan);
  write_mounts(json, plan);
  json.key("RestartPolicy").begin_object().text("Name", "no").number("MaximumRetryCount", 0).end_object();
  json.boolean("ReadonlyRootfs", plan.read_only).boolean("AutoRemove", ask.auto_remove);
  json.boolean("Init", ask.init).text("Runtime", plan.runtime);
  json.end_object().end_object();
  return json.take();
}

Request render_create(const ContainerPlan& plan, std::string_view body) {
  std::string headers = "Content-Type: application/json\r\nContent-Length: ";
  headers.append(std::to_string(body.size())).append("\r\n");
  Request out = with_head("POST", "/containers/create?name=" + percent(plan.dockerd_name), headers);
  out += body;
  return out;
}

std::string render_version() { return std::string("GET /version").append(kHost).append("\r\n"); }
Request render_info() { return get("/info"); }
Request render_image_inspect(const ImageRef& image) { return get("/images/" + image.text() + "/json"); }
Request render_start(const ContainerId& id) { return post(container(id, "/start")); }
Request render_inspect(const ContainerId& id) { return get(container(id, "/json")); }

Request render_wait(const ContainerId& id, WaitCondition condition) {
  std::string_view name = "not-running";
  if (condition == WaitCondition::NextExit) name = "next-exit";
  if (condition == WaitCondition::Removed) name = "removed";
  return post(container(id, "/wait?condition=").append(name));
}

// Always with Upgrade: a 200 raw stream could not be told from HTTP.
Request render_attach(const ContainerId& id, const protocol::AttachContainer& ask) {
  std::string path = container(id, "/attach?");
  if (!ask.detach_keys.value.empty()) path.append("detachKeys=").append(percent(ask.detach_keys.value)).append("&");
  path.append("logs=").append(flag(ask.logs)).append("&stream=").append(flag(ask.stream));
  path.append("&stdin=").append(flag(ask.use_stdin)).append("&stdout=").append(flag(ask.use_stdout));
  path.append("&stderr=").append(flag(ask.use_stderr));
  return with_head("POST", path, "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n");
}

Request render_logs(const ContainerId& id, const protocol::ReadLogs& ask) {
  std::string path = container(id, "/logs?");
  path.append("follow=").append(flag(ask.follow)).append("&stdout=").append(flag(ask.use_stdout));
  path.append("&stderr=").append(flag(ask.use_stderr)).append("&timestamps=").append(flag(ask.timestamps));
  if (ask.since_nanoseconds > 0) path.append("&since=").append(seconds_and_nanoseconds(ask.since_nanoseconds));
  if (ask.until_nanoseconds > 0) path.append("&until=").append(seconds_and_nanoseconds(ask.until_nanoseconds));
  path.append("&tail=").append(ask.tail ? std::to_string(*ask.tail) : "all");
  return get(path);
}

Request render_kill(const ContainerId& id, unsigned signal) {
  return post(container(id, "/kill?signal=").append(std::to_string(signal)));
}

Request render_stop(const ContainerId& id, std::optional<std::uint32_t> timeout_seconds) {
  if (!timeout_seconds) return post(container(id, "/stop"));
  return post(container(id, "/stop?t=").append(std::to_string(*timeout_seconds)));
}

Request render_resize(const ContainerId& id, unsigned height, unsigned width) {
  return post(container(id, "/resize?h=").append(std::to_string(height)).append("&w=").append(std::to_string(width)));
}

namespace {

Request remove(std::string path, Force force) {
  path.append("?v=1&force=").append(flag(force == Force::Yes));
  return with_head("DELETE", path, "");
}

JsonWriter begin_filters(std::string_view broker, const SessionId& session) {
  JsonWriter filters;
  filters.begin_object().key("label").begin_array();
  filters.text(std::string(kBrokerLabel).append("=").append(broker));
  filters.text(std::string(kSessionLabel).append("=").append(session.text()));
  filters.end_array();
  return filters;
}

Request list(JsonWriter filters) {
  return get("/containers/json?all=1&filters=" + percent(filters.end_object().take()));
}

}  // namespace

Request render_remove(const ContainerId& id, Force force) { return remove(container(id, ""), force); }
Request render_remove_named(std::string_view dockerd_name, Force force) {
  return remove("/containers/" + percent(dockerd_name), force);
}

Request render_list(std::string_view broker, const SessionId& session) { return list(begin_filters(broker, session)); }

// dockerd takes a name in a filter for a regular expression, and matches it with the slash and without.
Request render_list_named(std::string_view broker, const SessionId& session, std::string_view dockerd_name) {
  std::string pattern = "^/";
  for (const char c : dockerd_name) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  JsonWriter filters = begin_filters(broker, session);
  filters.key("name").begin_array().text(pattern + "$").end_array();
  return list(std::move(filters));
}

Request render_list_of(std::string_view broker, const SessionId& session, std::span<const ContainerId> ids) {
  JsonWriter filters = begin_filters(broker, session);
  filters.key("id").begin_array();
  for (const ContainerId& id : ids) filters.text(id.text());
  filters.end_array();
  return list(std::move(filters));
}

}  // namespace sallyport::engine
