// TRUSTED SIDE. When a gate may send which request, and how many of each may be in flight. Checked before a request is
// handled; a gate that breaks it is killed with its session (a gate is ours: only a taken-over one can get here).
#pragma once

#include <array>
#include <cstddef>
#include <variant>

#include "broker/protocol/messages.hpp"

namespace sallyport::protocol {

enum class Phase : unsigned char { Never, Serving };
enum class Answer : unsigned char { None, Expected };

struct Permit {
  Phase phase = Phase::Never;
  std::size_t in_flight_at_most = 0;  // alike, per session
  Answer answer = Answer::Expected;   // None: no request id is taken
};

template <class T>
inline constexpr Permit kPermit{};  // no permit: does not pass the static_assert below

template <> inline constexpr Permit kPermit<CreateContainer>{Phase::Serving, 32};
template <> inline constexpr Permit kPermit<StartContainer>{Phase::Serving, 64};
template <> inline constexpr Permit kPermit<WaitContainer>{Phase::Serving, 128};
template <> inline constexpr Permit kPermit<AttachContainer>{Phase::Serving, 128};
template <> inline constexpr Permit kPermit<ReadLogs>{Phase::Serving, 128};
template <> inline constexpr Permit kPermit<KillContainer>{Phase::Serving, 64};
template <> inline constexpr Permit kPermit<StopContainer>{Phase::Serving, 64};
template <> inline constexpr Permit kPermit<ResizeContainer>{Phase::Serving, 64};
template <> inline constexpr Permit kPermit<InspectContainer>{Phase::Serving, 32};
template <> inline constexpr Permit kPermit<ListContainers>{Phase::Serving, 32};
template <> inline constexpr Permit kPermit<RemoveContainer>{Phase::Serving, 64};
template <> inline constexpr Permit kPermit<CancelRequest>{Phase::Serving, limits::kMaxRequestsInFlight, Answer::None};
template <> inline constexpr Permit kPermit<GateClaim>{Phase::Serving, limits::kMaxRequestsInFlight, Answer::None};

template <class... Ts>
constexpr std::array<Permit, sizeof...(Ts)> permits_of(const std::variant<Ts...>*) {
  return {kPermit<Ts>...};
}
// Index = variant index.
inline constexpr auto kPermits = permits_of(static_cast<const Request*>(nullptr));
static_assert([] {
  for (const Permit& permit : kPermits)
    if (permit.phase == Phase::Never || permit.in_flight_at_most == 0) return false;
  return true;
}(), "every request needs a permit");

}  // namespace sallyport::protocol
