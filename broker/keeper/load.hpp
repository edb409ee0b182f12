// TRUSTED SIDE. What a request asks of dockerd and keeper: its weight in the budget, and how long it holds a
// connection. Pure.
#pragma once

#include <algorithm>
#include <utility>

#include "broker/api/endpoints.hpp"
#include "broker/engine/places.hpp"
#include "broker/keeper/budget.hpp"
#include "broker/keeper/ownership.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport::keeper {

struct Load {
  std::uint32_t weight = 0;  // 0: on another account
  engine::Holding holding = engine::Holding::Request;
};

// A read goes through the whole log, whatever of it is asked for: so it weighs by the size that the profile allows.
// Never more than the burst: a session is not kept from everything else for long by a log that may be small.
constexpr std::uint32_t log_read_weight(const DockerSection& docker) {
  const std::uint64_t by_size =
      api::row_of(api::Verb::Logs).weight * docker.container.log_bytes / limits::kWeighedLogBytes;
  const std::uint32_t most = burst_of_requests(docker.budget.requests_per_minute);
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(by_size, api::row_of(api::Verb::Attach).weight, std::max(most, 2U)));
}

// What dockerd shows of a container it writes, and we read, each time: an argument of 66 KB makes a small inspect five.
// Never more than the burst: what weighs more waits for a full bucket, which a session that polls never has.
constexpr std::uint32_t weigh_described(api::Verb verb, std::size_t bytes, const DockerSection& docker) {
  const std::uint64_t by_size = api::row_of(verb).weight + (bytes / limits::kWeighedTextBytes);
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(by_size, burst_of_requests(docker.budget.requests_per_minute)));
}
inline std::uint32_t weigh_inspect(const Owned& owned, const DockerSection& docker) {
  return weigh_described(api::Verb::Inspect, owned ? owned->described_bytes : 0, docker);
}
inline std::uint32_t weigh_list(const Ledger& ledger, const DockerSection& docker) {
  return weigh_described(api::Verb::List, ledger.described_bytes(), docker);
}

// What happens to every container once is on its create's account: its first start, and the first read of its log
// (`docker run` is create, attach or logs, start). Only the first that is asked for: a second attempt weighs. A
// container that the session does not own costs dockerd nothing.
inline Load load_of_start(const Owned& owned) {
  if (!owned) return {1};
  return {std::exchange(owned->first_start_asked, true) ? api::row_of(api::Verb::Start).weight : 0};
}
inline std::uint32_t weigh_log_read(const Owned& owned, const DockerSection& docker) {
  if (!owned) return 1;
  const bool is_first = !std::exchange(owned->first_log_read_asked, true);
  return is_first ? api::row_of(api::Verb::Attach).weight : log_read_weight(docker);
}

}  // namespace sallyport::keeper
