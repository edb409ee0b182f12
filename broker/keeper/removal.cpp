#include "broker/keeper/removal.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "broker/async/tasks.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

// Shared with the removals: whoever waits for them may be cancelled, and is gone before they have ended.
struct Removals {
  std::vector<std::string> gone;  // names
  Result<> outcome;
};

// Who said that the container is there. dockerd lists one that it is making before it knows it by its id (moby 20.10,
// daemon/create.go: setHostConfig makes it visible, Register later makes it known), so that "no such container" about a
// listed one is no proof that it is gone: its create goes on. One whose create was answered is known.
enum class KnownBy { ItsCreate, AList };

struct ToRemove {
  std::string name;
  ContainerId id;
  KnownBy known_by;
};

net::awaitable<void> remove_one(engine::DockerClient& docker, ToRemove container, std::shared_ptr<Removals> removals) {
  const ContainerId& id = container.id;
  Result<>& outcome = removals->outcome;
  engine::Exchange exchange;
  const auto reply = co_await docker.ask(engine::render_remove(id, engine::Force::Yes), exchange);
  if (!reply) {
    outcome = std::unexpected(reply.error());
  } else if (reply->status == 404 && container.known_by == KnownBy::AList) {
    log::debug("container " + id.text() + " is still being made");
  } else if (reply->status == 204 || reply->status == 404) {
    removals->gone.push_back(std::move(container.name));
  } else if (reply->status != 409) {  // 409: its removal is in progress; ask again
    outcome = fail("remove container " + id.text() + ": dockerd answered " + std::to_string(reply->status));
  } else if (outcome) {
    outcome = fail("remove container " + id.text() + ": its removal is in progress");
  }
}

// The intents that dockerd lists.
net::awaitable<Result<std::vector<ToRemove>>> find_intents(engine::DockerClient& docker, const std::string& broker,
                                                           const SessionId& session, Leftovers& leftovers,
                                                           bool may_drop) {
  engine::Exchange exchange;
  const auto reply = CO_TRY(co_await docker.ask(engine::render_list(broker, session), exchange));
  if (reply.status != 200) co_return fail("list containers: dockerd answered " + std::to_string(reply.status));
  const auto listed = CO_TRY(engine::read_list(reply.body));
  std::vector<ToRemove> found;
  for (auto entry = leftovers.begin(); entry != leftovers.end();) {
    const auto& [name, id] = *entry;
    const auto at = std::ranges::find(listed, name, &engine::ListedContainer::name);
    if (id.empty() && at != listed.end()) found.push_back({name, at->id, KnownBy::AList});
    if (id.empty() && at == listed.end() && may_drop) entry = leftovers.erase(entry);
    else ++entry;
  }
  co_return found;
}

}  // namespace

net::awaitable<Result<>> remove_containers(engine::DockerClient& docker, std::string broker, SessionId session,
                                           Leftovers& leftovers, bool intents_may_be_dropped) {
  std::vector<ToRemove> containers;
  if (std::ranges::any_of(leftovers, [](const auto& entry) { return entry.second.empty(); }))
    containers = CO_TRY(co_await find_intents(docker, broker, session, leftovers, intents_may_be_dropped));
  for (const auto& [name, text] : leftovers)
    if (const auto id = ContainerId::parse(text)) containers.push_back({name, *id, KnownBy::ItsCreate});

  const auto removals = std::make_shared<Removals>();
  async::TaskGroup tasks(co_await net::this_coro::executor,
                         [removals](const std::string& task, const std::string& what) {
                           log::error("task \"" + task + "\" failed: " + what);
                           removals->outcome = fail(task + ": " + what);
                         });
  for (const ToRemove& container : containers) {
    while (tasks.running() >= limits::kMaxRemovedAtOnce) co_await async::sleep_for(std::chrono::milliseconds(5));
    tasks.spawn("remove a container", remove_one(docker, container, removals));
  }
  co_await tasks.wait_until_empty();
  for (const std::string& name : removals->gone) leftovers.erase(name);
  co_return removals->outcome;
}

}  // namespace sallyport::keeper
