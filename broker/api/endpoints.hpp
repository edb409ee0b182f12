// BOTH SIDES. THE table of Docker's endpoints: what each is, which group of a profile grants it, and why it is refused
// where it is. Router (gate), audit (keeper), tests and the fuzz dictionary derive from it. What has no row is refused.
// A weight is what a request costs dockerd and keeper in processor time, in small inspects of 0.28 ms
// (tests/bench/weights.py), less where another budget bounds it too: creates, and through them removals.
// A placeholder {x} stands for one path segment, {x...} for one or more. The first row that matches counts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/profile/profile.hpp"

namespace sallyport::api {

enum class Method : std::uint8_t { Get, Head, Post, Put, Delete, Options, kCount };
inline constexpr std::array<std::string_view, 6> kMethodNames = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
constexpr std::string_view name_of(Method method) { return kMethodNames[static_cast<std::size_t>(method)]; }
constexpr std::optional<Method> method_of(std::string_view name) {  // exact case, RFC 9110 section 9.1
  for (std::size_t i = 0; i < kMethodNames.size(); ++i)
    if (kMethodNames[i] == name) return static_cast<Method>(i);
  return {};
}

enum class Verb : std::uint8_t {
  None,  // no typed request: the row only says why it is refused
  Ping, Version, Info,  // answered by the gate alone
  Create, Start, Wait, Attach, Logs, Kill, Stop, Resize, Inspect, List, Remove,
  kCount
};

enum class EndpointRule : std::uint8_t {
  Serve,
  Deny,      // 403 with the reason
  NotFound,  // 404 in Docker's shape: clients ask for these in passing and go on when there is nothing
};

struct Endpoint {
  Verb verb;
  Method method;
  std::string_view path;
  std::optional<ApiGroup> group;  // the group of a profile that grants it; none: every session may
  EndpointRule rule;
  std::string_view reason;
  std::uint32_t weight = 0;  // in the budget of requests; none: the keeper is not asked
};
inline constexpr std::optional<ApiGroup> kAlways = std::nullopt;

// Served rows first: the router looks from the top.
inline constexpr auto kEndpoints = std::to_array<Endpoint>({
    Endpoint{Verb::Ping, Method::Get, "/_ping", kAlways, EndpointRule::Serve,
             "answered here: Api-Version and nothing of the host"},
    Endpoint{Verb::Ping, Method::Head, "/_ping", kAlways, EndpointRule::Serve,
             "answered here: Api-Version and nothing of the host"},
    Endpoint{Verb::Version, Method::Get, "/version", kAlways, EndpointRule::Serve,
             "answered here: a minimal document, no fact of the host"},
    Endpoint{Verb::Info, Method::Get, "/info", kAlways, EndpointRule::Serve,
             "answered here: a minimal document, no fact of the host"},
    Endpoint{Verb::List, Method::Get, "/containers/json", ApiGroup::Observe, EndpointRule::Serve,
             "own containers; filters are evaluated here", 3},
    Endpoint{Verb::Create, Method::Post, "/containers/create", ApiGroup::Run, EndpointRule::Serve,
             "the body is decoded by kCreateFields and built anew; what has no row does not pass", 5},
    Endpoint{Verb::Inspect, Method::Get, "/containers/{name}/json", ApiGroup::Observe, EndpointRule::Serve,
             "own containers; rebuilt from allow-listed fields, no path or pid of the host", 1},
    Endpoint{Verb::Logs, Method::Get, "/containers/{name}/logs", ApiGroup::Observe, EndpointRule::Serve,
             "own containers", 30},
    Endpoint{Verb::Start, Method::Post, "/containers/{name}/start", ApiGroup::Run, EndpointRule::Serve,
             "own containers; never with a body that means anything", 30},
    Endpoint{Verb::Stop, Method::Post, "/containers/{name}/stop", ApiGroup::Stop, EndpointRule::Serve,
             "own containers, a bounded time", 5},
    Endpoint{Verb::Kill, Method::Post, "/containers/{name}/kill", ApiGroup::Stop, EndpointRule::Serve,
             "own containers, standard signals", 10},
    Endpoint{Verb::Wait, Method::Post, "/containers/{name}/wait", ApiGroup::Run, EndpointRule::Serve,
             "own containers", 1},
    Endpoint{Verb::Resize, Method::Post, "/containers/{name}/resize", ApiGroup::Run, EndpointRule::Serve,
             "own containers", 5},
    Endpoint{Verb::Attach, Method::Post, "/containers/{name}/attach", ApiGroup::Run, EndpointRule::Serve,
             "an opaque stream, after dockerd itself has switched protocols", 2},
    Endpoint{Verb::Remove, Method::Delete, "/containers/{name}", ApiGroup::Remove, EndpointRule::Serve,
             "own containers", 5},

    Endpoint{Verb::None, Method::Options, "/{any...}", kAlways, EndpointRule::Deny,
             "OPTIONS is not needed by a client of this API"},
    Endpoint{Verb::None, Method::Get, "/events", kAlways, EndpointRule::Deny,
             "shows the containers of others; use wait"},
    Endpoint{Verb::None, Method::Get, "/system/df", kAlways, EndpointRule::Deny,
             "shows the containers and images of others"},
    Endpoint{Verb::None, Method::Post, "/auth", kAlways, EndpointRule::Deny,
             "makes dockerd connect to a server that the client names"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/top", kAlways, EndpointRule::Deny,
             "ps runs as root on the host with arguments of the client"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/changes", kAlways, EndpointRule::Deny,
             "not part of this API: read files from inside the container"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/export", kAlways, EndpointRule::Deny,
             "not part of this API: whole file systems are not handed out"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/stats", kAlways, EndpointRule::Deny,
             "shows counters of the host"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/attach/ws", kAlways, EndpointRule::Deny,
             "a second attach; use POST /containers/{id}/attach"},
    Endpoint{Verb::None, Method::Head, "/containers/{name}/archive", kAlways, EndpointRule::Deny,
             "copying files is not part of this API: use stdin and stdout"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/archive", kAlways, EndpointRule::Deny,
             "copying files is not part of this API: use stdin and stdout"},
    Endpoint{Verb::None, Method::Put, "/containers/{name}/archive", kAlways, EndpointRule::Deny,
             "copying files is not part of this API: use stdin and stdout"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/copy", kAlways, EndpointRule::Deny,
             "copying files is not part of this API: use stdin and stdout"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/restart", kAlways, EndpointRule::Deny,
             "not part of this API: stop and start"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/pause", kAlways, EndpointRule::Deny,
             "a paused container holds its memory and cannot be stopped in time"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/unpause", kAlways, EndpointRule::Deny,
             "a container is never paused here"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/rename", kAlways, EndpointRule::Deny,
             "names are given at create and kept"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/update", kAlways, EndpointRule::Deny,
             "limits are decided at create and kept"},
    Endpoint{Verb::None, Method::Post, "/containers/prune", kAlways, EndpointRule::Deny,
             "removes containers by search; remove your own by name"},
    Endpoint{Verb::None, Method::Get, "/containers/{name}/checkpoints", kAlways, EndpointRule::Deny,
             "writes and reads directories of the host"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/checkpoints", kAlways, EndpointRule::Deny,
             "writes and reads directories of the host"},
    Endpoint{Verb::None, Method::Delete, "/containers/{name}/checkpoints/{checkpoint}", kAlways, EndpointRule::Deny,
             "deletes directories of the host"},
    Endpoint{Verb::None, Method::Post, "/commit", kAlways, EndpointRule::Deny,
             "makes images that others may run"},
    Endpoint{Verb::None, Method::Post, "/containers/{name}/exec", kAlways, EndpointRule::Deny,
             "a second way to start processes, outside the decision made at create; run another container"},
    Endpoint{Verb::None, Method::Post, "/exec/{name}/start", kAlways, EndpointRule::Deny,
             "a second way to start processes; run another container"},
    Endpoint{Verb::None, Method::Post, "/exec/{name}/resize", kAlways, EndpointRule::Deny,
             "exec is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/exec/{id}/json", kAlways, EndpointRule::Deny,
             "exec is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/images/json", kAlways, EndpointRule::Deny,
             "images are not shown; the profile lists those that may be run"},
    Endpoint{Verb::None, Method::Get, "/images/{name...}/json", kAlways, EndpointRule::NotFound,
             "nothing of this kind is shown to a session; 404, because docker inspect asks for each kind in turn"},
    Endpoint{Verb::None, Method::Get, "/images/{name...}/history", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/images/{name...}/attestations", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/images/search", kAlways, EndpointRule::Deny,
             "makes dockerd connect to a registry"},
    Endpoint{Verb::None, Method::Get, "/images/get", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/images/{name...}/get", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Post, "/images/create", kAlways, EndpointRule::Deny,
             "images cannot be pulled or imported here: use one that the profile allows and the host has"},
    Endpoint{Verb::None, Method::Post, "/images/load", kAlways, EndpointRule::Deny,
             "images cannot be loaded here: use one that the profile allows and the host has"},
    Endpoint{Verb::None, Method::Post, "/images/{name...}/push", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Post, "/images/{name...}/tag", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Post, "/images/prune", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Delete, "/images/{name...}", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/distribution/{name...}/json", kAlways, EndpointRule::Deny,
             "makes dockerd connect to a registry"},
    Endpoint{Verb::None, Method::Post, "/build", kAlways, EndpointRule::Deny,
             "builds run as root with any network; build images elsewhere"},
    Endpoint{Verb::None, Method::Post, "/build/prune", kAlways, EndpointRule::Deny,
             "removes the work of others"},
    Endpoint{Verb::None, Method::Post, "/build/cancel", kAlways, EndpointRule::Deny,
             "ends the work of others"},
    Endpoint{Verb::None, Method::Post, "/session", kAlways, EndpointRule::Deny,
             "opens BuildKit, which is root on this host"},
    Endpoint{Verb::None, Method::Post, "/grpc", kAlways, EndpointRule::Deny,
             "opens BuildKit, which is root on this host"},
    Endpoint{Verb::None, Method::Get, "/volumes", kAlways, EndpointRule::Deny,
             "volumes are directories of the host, shared with others"},
    Endpoint{Verb::None, Method::Get, "/volumes/{name...}", kAlways, EndpointRule::NotFound,
             "nothing of this kind is shown to a session; 404, because docker inspect asks for each kind in turn"},
    Endpoint{Verb::None, Method::Post, "/volumes/create", kAlways, EndpointRule::Deny,
             "volumes are directories of the host, shared with others"},
    Endpoint{Verb::None, Method::Put, "/volumes/{name...}", kAlways, EndpointRule::Deny,
             "volumes are directories of the host, shared with others"},
    Endpoint{Verb::None, Method::Delete, "/volumes/{name...}", kAlways, EndpointRule::Deny,
             "volumes are directories of the host, shared with others"},
    Endpoint{Verb::None, Method::Post, "/volumes/prune", kAlways, EndpointRule::Deny,
             "volumes are directories of the host, shared with others"},
    Endpoint{Verb::None, Method::Get, "/networks", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Get, "/networks/", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Get, "/networks/{id...}", kAlways, EndpointRule::NotFound,
             "nothing of this kind is shown to a session; 404, because docker inspect asks for each kind in turn"},
    Endpoint{Verb::None, Method::Post, "/networks/create", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Post, "/networks/{id...}/connect", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Post, "/networks/{id...}/disconnect", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Delete, "/networks/{id...}", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Post, "/networks/prune", kAlways, EndpointRule::Deny,
             "containers have no network in this API"},
    Endpoint{Verb::None, Method::Post, "/swarm/init", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/swarm/join", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/swarm/leave", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/swarm", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/swarm/unlockkey", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/swarm/update", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/swarm/unlock", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/services", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/services/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/services/create", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/services/{id}/update", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Delete, "/services/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/services/{id}/logs", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/nodes", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/nodes/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Delete, "/nodes/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/nodes/{id}/update", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/tasks", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/tasks/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/tasks/{id}/logs", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/secrets", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/secrets/create", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/secrets/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Delete, "/secrets/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/secrets/{id}/update", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/configs", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/configs/create", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/configs/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Delete, "/configs/{id}", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Post, "/configs/{id}/update", kAlways, EndpointRule::Deny,
             "swarm is not part of this API"},
    Endpoint{Verb::None, Method::Get, "/plugins", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Get, "/plugins/privileges", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Get, "/plugins/{name...}/json", kAlways, EndpointRule::NotFound,
             "nothing of this kind is shown to a session; 404, because docker inspect asks for each kind in turn"},
    Endpoint{Verb::None, Method::Post, "/plugins/pull", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/create", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/{name...}/enable", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/{name...}/disable", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/{name...}/upgrade", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/{name...}/set", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Post, "/plugins/{name...}/push", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Delete, "/plugins/{name...}", kAlways, EndpointRule::Deny,
             "plugins run as root on the host"},
    Endpoint{Verb::None, Method::Get, "/debug/vars", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/cmdline", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/profile", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/symbol", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/trace", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Get, "/debug/pprof/{name}", kAlways, EndpointRule::Deny,
             "shows the inside of dockerd"},
    Endpoint{Verb::None, Method::Post, "/images/{name...}/insert", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/images/viz", kAlways, EndpointRule::Deny,
             "images are not changed or handed out by this API"},
    Endpoint{Verb::None, Method::Get, "/containers/ps", kAlways, EndpointRule::Deny,
             "no endpoint of Docker since API 1.21; use GET /containers/json"},
});

constexpr bool asks_the_keeper(Verb verb) {
  return verb != Verb::None && verb != Verb::Ping && verb != Verb::Version && verb != Verb::Info;
}
static_assert([] {
  for (const Endpoint& row : kEndpoints) {
    if (row.reason.empty() || row.path.empty() || row.path[0] != '/') return false;
    if ((row.verb == Verb::None) == (row.rule == EndpointRule::Serve)) return false;
    if ((row.weight > 0) != asks_the_keeper(row.verb)) return false;
    for (const Endpoint& other : kEndpoints)
      if (&row != &other && row.method == other.method && row.path == other.path) return false;
  }
  return true;
}(), "every endpoint has a path, a reason and a route of its own, is served exactly if it has a verb, and weighs something if "
   "it goes to the keeper");

// Endpoints at which dockerd takes the connection away from HTTP.
constexpr bool begins_stream(const Endpoint& row) {
  for (const std::string_view path :
       {"/containers/{name}/attach", "/containers/{name}/attach/ws", "/exec/{name}/start", "/session", "/grpc"})
    if (row.path == path) return true;
  return false;
}
static_assert([] {
  int streams = 0;
  for (const Endpoint& row : kEndpoints) streams += begins_stream(row);
  return streams == 5;
}(), "each path that begins a stream is a row's");

// The row of a verb: for the audit trail, and for what a verb needs. Verb::Ping gives its GET.
constexpr const Endpoint& row_of(Verb verb) {
  for (const Endpoint& row : kEndpoints)
    if (row.verb == verb) return row;
  return kEndpoints[0];
}
static_assert([] {
  for (std::uint8_t verb = 1; verb < static_cast<std::uint8_t>(Verb::kCount); ++verb)
    if (row_of(static_cast<Verb>(verb)).verb != static_cast<Verb>(verb)) return false;
  return true;
}(), "every verb has a row");

}  // namespace sallyport::api
