#include "broker/gate/field_takers.hpp"

#include <algorithm>
#include <array>

#include "broker/api/names.hpp"
#include "broker/gate/wish_values.hpp"

namespace sallyport::gate {

namespace {

using protocol::CreateContainer;
using protocol::Wishes;
using Kind = JsonValue::Kind;

std::unexpected<Refusal> beyond(const Taking& field, std::string_view what, std::size_t most,
                                std::string_view unit = "") {
  return refuse(
      400, field.path,
      std::string(field.path) + " " + std::string(what) + " (" + std::to_string(most) + std::string(unit) + ")");
}

// --- values of one kind; null is the zero of every kind ---

Outcome<bool> boolean(const Taking& field) {
  if (field.value.is(Kind::Null)) return false;
  if (!field.value.is(Kind::Boolean)) return wrong(field, "true or false");
  return field.value.boolean;
}
Outcome<std::int64_t> integer(const Taking& field, std::int64_t least) {
  if (field.value.is(Kind::Null)) return 0;
  if (!field.value.is(Kind::Integer)) return wrong(field, "a number");
  if (field.value.integer < least) return not_allowed(field);
  return field.value.integer;
}
Outcome<std::string> text(const Taking& field, std::size_t ceiling) {
  if (field.value.is(Kind::Null)) return std::string();
  if (!field.value.is(Kind::String)) return wrong(field, "a text");
  if (field.value.text.size() > ceiling) return beyond(field, "is longer than is served", ceiling, " bytes");
  return field.value.text;
}
// dockerd takes a single text for a list of one.
template <std::size_t Max>
Outcome<std::optional<List<protocol::Argument, Max>>> arguments(const Taking& field) {
  std::optional<List<protocol::Argument, Max>> list;
  if (field.value.is(Kind::Null)) return list;
  list.emplace();
  if (field.value.is(Kind::String)) {
    list->items.emplace_back(field.value.text);
  } else if (field.value.is(Kind::Array)) {
    if (field.value.items.size() > Max) return beyond(field, "has more entries than are served", Max);
    for (const JsonValue& item : field.value.items) {
      if (!item.is(Kind::String) && !item.is(Kind::Null)) return wrong(field, "a list of texts");
      list->items.emplace_back(item.text);
    }
  } else {
    return wrong(field, "a list of texts");
  }
  for (const auto& item : list->items)
    if (item.value.size() > limits::kMaxArgumentBytes)
      return beyond(field, "has an entry that is longer than is served", limits::kMaxArgumentBytes, " bytes");
  return list;
}

// --- Allow, Clamp, Rewrite: into the typed request ---

Outcome<> take_hostname(Draft& draft, const Taking& field) {
  std::string name = TRY(text(field, limits::kMaxHostnameBytes));
  if (!name.empty() && !api::is_hostname(name)) return not_allowed(field);
  draft.request.hostname = std::move(name);
  return {};
}
Outcome<> take_environment(Draft& draft, const Taking& field) {
  auto list = TRY(arguments<limits::kMaxEnvironmentEntries>(field));
  if (!list) return {};
  for (const auto& entry : list->items) {
    if (!api::is_environment_entry(entry.value))
      return refuse(400, field.path, "Env " + quoted(entry.value) + " is neither KEY=VALUE nor KEY");
    if (api::steers_runtime(entry.value))
      return refuse(403, field.path,
                    "Env " + quoted(entry.value) + " is not allowed: " + std::string(field.row.reason));
  }
  draft.request.environment = std::move(*list);
  return {};
}
Outcome<> take_command(Draft& draft, const Taking& field) {
  draft.request.command = TRY(arguments<limits::kMaxArguments>(field));
  return {};
}
Outcome<> take_entrypoint(Draft& draft, const Taking& field) {
  draft.request.entrypoint = TRY(arguments<limits::kMaxArguments>(field));
  return {};
}
Outcome<> take_image(Draft& draft, const Taking& field) {
  const std::string name = TRY(text(field, limits::kMaxCreateBodyBytes));
  auto image = api::normal_image(name);
  if (!image) return refuse(400, field.path, "Image " + quoted(name) + " is not allowed: " + image.error().doing);
  draft.request.image = std::move(*image);
  if (auto written = ImageRef::parse(name)) draft.request.image_as_written = std::move(*written);
  return {};
}
Outcome<> take_working_directory(Draft& draft, const Taking& field) {
  std::string path = TRY(text(field, limits::kMaxPathBytes));
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!path.empty() && !api::is_allowed_directory(path)) return not_allowed(field);
  draft.request.working_directory = std::move(path);
  return {};
}
Outcome<> take_labels(Draft& draft, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  if (!field.value.is(Kind::Object)) return wrong(field, "an object of texts");
  if (field.value.members.size() > limits::kMaxLabels)
    return beyond(field, "has more entries than are served", limits::kMaxLabels);
  for (const JsonMember& member : field.value.members) {
    if (!member.value.is(Kind::String)) return wrong(field, "an object of texts");
    if (member.key.empty()) return refuse(400, field.path, "Labels has an entry without a key");
    if (member.key.size() > limits::kMaxLabelKeyBytes)
      return beyond(field, "has a key that is longer than is served", limits::kMaxLabelKeyBytes, " bytes");
    if (member.value.text.size() > limits::kMaxLabelBytes)
      return refuse(400, field.path,
                    "Labels " + quoted(member.key) + " is longer than is served (" +
                        std::to_string(limits::kMaxLabelBytes) + " bytes)");
    if (same_folded(std::string_view(member.key).substr(0, 10), "sallyport."))
      return refuse(
          403, field.path,
          "Labels " + quoted(member.key) + " is not allowed: labels that begin with sallyport. are the broker's");
    draft.request.labels.items.push_back({member.key, member.value.text});
  }
  return {};
}
Outcome<> take_stop_signal(Draft& draft, const Taking& field) {
  const std::string name = TRY(text(field, limits::kMaxChoiceBytes));
  if (name.empty()) return {};
  const auto number = api::signal_of(name);
  if (!number) return wrong(field, "a signal");
  draft.request.stop_signal = *number;
  return {};
}
Outcome<> take_stop_timeout(Draft& draft, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  const std::int64_t seconds = TRY(integer(field, -1));
  const bool for_ever = seconds < 0 || seconds > limits::kMaxStopSeconds;
  draft.request.stop_timeout = for_ever ? limits::kMaxStopSeconds : static_cast<std::uint32_t>(seconds);
  if (for_ever) draft.request.wishes.stop_timeout = seconds;
  return {};
}
Outcome<> take_pids(Draft& draft, const Taking& field) {
  const std::int64_t pids = TRY(integer(field, INT64_MIN));
  draft.request.pids = std::max<std::int64_t>(0, pids);
  draft.request.wishes.unlimited_pids = pids < 0;
  return {};
}
Outcome<> take_cpu_period(Draft& draft, const Taking& field) {
  draft.cpu_period = TRY(integer(field, 0));
  if (draft.cpu_period != 0 && (draft.cpu_period < 1000 || draft.cpu_period > 1'000'000))
    return wrong(field, "between 1000 and 1000000");
  draft.request.wishes.cpu_period = draft.cpu_period;
  return {};
}
Outcome<> take_cpu_quota(Draft& draft, const Taking& field) {
  const std::int64_t quota = TRY(integer(field, -1));
  draft.cpu_quota = std::max<std::int64_t>(0, quota);
  draft.request.wishes.cpu_quota = quota;
  if (draft.cpu_quota > 1'000'000'000) return wrong(field, "at most 1000000000");
  return {};
}
template <bool CreateContainer::* Member>
Outcome<> take_flag(Draft& draft, const Taking& field) {
  draft.request.*Member = TRY(boolean(field));
  return {};
}
template <std::int64_t CreateContainer::* Member>
Outcome<> take_amount(Draft& draft, const Taking& field) {
  draft.request.*Member = TRY(integer(field, 0));
  return {};
}

// At HostConfig and, as docker-py writes it, at the top.
Outcome<> take_runtime(Draft& draft, const Taking& field) {
  std::string runtime = TRY(text(field, limits::kMaxChoiceBytes));
  if (!detail::all(runtime, [](char c) { return detail::is_printable_ascii(c) && c != ' '; }))
    return wrong(field, "the name of a runtime");
  std::string& taken = draft.request.runtime.value;
  if (!runtime.empty() && !taken.empty() && runtime != taken)
    return wrong(field, "the runtime that is named elsewhere");
  if (!runtime.empty()) taken = std::move(runtime);
  return {};
}

// --- Force: well-formed, or refused; the value itself is at most a wish, of which the client hears that it does not
// hold ---

Outcome<> force_text(Draft&, const Taking& field) {
  (void)TRY(text(field, limits::kMaxPathBytes));
  return {};
}
Outcome<> force_user(Draft& draft, const Taking& field) {
  std::string user = TRY(text(field, limits::kMaxUserBytes));
  const auto ordinary = [](char c) {
    return detail::is_alnum(c) || c == '_' || c == '.' || c == '-' || c == ':' || c == '$';
  };
  if (!detail::all(user, ordinary)) return wrong(field, "a user or user:group");
  draft.request.wishes.user = std::move(user);
  return {};
}
Outcome<> force_flag(Draft&, const Taking& field) {
  (void)TRY(boolean(field));
  return {};
}
template <std::int64_t Wishes::* Member, std::int64_t Least = 0>
Outcome<> force_amount(Draft& draft, const Taking& field) {
  draft.request.wishes.*Member = TRY(integer(field, Least));
  return {};
}
// The terminal's size changes nothing of a container: a client that has one resizes it after the start.
Outcome<> force_console_size(Draft&, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  if (!field.value.is(Kind::Array) || field.value.items.size() > 2) return wrong(field, "two numbers");
  for (const JsonValue& item : field.value.items)
    if (!item.is(Kind::Integer) || item.integer < 0) return wrong(field, "two numbers");
  return {};
}
Outcome<> force_cap_drop(Draft&, const Taking& field) {
  const auto list = TRY(arguments<128>(field));
  if (!list) return {};
  for (const auto& name : list->items)
    if (!detail::all(name.value, [](char c) { return detail::is_alnum(c) || c == '_'; }))
      return wrong(field, "a list of capabilities");
  return {};
}
Outcome<> force_security_options(Draft&, const Taking& field) {
  const auto list = TRY(arguments<limits::kMaxOptions>(field));
  if (!list) return {};
  for (const auto& option : list->items)
    if (option.value != "no-new-privileges" && option.value != "no-new-privileges:true" &&
        option.value != "no-new-privileges=true")
      return not_allowed(field);
  return {};
}
Outcome<> force_log_config(Draft& draft, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  if (!field.value.is(Kind::Object)) return wrong(field, "an object of texts");
  for (const JsonMember& member : field.value.members) {
    if (member.key != "max-size" && member.key != "max-file") return not_allowed(field);
    if (!member.value.is(Kind::String)) return wrong(field, "an object of texts");
    const auto number = bytes_in(member.value.text);
    if (!number || *number == 0) return wrong(field, "an object of sizes");
    (member.key == "max-size" ? draft.request.wishes.log_bytes : draft.request.wishes.log_files) = *number;
  }
  return {};
}
Outcome<> force_tmpfs(Draft& draft, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  if (!field.value.is(Kind::Object)) return wrong(field, "an object of texts");
  for (const JsonMember& member : field.value.members)
    if (member.key != "/tmp" || !member.value.is(Kind::String) ||
        !take_tmpfs_options(draft.request.wishes, member.value.text))
      return not_allowed(field);
  return {};
}
Outcome<> force_ulimits(Draft& draft, const Taking& field) {
  if (field.value.is(Kind::Null)) return {};
  if (!field.value.is(Kind::Array)) return wrong(field, "a list of limits");
  if (field.value.items.size() > limits::kMaxOptions)
    return beyond(field, "has more entries than are served", limits::kMaxOptions);
  for (const JsonValue& item : field.value.items) {
    if (!item.is(Kind::Object)) return wrong(field, "a list of limits");
    bool is_named = false;
    for (const JsonMember& member : item.members) {
      const bool name = member.key == "Name" && member.value.is(Kind::String) &&
                        (member.value.text == "nofile" || member.value.text == "nproc" || member.value.text == "core");
      const bool amount =
          (member.key == "Soft" || member.key == "Hard") && member.value.is(Kind::Integer) && member.value.integer >= 0;
      if (!name && !amount) return not_allowed(field);
      is_named |= name;
    }
    if (!is_named) return wrong(field, "a list of limits with names");
    take_ulimit(draft.request.wishes, item);
  }
  return {};
}

using Take = Outcome<> (*)(Draft&, const Taking&);
struct Taker {
  std::string_view path;
  Take take;
};
// One for each row that is Allow, Clamp, Rewrite or Force.
constexpr auto kTakers = std::to_array<Taker>({
    {"Hostname", take_hostname},
    {"User", force_user},
    {"AttachStdin", take_flag<&CreateContainer::attach_stdin>},
    {"AttachStdout", take_flag<&CreateContainer::attach_stdout>},
    {"AttachStderr", take_flag<&CreateContainer::attach_stderr>},
    {"Tty", take_flag<&CreateContainer::tty>},
    {"OpenStdin", take_flag<&CreateContainer::open_stdin>},
    {"StdinOnce", take_flag<&CreateContainer::stdin_once>},
    {"Env", take_environment},
    {"Cmd", take_command},
    {"Image", take_image},
    {"WorkingDir", take_working_directory},
    {"Entrypoint", take_entrypoint},
    {"NetworkDisabled", force_flag},
    {"Labels", take_labels},
    {"StopSignal", take_stop_signal},
    {"StopTimeout", take_stop_timeout},
    {"HostConfig.ContainerIDFile", force_text},
    {"HostConfig.LogConfig.Config", force_log_config},
    {"HostConfig.AutoRemove", take_flag<&CreateContainer::auto_remove>},
    {"HostConfig.ConsoleSize", force_console_size},
    {"HostConfig.CapDrop", force_cap_drop},
    {"HostConfig.OomScoreAdj", force_amount<&Wishes::oom_score>},
    {"HostConfig.ReadonlyRootfs", take_flag<&CreateContainer::read_only>},
    {"HostConfig.SecurityOpt", force_security_options},
    {"HostConfig.Tmpfs", force_tmpfs},
    {"HostConfig.ShmSize", take_amount<&CreateContainer::shm_bytes>},
    {"Runtime", take_runtime},
    {"HostConfig.Runtime", take_runtime},
    {"HostConfig.Init", take_flag<&CreateContainer::init>},
    {"HostConfig.CpuShares", force_amount<&Wishes::cpu_shares>},
    {"HostConfig.Memory", take_amount<&CreateContainer::memory>},
    {"HostConfig.NanoCpus", take_amount<&CreateContainer::nano_cpus>},
    {"HostConfig.BlkioWeight", force_amount<&Wishes::blkio_weight>},
    {"HostConfig.CpuPeriod", take_cpu_period},
    {"HostConfig.CpuQuota", take_cpu_quota},
    {"HostConfig.MemoryReservation", force_amount<&Wishes::memory_reservation>},
    {"HostConfig.MemorySwap", force_amount<&Wishes::memory_swap, -1>},
    {"HostConfig.MemorySwappiness", force_amount<&Wishes::memory_swappiness, -1>},
    {"HostConfig.PidsLimit", take_pids},
    {"HostConfig.Ulimits", force_ulimits},
});

constexpr const Taker* find_taker(std::string_view path) {
  for (const Taker& taker : kTakers)
    if (taker.path == path) return &taker;
  return nullptr;
}
static_assert(
    [] {
      for (const api::CreateField& row : api::kCreateFields) {
        const bool taken = row.rule == api::FieldRule::Allow || row.rule == api::FieldRule::Clamp ||
                           row.rule == api::FieldRule::Rewrite || row.rule == api::FieldRule::Force;
        if (taken && api::place_of(row).is_reached_by_key && find_taker(row.path) == nullptr) return false;
        if (!taken && find_taker(row.path) != nullptr) return false;
      }
      return true;
    }(),
    "every field that is carried or forced has a taker, and no other has");

}  // namespace

std::string shown(const JsonValue& value) {
  if (value.is(JsonValue::Kind::String)) return quoted(value.text);
  if (value.is(JsonValue::Kind::Array) && !value.items.empty() && value.items[0].is(JsonValue::Kind::String))
    return quoted(value.items[0].text);
  const std::string text = compact(value);
  return text.size() <= 80 ? text : text.substr(0, 80) + "...";
}
std::unexpected<Refusal> not_allowed(const Taking& field) {
  return refuse(
      403, field.path,
      std::string(field.path) + " " + shown(field.value) + " is not allowed: " + std::string(field.row.reason));
}
std::unexpected<Refusal> wrong(const Taking& field, std::string_view what) {
  return refuse(400, field.path, std::string(field.path) + " " + shown(field.value) + " is not " + std::string(what));
}

Outcome<> take_field(Draft& draft, const Taking& field) {
  for (const Taker& taker : kTakers)
    if (taker.path == field.path) return taker.take(draft, field);
  return not_allowed(field);  // no row of the table comes here
}

}  // namespace sallyport::gate
