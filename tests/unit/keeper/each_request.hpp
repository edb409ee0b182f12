// One of each kind of request that is answered, that would be granted. What is added to the protocol needs a line here.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "broker/protocol/permits.hpp"
#include "broker/protocol/verbs.hpp"
#include "keeper_under_test.hpp"

namespace sallyport::testing_support {

inline constexpr std::size_t kAnsweredKinds = 11;

template <class T>
protocol::Request one_of(const KeeperUnderTest&, const char* container) {
  T request;
  request.container = *ContainerName::parse(container);
  if constexpr (std::is_same_v<T, protocol::KillContainer>) request.signal = 9;
  return request;
}
template <>
inline protocol::Request one_of<protocol::CreateContainer>(const KeeperUnderTest& keeper, const char*) {
  return keeper.create_request();
}
template <>
inline protocol::Request one_of<protocol::ListContainers>(const KeeperUnderTest&, const char*) {
  return protocol::ListContainers{true};
}

// About a container of that name. A remove is the last of them.
template <std::size_t kKind = 0>
void for_each_answered(const KeeperUnderTest& keeper, const std::function<void(const protocol::Request&)>& then,
                       const char* container = "db") {
  if constexpr (kKind < std::variant_size_v<protocol::Request>) {
    using Kind = std::variant_alternative_t<kKind, protocol::Request>;
    if constexpr (protocol::kPermits[kKind].answer == protocol::Answer::Expected) then(one_of<Kind>(keeper, container));
    for_each_answered<kKind + 1>(keeper, then, container);
  }
}

// Whether what dockerd was asked is what such a request is for, and not what is looked at before.
inline bool is_for(api::Verb verb, std::string_view asked) {
  const auto line = asked.substr(0, asked.find(" HTTP/1.1"));
  switch (verb) {
    case api::Verb::Create: return line.starts_with("POST ") && line.contains("/containers/create?");
    case api::Verb::Start: return line.ends_with("/start");
    case api::Verb::Wait: return line.contains("/wait?");
    case api::Verb::Attach: return line.contains("/attach?") || line.contains("/logs?");
    case api::Verb::Logs: return line.contains("/logs?");
    case api::Verb::Kill: return line.contains("/kill?");
    case api::Verb::Stop: return line.contains("/stop");
    case api::Verb::Resize: return line.contains("/resize?");
    case api::Verb::Inspect:
      return line.starts_with("GET ") && line.contains("/containers/") && line.ends_with("/json");
    case api::Verb::List: return line.contains("/containers/json?");
    case api::Verb::Remove: return line.starts_with("DELETE ");
    default: return false;
  }
}
inline bool is_for(const protocol::Request& request, std::string_view asked) {
  return is_for(protocol::verb_of(request), asked);
}

// A create looks at the image first, which changes nothing and tells nobody.
inline std::size_t times_dockerd_was_asked(const KeeperUnderTest& keeper) {
  const auto requests = keeper.dockerd().requests();
  return static_cast<std::size_t>(std::ranges::count_if(requests, [](const std::string& request) {
    return !request.starts_with("GET ") || request.find("/containers/") != std::string::npos;
  }));
}

}  // namespace sallyport::testing_support
