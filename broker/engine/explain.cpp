#include "broker/engine/explain.hpp"

#include <array>
#include <cerrno>
#include <span>

namespace sallyport::engine {

using protocol::Failed;

namespace {

// `sign` stands in dockerd's text. In our words '%' is the program, where the text is about it, and '~' the working
// directory, both as the session asked for them. The docker CLI makes exit codes 127 and 126 of "not found" and
// "permission denied".
struct Cause {
  std::string_view sign;
  std::string_view words;
};
// The first that fits: what is special stands before what is general.
constexpr auto kStartCauses = std::to_array<Cause>({
    {"no space left on device", "the disk that dockerd uses is full: no space left on device"},
    {"OOM-killed", "the container ran out of memory before its command began"},
    {"cannot allocate memory", "the container could not be started: out of memory"},
    {"setting rlimit type 4", "the container could not be started: dockerd may not limit its core files (LimitCORE=1)"},
    {"resource temporarily unavailable", "the container could not be started: too many processes"},
    {"executable file not found", "the command% was not found: executable file not found in $PATH"},
    {"exec format error", "the command% could not be run: exec format error"},
    {"argument list too long", "the command% could not be run: argument list too long"},
    {"is a directory", "the command% could not be run: is a directory: permission denied"},
    {"chdir to cwd", "the working directory ~ cannot be entered by the session's user: permission denied"},
    {"container init: mkdir ", "the working directory ~ is not a directory, and cannot be made one"},
    {"error mounting", "a volume that the image declares could not be mounted: something else is in its place"},
    {"docker-init", "the container could not be started: this host has no docker-init"},
    {"nknown runtime", "dockerd does not know this profile's runtime: ask whoever runs this host"},
    {"unknown or invalid runtime", "dockerd does not know this profile's runtime: ask whoever runs this host"},
    {"unable to retrieve OCI runtime", "this profile's runtime cannot be started: ask whoever runs this host"},
    {"no such file or directory", "the command% could not be run: no such file or directory"},
    {"permission denied", "the command% could not be run: permission denied"},
    {"not a directory", "the command% could not be run: not a directory"},
});
constexpr auto kCreateCauses = std::to_array<Cause>({
    {"o command specified", "No command specified: neither the request nor the image names one"},
    {"nknown runtime", "dockerd does not know this profile's runtime: ask whoever runs this host"},
    {"unknown or invalid runtime", "dockerd does not know this profile's runtime: ask whoever runs this host"},
    {"no space left on device", "the disk that dockerd uses is full: no space left on device"},
    {"cannot allocate memory", "the host is out of memory"},
    {"file name too long", "the working directory ~ is too long: no part of it may have more than 255 bytes"},
    {"not a directory", "the working directory ~ is not a directory: a file is in its place"},
    {"too many levels of symbolic links", "the working directory ~ leads through too many symbolic links"},
});

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The program is named only where dockerd's text names the very same: else it speaks of another, such as the runtime.
std::string named_program(std::string_view text, const Subject& subject) {
  const std::string quoted = shown(subject.program);
  return contains(text, "exec: " + quoted + ": ") ? " " + quoted : "";
}

std::string words_for(std::span<const Cause> causes, std::string_view text, const Subject& subject) {
  for (const Cause& cause : causes) {
    if (!contains(text, cause.sign)) continue;
    std::string words;
    for (const char c : cause.words) {
      if (c == '%') words += named_program(text, subject);
      else if (c == '~') words += shown(subject.directory);
      else words += c;
    }
    return words;
  }
  return {};
}

Failed failed(unsigned status, const std::string& words) {
  return {static_cast<std::uint16_t>(status), "sallyport: " + words, 0};
}
Failed unexplained(unsigned status, const std::string& words) {
  return failed(status, words + "; " + std::string(kLogSaysMore));
}

Failed conflict(Operation operation, std::string_view text, const std::string& container) {
  if (operation == Operation::Create)
    return {
        409,
        "Conflict. The container name is already in use: a container of that name is still being removed; try again"};
  if (contains(text, "is not running")) {
    if (operation == Operation::Kill)
      return {409, "Cannot kill container: " + container + ": Container " + container + " is not running"};
    return {409, "Container " + container + " is not running"};
  }
  if (contains(text, "already in progress"))
    return {409, "removal of container " + container + " is already in progress"};
  if (contains(text, "paused") && operation == Operation::Start)
    return {409, "Container " + container + " is paused: it is started already"};
  if (contains(text, "paused")) return {409, "Container " + container + " is paused"};
  if (contains(text, "marked for removal")) return {409, "Container " + container + " is marked for removal"};
  if (contains(text, "is restarting")) return {409, "Container " + container + " is restarting, wait until it runs"};
  if (operation == Operation::Remove)
    return {409, "You cannot remove a running container " + container +
                     ". Stop the container before attempting removal or force remove"};
  return unexplained(409, "container " + container + " is in a state that does not allow this");
}

Failed explain_create(unsigned status, std::string_view text, const Subject& subject) {
  const std::string image(subject.container);
  if (status == 404) return {404, "No such image: " + image};
  const unsigned shown_status = status == 400 ? 400 : 500;
  if (const std::string words = words_for(kCreateCauses, text, subject); !words.empty())
    return failed(shown_status, words);
  if (status == 400) return unexplained(400, "dockerd refused these settings of the container");
  return unexplained(500, "dockerd could not make a container of image " + image);
}

Failed explain_start(unsigned status, std::string_view text, const Subject& subject) {
  const unsigned shown_status = status == 400 ? 400 : 500;
  if (const std::string words = words_for(kStartCauses, text, subject); !words.empty())
    return failed(shown_status, words);
  return unexplained(shown_status, "the container could not be started");
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kMost = 80;
  std::string out = "\"";
  for (const char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (detail::is_printable_ascii(c)) out += c;
    else out.append("\\x").append(1, kHex[byte >> 4U]).append(1, kHex[byte & 15U]);
  }
  return out + (text.size() > kMost ? "\"..." : "\"");
}

bool is_unexplained(const Failed& failed) { return failed.message.value.ends_with(kLogSaysMore); }

std::string explain_state_error(std::string_view text, const Subject& subject) {
  if (text.empty()) return {};
  const std::string words = words_for(kStartCauses, text, subject);
  return words.empty() ? "the container could not be started" : words;
}

Failed no_such_container(std::string_view container) {
  return {404, std::string("No such container: ").append(container)};
}

Failed explain(Operation operation, unsigned status, std::string_view text, const Subject& subject) {
  const std::string name(subject.container);
  if (operation == Operation::Create && status != 409) return explain_create(status, text, subject);
  if (status == 404) return no_such_container(name);
  if (operation == Operation::Start && status != 409) return explain_start(status, text, subject);
  if (status == 409) return conflict(operation, text, name);
  if (operation == Operation::Kill && contains(text, "not running")) return conflict(operation, text, name);
  if (status == 501 || contains(text, "logging driver")) return {501, "sallyport: this container keeps no logs"};
  if (contains(text, "no space left on device")) return failed(500, "the disk that dockerd uses is full");
  return unexplained(500, "dockerd could not do this with container " + name);
}

Failed explain_transport(int code) {
  switch (code) {
    case 0: return {503, "sallyport: this dockerd cannot be used; the broker's log says why"};
    case ETIMEDOUT: return {504, "sallyport: dockerd did not answer in time"};
    case EMSGSIZE: return {502, "sallyport: dockerd's answer is larger than this broker reads"};
    case EPROTO: return {502, "sallyport: dockerd's answer could not be read"};
    case ECANCELED: return {503, "sallyport: the session is ending"};
    default: return {503, "sallyport: dockerd cannot be reached at the moment; try again"};
  }
}

}  // namespace sallyport::engine
