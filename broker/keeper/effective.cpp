#include "broker/keeper/effective.hpp"

#include <algorithm>

#include "broker/api/names.hpp"
#include "broker/engine/explain.hpp"
#include "broker/engine/json_writer.hpp"
#include "broker/keeper/refuse.hpp"

namespace sallyport::keeper {

using engine::ImageFacts;
using protocol::CreateContainer;

namespace {

std::string_view key_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

// Without the one slash that it may end in.
std::string_view without_slash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

template <class Texts>
std::vector<std::string_view> views_of(const Texts& texts) {
  std::vector<std::string_view> views;
  for (const auto& text : texts) {
    if constexpr (std::is_same_v<std::decay_t<decltype(text)>, std::string>) views.emplace_back(text);
    else views.emplace_back(text.value);
  }
  return views;
}

// An entrypoint of the client's leaves the image's command behind; [""] takes the image's entrypoint away.
void merge_arguments(Effective& into, const CreateContainer& ask, const ImageFacts& image) {
  if (ask.command) into.command = views_of(ask.command->items);
  if (ask.entrypoint) into.entrypoint = views_of(ask.entrypoint->items);
  if (into.entrypoint.empty()) {
    if (into.command.empty()) into.command = views_of(image.command);
    if (!ask.entrypoint) into.entrypoint = views_of(image.entrypoint);
  }
  if (into.entrypoint.size() == 1 && into.entrypoint[0].empty()) into.entrypoint.clear();
}

void merge_environment(Effective& into, const CreateContainer& ask, const ImageFacts& image) {
  into.environment = views_of(ask.environment.items);
  for (const std::string& entry : image.environment) {
    const bool replaced = std::ranges::any_of(ask.environment.items,
                                              [&](const auto& asked) { return key_of(asked.value) == key_of(entry); });
    if (replaced) continue;
    if (!api::steers_runtime(entry)) into.environment.emplace_back(entry);
    else if (std::ranges::find(into.withheld, key_of(entry)) == into.withheld.end())
      into.withheld.push_back(key_of(entry));
  }
}

bool all_plain(const std::vector<std::string_view>& texts) { return std::ranges::all_of(texts, engine::is_plain_text); }

std::size_t bytes_of(const std::vector<std::string_view>& texts) {
  std::size_t sum = 0;
  for (const std::string_view text : texts) sum += text.size() + 8;
  return sum;
}

// --- the rules ---

struct Case {
  const CreateContainer& ask;
  const ImageFacts& image;
  const Effective& effective;
  std::string image_name() const { return "image " + api::familiar_image(ask.image.text()); }
};

Verdict decide_platform(const Case& of) {
  const std::string& asked = of.ask.platform.value;
  const std::string& held = of.image.platform;
  if (asked.empty() || api::is_platform(asked, held)) return {};
  return refuse(403, "platform",
                "platform " + engine::shown(asked) + " is not allowed: " + of.image_name() + " is of " +
                    engine::shown(held) + " here, and no other is fetched");
}

Verdict decide_arguments(const Case& of) {
  const Effective& effective = of.effective;
  if (effective.entrypoint.empty() && effective.command.empty())
    return refuse(400, "Cmd", "No command specified: neither the request nor " + of.image_name() + " names one");
  if (!all_plain(effective.command)) return refuse(400, "Cmd", "Cmd holds a NUL or bytes that are not UTF-8");
  if (!all_plain(effective.entrypoint))
    return refuse(400, "Entrypoint", "Entrypoint holds a NUL or bytes that are not UTF-8");
  return {};
}

// A container has to fit into one inspection: arguments stand there twice.
Verdict decide_size(const Case& of) {
  const Effective& effective = of.effective;
  std::size_t size = bytes_of(effective.environment) + bytes_of(effective.withheld) + of.image.other_bytes;
  size += 2 * (bytes_of(effective.command) + bytes_of(effective.entrypoint));
  for (const auto& label : of.ask.labels.items) size += label.key.value.size() + label.value.value.size() + 8;
  if (!of.image.is_cut && size <= limits::kMaxDescriptionBytes) return {};
  return refuse(413, "Cmd",
                "arguments, environment and labels of this container, those of " + of.image_name() +
                    " among them, are too large together");
}

Verdict decide_environment(const Case& of) {
  const Effective& effective = of.effective;
  if (!all_plain(effective.environment) || !all_plain(effective.withheld))
    return refuse(400, "Env", "an entry of Env holds a NUL or bytes that are not UTF-8");
  for (const std::string_view entry : effective.environment)
    if (api::steers_runtime(entry))
      return refuse(403, "Env",
                    "Env " + std::string(key_of(entry).substr(0, 64)) +
                        " is not allowed: it steers container runtimes on the host");
  return {};
}

// runc before 1.1.12 opens the working directory with descriptors of the host still at hand (CVE-2024-21626). As
// written: what a link in the image leads to is seen by runc alone.
Verdict decide_directory(const Case& of) {
  const std::string_view directory = of.effective.working_directory;
  if (directory.empty() || (api::is_allowed_directory(directory) && engine::is_plain_text(directory))) return {};
  constexpr const char* kRule = " must be an absolute path without . and .. in it, and not beneath /proc, /sys or /dev";
  if (!of.ask.working_directory.value.empty()) return refuse(403, "WorkingDir", std::string("WorkingDir") + kRule);
  return refuse(403, "Image.WorkingDir",
                "the WorkingDir " + engine::shown(directory) + " of " + of.image_name() + kRule + ": name another");
}

// An unknown one is SIGTERM to dockerd, and any is followed by SIGKILL: only its form is checked, for it is shown
// again.
Verdict decide_stop_signal(const Case& of) {
  const std::string_view signal = of.effective.stop_signal;
  const auto ordinary = [](char c) { return detail::is_alnum(c) || c == '+' || c == '-'; };
  if (signal.size() <= 32 && detail::all(signal, ordinary)) return {};
  return refuse(403, "Image.StopSignal",
                "the StopSignal " + engine::shown(signal) + " of " + of.image_name() + " is none: name another");
}

Verdict decide_volumes(const Case& of) {
  if (of.image.volumes.size() > limits::kMaxImageVolumes)
    return refuse(403, "Image.Volumes",
                  of.image_name() + " declares more than " + std::to_string(limits::kMaxImageVolumes) + " volumes");
  for (const std::string_view path : of.effective.volumes) {
    if (path == "/" || !api::is_allowed_directory(path) || !engine::is_plain_text(path))
      return refuse(403, "Image.Volumes",
                    of.image_name() + " declares a volume at a path that cannot be covered by a tmpfs");
  }
  return {};
}

}  // namespace

std::string_view Effective::program() const {
  if (!entrypoint.empty()) return entrypoint.front();
  return command.empty() ? std::string_view() : command.front();
}

Effective merge(const CreateContainer& ask, const ImageFacts& image) {
  Effective effective;
  merge_arguments(effective, ask, image);
  merge_environment(effective, ask, image);
  effective.working_directory =
      ask.working_directory.value.empty() ? without_slash(image.working_directory) : ask.working_directory.value;
  if (ask.stop_signal == 0) effective.stop_signal = image.stop_signal;
  for (const std::string& declared : image.volumes) effective.volumes.push_back(without_slash(declared));
  std::ranges::sort(effective.volumes);
  const auto repeated = std::ranges::unique(effective.volumes);
  effective.volumes.erase(repeated.begin(), repeated.end());
  return effective;
}

std::size_t described_bytes(const Effective& effective, const ImageFacts& image) {
  std::size_t sum = image.other_described;
  for (const auto* texts : {&effective.entrypoint, &effective.command, &effective.environment, &effective.withheld})
    for (const std::string_view text : *texts) sum += engine::described_size(text);
  return sum;
}

Verdict decide_effective(const CreateContainer& ask, const ImageFacts& image) {
  const Effective effective = merge(ask, image);
  const Case of{ask, image, effective};
  for (const auto check : {decide_platform, decide_arguments, decide_size, decide_environment, decide_directory,
                           decide_stop_signal, decide_volumes})
    if (Verdict refusal = check(of)) return refusal;
  return {};
}

}  // namespace sallyport::keeper
