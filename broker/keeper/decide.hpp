// TRUSTED SIDE. Decides whether one request of one session may go to dockerd, as far as profile and ledger tell. What a
// create's fields may be is decided for request and image together (effective.hpp); what it becomes is planned
// (plan_container.hpp).
// Pure: no I/O, no clock, no logging. Everything it needs is in its arguments. What is not granted here is denied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/api/endpoints.hpp"
#include "broker/keeper/ownership.hpp"
#include "broker/protocol/messages.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport::keeper {

struct Refusal {
  std::uint16_t status = 403;
  std::string rule;     // stable, for the audit trail: a field path, a budget, "container.not-owned"
  std::string message;  // for the client
  std::uint32_t retry_after = 0;
};
using Verdict = std::optional<Refusal>;  // empty: granted

inline constexpr std::size_t kMadeUpNameBytes = 12;  // of a container whose client gives it none
// The rule of a create for whose texts the ledger has no room: kMaxLedgerTextBytes.
inline constexpr std::string_view kLedgerRule = "docker.ledger";

// The image as it is shown again: as the client wrote it.
std::string image_as_shown(const protocol::CreateContainer& ask);

// The row of the endpoint table that a request is an instance of; null for those that have none (cancel, claim).
const api::Endpoint* endpoint_of(const protocol::Request& request);

Verdict decide_group(const api::Endpoint& endpoint, const Profile& profile);
Verdict decide_create(const protocol::CreateContainer& ask, const Profile& profile, const Ledger& ledger);
Verdict decide_rate(std::string_view what, std::uint32_t per_minute, std::uint32_t retry_after);

}  // namespace sallyport::keeper
