#include "broker/engine/explain.hpp"

#include <array>
#include <cerrno>

namespace sallyport::engine {

using protocol::Failed;

namespace {

struct StartFault {
  std::string_view sign;   // in dockerd's text
  std::string_view words;  // ours; the docker CLI makes exit codes 127 and 126 of "not found" and "permission denied"
};
constexpr std::array kStartFaults = {
    StartFault{"executable file not found", "the command was not found: executable file not found in $PATH"},
    StartFault{"no such file or directory", "the command could not be run: no such file or directory"},
    StartFault{"permission denied", "the command could not be run: permission denied"},
    StartFault{"is a directory", "the command could not be run: is a directory: permission denied"},
    StartFault{"exec format error", "the command could not be run: exec format error"},
    StartFault{"not a directory", "the command could not be run: not a directory"},
    StartFault{"argument list too long", "the command could not be run: argument list too long"},
    StartFault{"cannot allocate memory", "the container could not be started: out of memory"},
    StartFault{"docker-init", "the container could not be started: this host has no docker-init"},
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

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
  if (contains(text, "paused")) return {409, "Container " + container + " is paused"};
  if (operation == Operation::Remove)
    return {409, "You cannot remove a running container " + container +
                     ". Stop the container before attempting removal or force remove"};
  if (contains(text, "marked for removal")) return {409, "Container " + container + " is marked for removal"};
  return {409, "sallyport: container " + container + " is in a state that does not allow this"};
}

}  // namespace

std::string explain_state_error(std::string_view text) {
  if (text.empty()) return {};
  for (const StartFault& fault : kStartFaults)
    if (contains(text, fault.sign)) return std::string(fault.words);
  return "the container could not be started; the broker's log says more";
}

Failed no_such_container(std::string_view container) {
  return {404, std::string("No such container: ").append(container)};
}

Failed explain(Operation operation, unsigned status, std::string_view text, std::string_view container) {
  const std::string name(container);
  if (status == 404 && operation == Operation::Create) return {404, "No such image: " + name};
  if (status == 404) return no_such_container(name);
  if (operation == Operation::Start && status != 409) {
    const unsigned shown = status == 400 ? 400 : 500;
    return {static_cast<std::uint16_t>(shown), "sallyport: " + explain_state_error(text.empty() ? "?" : text)};
  }
  if (status == 409) return conflict(operation, text, name);
  if (status == 400 && operation == Operation::Create)
    return {400, "sallyport: dockerd refused these settings of the container"};
  if (operation == Operation::Kill && contains(text, "not running")) return conflict(operation, text, name);
  if (status == 501 || contains(text, "logging driver")) return {501, "sallyport: this container keeps no logs"};
  return {500, "sallyport: dockerd could not do this with container " + name};
}

Failed explain_transport(int code) {
  switch (code) {
    case ETIMEDOUT: return {504, "sallyport: dockerd did not answer in time"};
    case EMSGSIZE: return {502, "sallyport: dockerd's answer is larger than this broker reads"};
    case EPROTO: return {502, "sallyport: dockerd's answer could not be read"};
    case ECANCELED: return {503, "sallyport: the session is ending"};
    default: return {503, "sallyport: dockerd cannot be reached at the moment; try again"};
  }
}

}  // namespace sallyport::engine
