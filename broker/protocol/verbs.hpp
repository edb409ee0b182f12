// BOTH SIDES. Which endpoint of the table a typed request stands for: for groups, audit records and limits.
#pragma once

#include <array>
#include <variant>

#include "broker/api/endpoints.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::protocol {

template <class T>
inline constexpr api::Verb kVerb = api::Verb::None;  // CancelRequest and GateClaim are no endpoints

template <>
inline constexpr api::Verb kVerb<CreateContainer> = api::Verb::Create;
template <>
inline constexpr api::Verb kVerb<StartContainer> = api::Verb::Start;
template <>
inline constexpr api::Verb kVerb<WaitContainer> = api::Verb::Wait;
template <>
inline constexpr api::Verb kVerb<AttachContainer> = api::Verb::Attach;
template <>
inline constexpr api::Verb kVerb<ReadLogs> = api::Verb::Logs;
template <>
inline constexpr api::Verb kVerb<KillContainer> = api::Verb::Kill;
template <>
inline constexpr api::Verb kVerb<StopContainer> = api::Verb::Stop;
template <>
inline constexpr api::Verb kVerb<ResizeContainer> = api::Verb::Resize;
template <>
inline constexpr api::Verb kVerb<InspectContainer> = api::Verb::Inspect;
template <>
inline constexpr api::Verb kVerb<ListContainers> = api::Verb::List;
template <>
inline constexpr api::Verb kVerb<RemoveContainer> = api::Verb::Remove;

template <class... Ts>
constexpr std::array<api::Verb, sizeof...(Ts)> verbs_of(const std::variant<Ts...>*) {
  return {kVerb<Ts>...};
}
// Index = variant index of Request.
inline constexpr auto kVerbs = verbs_of(static_cast<const Request*>(nullptr));

inline api::Verb verb_of(const Request& request) { return kVerbs[request.index()]; }

}  // namespace sallyport::protocol
