#include "broker/keeper/removal.hpp"

#include <memory>
#include <vector>

#include "broker/async/tasks.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::size_t kRemovedAtOnce = limits::kMaxRemovedAtOnce;

// Shared with the removals: whoever waits for them may be cancelled, and is gone before they have ended.
struct Removals {
  std::vector<std::string> gone;  // names
  Result<> outcome;
};

net::awaitable<void> remove_one(engine::DockerClient& docker, std::string name, ContainerId id,
                                std::shared_ptr<Removals> removals) {
  Result<>& outcome = removals->outcome;
  engine::Exchange exchange;
  const auto reply = co_await docker.ask(engine::render_remove(id, engine::Force::Yes), exchange);
  if (!reply) {
    outcome = std::unexpected(reply.error());
  } else if (reply->status == 204 || reply->status == 404) {
    removals->gone.push_back(std::move(name));
  } else if (reply->status != 409) {  // 409: its removal is in progress; ask again
    outcome = fail("remove container " + id.text() + ": dockerd answered " + std::to_string(reply->status));
  } else if (outcome) {
    outcome = fail("remove container " + id.text() + ": its removal is in progress");
  }
}

net::awaitable<Result<>> find_intents(engine::DockerClient& docker, const std::string& broker, const SessionId& session,
                                      Leftovers& leftovers, bool may_drop) {
  engine::Exchange exchange;
  const auto reply = CO_TRY(co_await docker.ask(engine::render_list(broker, session), exchange));
  if (reply.status != 200) co_return fail("list containers: dockerd answered " + std::to_string(reply.status));
  const auto listed = CO_TRY(engine::read_list(reply.body));
  for (auto entry = leftovers.begin(); entry != leftovers.end();) {
    auto& [name, id] = *entry;
    for (const engine::ListedContainer& container : listed)
      if (container.name == name) id = container.id.text();
    if (id.empty() && may_drop) entry = leftovers.erase(entry);
    else ++entry;
  }
  co_return Result<>{};
}

}  // namespace

net::awaitable<Result<>> remove_containers(engine::DockerClient& docker, std::string broker, SessionId session,
                                           Leftovers& leftovers, bool intents_may_be_dropped) {
  bool has_intents = false;
  for (const auto& [name, id] : leftovers) has_intents |= id.empty();
  if (has_intents) CO_TRY(co_await find_intents(docker, broker, session, leftovers, intents_may_be_dropped));

  const auto removals = std::make_shared<Removals>();
  async::TaskGroup tasks(co_await net::this_coro::executor, [](const std::string& task, const std::string& what) {
    log::error("task \"" + task + "\" failed: " + what);
  });
  for (const auto& [name, text] : leftovers) {
    const auto id = ContainerId::parse(text);
    if (!id) continue;
    while (tasks.running() >= kRemovedAtOnce) co_await async::sleep_for(std::chrono::milliseconds(5));
    tasks.spawn("remove a container", remove_one(docker, name, *id, removals));
  }
  co_await tasks.wait_until_empty();
  for (const std::string& name : removals->gone) leftovers.erase(name);
  if (removals->outcome && !leftovers.empty()) co_return fail("remove containers: some are not there yet");
  co_return removals->outcome;
}

}  // namespace sallyport::keeper
