#include "broker/engine/read_reply.hpp"

#include <charconv>

#include "broker/engine/explain.hpp"
#include "broker/engine/json_reader.hpp"
#include "broker/engine/json_writer.hpp"

namespace sallyport::engine {

using protocol::Argument;
using protocol::ContainerStatus;
using protocol::Inspected;

namespace {

std::unexpected<Error> malformed(const char* what) {
  return fail_errno(std::string("read dockerd's answer to ") + what, EPROTO);
}

template <std::size_t Most>
void read_texts(JsonReader& json, List<Argument, Most>& into, std::size_t& budget) {
  json.array([&] {
    std::string item = json.text(limits::kMaxArgumentBytes);
    if (into.items.size() >= Most || item.size() > budget) return;
    budget -= item.size();
    into.items.emplace_back(std::move(item));
  });
}

// False where it is null, which is not the same as empty.
template <std::size_t Most>
bool read_optional_texts(JsonReader& json, List<Argument, Most>& into, std::size_t& budget) {
  if (json.take_null()) return false;
  read_texts(json, into, budget);
  return true;
}

ContainerStatus status_of(std::string_view name) {
  if (name == "created") return ContainerStatus::Created;
  if (name == "running") return ContainerStatus::Running;
  if (name == "paused") return ContainerStatus::Paused;
  if (name == "restarting") return ContainerStatus::Restarting;
  if (name == "removing") return ContainerStatus::Removing;
  if (name == "exited") return ContainerStatus::Exited;
  return ContainerStatus::Dead;
}

// dockerd's list has the status of the end only in its words: "Exited (4) 2 minutes ago", "Restarting (1) ...".
std::int32_t exit_code_of(std::string_view words) {
  const std::size_t open = words.find(" (");
  const std::string_view state = words.substr(0, open);
  if (open == std::string_view::npos || (state != "Exited" && state != "Restarting")) return 0;
  const std::string_view rest = words.substr(open + 2);
  std::int32_t code = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), code);
  const bool closed = end != rest.data() + rest.size() && *end == ')';
  return error == std::errc{} && closed ? code : 0;
}

// A text that was longer shows it: the reader cuts at a whole character, so up to three bytes before its ceiling.
std::string text_or_longer(JsonReader& json, std::size_t most) { return json.text(most + 4); }

void read_image_texts(JsonReader& json, std::vector<std::string>& into, std::size_t most, ImageFacts& image) {
  std::size_t budget = limits::kMaxDescriptionBytes;
  json.array([&] {
    std::string item = text_or_longer(json, limits::kMaxArgumentBytes);
    if (into.size() >= most || item.size() > limits::kMaxArgumentBytes || item.size() > budget) {
      image.is_cut = true;
      return;
    }
    budget -= item.size();
    into.push_back(std::move(item));
  });
}

void read_state(JsonReader& json, Inspected& into, std::string& error) {
  json.object([&](std::string_view key) {
    if (key == "Status") into.container.status = status_of(json.text(16));
    else if (key == "OOMKilled") into.oom_killed = json.boolean();
    else if (key == "ExitCode") into.container.exit_code = static_cast<std::int32_t>(json.integer());
    else if (key == "Error") error = json.text(limits::kMaxErrorBytes);
    else if (key == "StartedAt") into.started_at = json.text(64);
    else if (key == "FinishedAt") into.finished_at = json.text(64);
    else json.skip();
  });
}

void read_log_config(JsonReader& json, Inspected& into) {
  json.object([&](std::string_view key) {
    if (key != "Config") return json.skip();
    json.object([&](std::string_view option) {
      if (option == "max-size") into.log_size = json.text(32);
      else if (option == "max-file") into.log_files = json.text(32);
      else json.skip();
    });
  });
}

void read_host_config(JsonReader& json, Inspected& into) {
  json.object([&](std::string_view key) {
    if (key == "AutoRemove") into.auto_remove = json.boolean();
    else if (key == "Init") into.init = json.boolean();
    else if (key == "Runtime") into.runtime = json.text(limits::kMaxChoiceBytes);
    else if (key == "OomScoreAdj") into.oom_score = json.integer();
    else if (key == "MemorySwap") into.memory_swap = json.integer();
    else if (key == "LogConfig") read_log_config(json, into);
    else if (key == "Tmpfs")
      json.object([&](std::string_view path) {
        if (path == "/tmp") into.tmp_options = json.text(256);
        else json.skip();
      });
    else if (key == "ReadonlyRootfs") into.read_only = json.boolean();
    else if (key == "Memory") into.memory = json.integer();
    else if (key == "CpuPeriod") into.cpu_period = json.integer();
    else if (key == "CpuQuota") into.cpu_quota = json.integer();
    else if (key == "PidsLimit") into.pids = json.integer();
    else if (key == "ShmSize") into.shm_bytes = json.integer();
    else json.skip();
  });
}

void read_config(JsonReader& json, Inspected& into, std::size_t& budget) {
  json.object([&](std::string_view key) {
    if (key == "Hostname") into.hostname = json.text(limits::kMaxHostnameBytes);
    else if (key == "User") into.user = json.text(64);
    else if (key == "AttachStdin") into.attach_stdin = json.boolean();
    else if (key == "AttachStdout") into.attach_stdout = json.boolean();
    else if (key == "AttachStderr") into.attach_stderr = json.boolean();
    else if (key == "Tty") into.tty = json.boolean();
    else if (key == "OpenStdin") into.open_stdin = json.boolean();
    else if (key == "StdinOnce") into.stdin_once = json.boolean();
    else if (key == "Env") read_texts(json, into.environment, budget);
    else if (key == "Cmd") into.has_command = read_optional_texts(json, into.command, budget);
    else if (key == "Entrypoint") into.has_entrypoint = read_optional_texts(json, into.entrypoint, budget);
    else if (key == "WorkingDir") into.working_directory = json.text(limits::kMaxPathBytes);
    else if (key == "StopSignal") into.stop_signal = json.text(32);
    else if (key == "StopTimeout") into.stop_timeout = json.integer();
    else json.skip();
  });
}

void read_image_config(JsonReader& json, ImageFacts& into) {
  json.object([&](std::string_view key) {
    if (key == "Volumes") {
      json.object([&](std::string_view path) {
        // An escape in a path would need decoding here: such an image is refused as having one volume too many.
        const bool plain = path.find('\\') == std::string_view::npos && path.size() <= limits::kMaxPathBytes;
        if (into.volumes.size() <= limits::kMaxImageVolumes) into.volumes.emplace_back(plain ? path : "");
        json.skip();
      });
    } else if (key == "Env") {
      read_image_texts(json, into.environment, limits::kMaxEnvironmentEntries, into);
    } else if (key == "Entrypoint") {
      read_image_texts(json, into.entrypoint, limits::kMaxArguments, into);
    } else if (key == "Cmd") {
      read_image_texts(json, into.command, limits::kMaxArguments, into);
    } else if (key == "WorkingDir") {
      into.working_directory = text_or_longer(json, limits::kMaxPathBytes);
    } else if (key == "StopSignal") {
      into.stop_signal = text_or_longer(json, 32);
    } else if (key == "Labels") {
      json.object([&](std::string_view name) {
        const std::string value = json.text(limits::kMaxReplyBytes);
        into.other_bytes += name.size() + 8 + value.size();
        into.other_described += name.size() + 8 + described_size(value);  // a key comes as it is written
      });
    } else if (key == "ExposedPorts") {
      json.object([&](std::string_view port) {
        into.other_bytes += port.size() + 8;
        into.other_described += port.size() + 8;
        json.skip();
      });
    } else {
      json.skip();
    }
  });
}

void read_listed(JsonReader& json, ListedContainer& into) {
  json.object([&](std::string_view key) {
    if (key == "Id") into.id = ContainerId::parse(json.text(64)).value_or(ContainerId());
    else if (key == "Names")
      json.array([&] {
        std::string name = json.text(256);
        if (into.name.empty() && name.starts_with('/')) into.name = name.substr(1);
      });
    else if (key == "ImageID") into.summary.image_id = json.text(80);
    else if (key == "Command") into.summary.command = json.text(1024);
    else if (key == "Created") into.summary.created = json.integer();
    else if (key == "State") into.summary.status = status_of(json.text(16));
    else if (key == "Status") into.summary.status_text = json.text(128);
    else json.skip();
  });
  into.summary.exit_code = exit_code_of(into.summary.status_text.value);
}

std::string command_line(const Inspected& of) {
  std::string line = of.path.value;
  for (const Argument& argument : of.arguments.items) {
    if (line.size() >= 1024) break;
    line.append(" ").append(argument.value);
  }
  if (line.size() > 1024) line.resize(1024);
  return line;
}

}  // namespace

Result<EngineVersion> read_version(std::string_view body) {
  JsonReader json(body);
  EngineVersion version;
  json.object([&](std::string_view key) {
    if (key == "ApiVersion") version.newest = json.text(16);
    else if (key == "MinAPIVersion") version.oldest = json.text(16);
    else json.skip();
  });
  if (!json.finished() || version.newest.empty()) return malformed("version");
  return version;
}

Result<EngineInfo> read_info(std::string_view body) {
  JsonReader json(body);
  EngineInfo info;
  const auto limit = [&](const char* name) {
    if (!json.boolean()) info.not_enforced.emplace_back(name);
  };
  json.object([&](std::string_view key) {
    if (key == "CgroupDriver") info.cgroup_driver = json.text(32);
    else if (key == "MemoryLimit") limit("docker.container.memory");
    else if (key == "SwapLimit") limit("docker.container.memory (swap)");
    else if (key == "CpuCfsQuota") limit("docker.container.cpus");
    else if (key == "PidsLimit") limit("docker.container.pids");
    else json.skip();
  });
  if (!json.finished() || info.cgroup_driver.empty()) return malformed("info");
  return info;
}

Result<ImageFacts> read_image(std::string_view body) {
  JsonReader json(body);
  ImageFacts image;
  std::string system, architecture, variant;
  json.object([&](std::string_view key) {
    if (key == "Id") image.id = ImageId::parse(json.text(71)).value_or(ImageId());
    else if (key == "Os") system = json.text(16);
    else if (key == "Architecture") architecture = json.text(16);
    else if (key == "Variant") variant = json.text(16);
    else if (key == "Config") read_image_config(json, image);
    else json.skip();
  });
  if (!json.finished() || image.id.empty()) return malformed("an image inspection");
  image.platform = system + "/" + architecture + (variant.empty() ? "" : "/" + variant);
  return image;
}

Result<ContainerId> read_created(std::string_view body) {
  JsonReader json(body);
  ContainerId id;
  json.object([&](std::string_view key) {
    if (key == "Id") id = ContainerId::parse(json.text(64)).value_or(ContainerId());
    else json.skip();
  });
  if (!json.finished() || id.empty()) return malformed("a create");
  return id;
}

Result<WaitOutcome> read_wait(std::string_view body) {
  JsonReader json(body);
  WaitOutcome outcome;
  bool has_status = false;
  json.object([&](std::string_view key) {
    if (key == "StatusCode") outcome.status = json.integer(), has_status = true;
    else if (key == "Error")
      json.object([&](std::string_view inner) {
        if (inner == "Message") outcome.error = json.text(limits::kMaxReasonBytes);
        else json.skip();
      });
    else json.skip();
  });
  if (!json.finished() || !has_status) return malformed("a wait");
  return outcome;
}

Result<Inspected> read_inspect(std::string_view body) {
  JsonReader json(body);
  Inspected inspected;
  // Together they leave room for the rest in one message to the gate, unless the client's labels are large as well:
  // then its inspection is refused.
  std::size_t budget = limits::kMaxMessageBytes - 16 * 1024;
  std::string error;
  json.object([&](std::string_view key) {
    if (key == "Id") inspected.container.id = ContainerId::parse(json.text(64)).value_or(ContainerId());
    else if (key == "Created") inspected.created_at = json.text(64);
    else if (key == "Path") inspected.path = json.text(256);
    else if (key == "Args") read_texts(json, inspected.arguments, budget);
    else if (key == "State") read_state(json, inspected, error);
    else if (key == "Image") inspected.container.image_id = json.text(80);
    else if (key == "HostConfig") read_host_config(json, inspected);
    else if (key == "Config") read_config(json, inspected, budget);
    else json.skip();
  });
  if (!json.finished() || inspected.container.id.empty()) return malformed("an inspection");
  inspected.container.command = command_line(inspected);
  inspected.state_error =
      explain_state_error(error, {.program = inspected.path.value, .directory = inspected.working_directory.value});
  return inspected;
}

Result<std::vector<ListedContainer>> read_list(std::string_view body) {
  JsonReader json(body);
  std::vector<ListedContainer> list;
  bool whole = true, too_many = false;
  json.array([&] {
    ListedContainer entry;
    read_listed(json, entry);
    if (entry.id.empty()) whole = false;
    else if (list.size() >= limits::kMaxListedContainers) too_many = true;
    else list.push_back(std::move(entry));
  });
  if (!json.finished() || !whole) return malformed("a list of containers");
  if (too_many) return fail_errno("read dockerd's list of containers: it is too long", EMSGSIZE);
  return list;
}

std::string read_error_message(std::string_view body) {
  JsonReader json(body);
  std::string message;
  json.object([&](std::string_view key) {
    if (key == "message") message = json.text(limits::kMaxErrorBytes);
    else json.skip();
  });
  if (json.failed()) return {};
  return message;
}

}  // namespace sallyport::engine
