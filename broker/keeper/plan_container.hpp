// TRUSTED SIDE. What a granted create becomes: the client's values held to the profile's, and everything that the
// profile, the session and the host decide; and which of the client's values do not hold in it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
#include "broker/protocol/messages.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport::keeper {

// The memory that a container would take of the session's budget.
std::uint64_t memory_of(const protocol::CreateContainer& ask, const ContainerSection& section);

struct PlanFacts {
  SessionId session;
  std::string broker;
  std::uint32_t container_uid = 0;
  bool systemd_cgroups = false;
  std::int64_t core_limit = 1;
};
engine::ContainerPlan plan_container(const protocol::CreateContainer& ask, const ContainerSection& section,
                                     const engine::ImageFacts& image, const PlanFacts& facts,
                                     const ContainerName& name);

std::string cgroup_parent(const SessionId& session, bool systemd_cgroups);

// One for each value that the client asked for and that another stands for: in the create's answer, and by its field in
// the record. What it did not ask for, and what holds as it was asked for, gives none.
struct Warning {
  std::string field;
  std::string words;
};
std::vector<Warning> warnings_of(const protocol::CreateContainer& ask, const engine::ContainerPlan& plan);
std::string fields_of(const std::vector<Warning>& warnings);  // for the record: "imposed: User, HostConfig.Memory"

}  // namespace sallyport::keeper
