// TRUSTED SIDE. Decides whether one request of one session may go to dockerd, and what a container becomes.
// Pure: no I/O, no clock, no logging. Everything it needs is in its arguments. What is not granted here is denied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/api/endpoints.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
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

// The row of the endpoint table that a request is an instance of; null for those that have none (cancel, claim).
const api::Endpoint* endpoint_of(const protocol::Request& request);

Verdict decide_group(const api::Endpoint& endpoint, const Profile& profile);
Verdict decide_create(const protocol::CreateContainer& ask, const Profile& profile, const Ledger& ledger);
Verdict decide_image(const protocol::CreateContainer& ask, const engine::ImageFacts& image);
Verdict decide_rate(std::string_view what, std::uint32_t per_minute, std::uint32_t retry_after);

// The memory that a container would take of the session's budget.
std::uint64_t memory_of(const protocol::CreateContainer& ask, const ContainerSection& section);

struct PlanFacts {
  SessionId session;
  std::string broker;
  std::uint32_t container_uid = 0;
  bool systemd_cgroups = false;
};
engine::ContainerPlan plan_container(const protocol::CreateContainer& ask, const ContainerSection& section,
                                     const engine::ImageFacts& image, const PlanFacts& facts,
                                     const ContainerName& name);

std::string cgroup_parent(const SessionId& session, bool systemd_cgroups);

}  // namespace sallyport::keeper
