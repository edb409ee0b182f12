#include "broker/keeper/removal.hpp"

#include <algorithm>
#include <memory>
#include <set>

#include "broker/async/tasks.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
#include "broker/keeper/places.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

// Of the text of an error of dockerd's.
constexpr std::size_t kMaxCauseBytes = 400;

// Shared with the removals: whoever waits for them may be cancelled, and is gone before they have ended.
struct Removals {
  engine::DockerClient& docker;
  std::string broker;
  SessionId session;
  bool intents_may_be_dropped;
  std::set<std::string> gone;                // names
  std::map<std::string, NotRemoved> failed;  // name -> what and why

  void refused(const std::string& name, std::string why) { failed[name] = {std::move(why), true}; }
  // Where it did not answer in time it is there, and has begun: asked again it does the same work once more.
  void unanswered(const std::string& name, const Error& error) {
    failed[name] = {error.text(), error.code == ETIMEDOUT};
  }
};

// Who said that the container is there. dockerd lists one that it is making before it knows it by its id or name (moby
// 20.10 and later, daemon/create.go: setHostConfig makes it visible, Register later makes it known), so that "no such
// container" about a listed one is no proof that it is gone: its create goes on. One whose create was answered is
// known.
enum class KnownBy { ItsCreate, AList };

net::awaitable<void> remove_it(std::shared_ptr<Removals> removals, std::string name, engine::Request request,
                               KnownBy known_by) {
  engine::Exchange exchange;
  const auto reply = co_await removals->docker.ask(std::move(request), exchange);
  if (!reply) {
    removals->unanswered(name, reply.error());
  } else if (reply->status == 404 && known_by == KnownBy::AList) {
    log::debug("container " + name + " is still being made");
  } else if (reply->status == 204 || reply->status == 404) {
    removals->gone.insert(name);
  } else if (reply->status == 409) {
    removals->refused(name, "its removal is in progress");
  } else {
    removals->refused(name, "dockerd answered " + std::to_string(reply->status) + ": " +
                                engine::read_error_message(reply->body).substr(0, kMaxCauseBytes));
  }
}

// An intent is asked for by its name, with our labels. Neither an inspection nor a list of one is bounded: both repeat
// what the client and the image wrote, six bytes for one of theirs. But a list that holds nothing is two bytes, so one
// that is too large to be read says as much as one that can be: the container is there.
net::awaitable<void> remove_intent(std::shared_ptr<Removals> removals, std::string name) {
  engine::Exchange exchange;
  const auto reply =
      co_await removals->docker.ask(engine::render_list_named(removals->broker, removals->session, name), exchange);
  const bool is_too_large = !reply && reply.error().code == EMSGSIZE;
  if (!reply && !is_too_large) {
    removals->unanswered(name, reply.error());
    co_return;
  }
  if (reply && reply->status != 200) {
    removals->refused(name, "list it: dockerd answered " + std::to_string(reply->status));
    co_return;
  }
  engine::Request request = engine::render_remove_named(name, engine::Force::Yes);
  if (reply) {
    const auto listed = engine::read_list(reply->body);
    if (!listed) {
      removals->refused(name, listed.error().text());
      co_return;
    }
    const auto at = std::ranges::find(*listed, name, &engine::ListedContainer::name);
    if (at == listed->end()) {
      if (removals->intents_may_be_dropped) removals->gone.insert(name);
      co_return;
    }
    request = engine::render_remove(at->id, engine::Force::Yes);
  }
  co_await remove_it(removals, name, std::move(request), KnownBy::AList);
}

net::awaitable<void> remove_one(std::shared_ptr<Removals> removals, std::string name, std::string text,
                                [[maybe_unused]] Places::Place place) {
  const auto id = ContainerId::parse(text);
  if (!id) co_return co_await remove_intent(removals, std::move(name));
  co_await remove_it(removals, std::move(name), engine::render_remove(*id, engine::Force::Yes), KnownBy::ItsCreate);
}

Removed outcome_of(const Removals& removals, const Leftovers& leftovers) {
  if (removals.failed.empty()) return {};
  const auto& [name, first] = *removals.failed.begin();
  const auto known = leftovers.find(name);
  const std::string id = known == leftovers.end() ? "" : known->second.substr(0, 12);
  NotRemoved left;
  left.why = "container " + name + (id.empty() ? "" : " (" + id + ")") + " is left: " + first.why;
  if (removals.failed.size() > 1) left.why += "; and " + std::to_string(removals.failed.size() - 1) + " more";
  left.is_refused = std::ranges::all_of(removals.failed, [](const auto& entry) { return entry.second.is_refused; });
  return std::unexpected(std::move(left));
}

}  // namespace

std::chrono::milliseconds RetryPause::after(const Removed& removed, bool something_went) {
  if (removed || something_went) return pause_ = first_;
  const std::chrono::milliseconds most = removed.error().is_refused ? limits::kLeftIsTriedEvery : away_;
  const auto now = std::min(pause_, most);
  pause_ = 2 * now;
  return now;
}

net::awaitable<Removed> remove_containers(engine::DockerClient& docker, std::string broker, SessionId session,
                                          Leftovers& leftovers, bool intents_may_be_dropped) {
  std::shared_ptr<Removals> removals(
      new Removals{docker, std::move(broker), std::move(session), intents_may_be_dropped, {}, {}});
  const auto executor = co_await net::this_coro::executor;
  Places places(executor, docker.places().bounds().share, limits::kKeepsPlace);
  async::TaskGroup tasks(executor, [removals](const std::string& task, const std::string& what) {
    log::error("task \"" + task + "\" failed: " + what);
    removals->refused(task, what);
  });
  const Leftovers asked = leftovers;
  for (const auto& [name, id] : asked) {
    Places::Place place = co_await places.take();
    tasks.spawn("remove " + name, remove_one(removals, name, id, std::move(place)));
  }
  co_await tasks.wait_until_empty();
  for (const std::string& name : removals->gone) leftovers.erase(name);
  co_return outcome_of(*removals, leftovers);
}

}  // namespace sallyport::keeper
