#include "broker/keeper/answers.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using protocol::ContainerStatus;

namespace {

// An honest gate read the labels of a container from one create body: the rest of an item, and the lengths of its
// texts, fit beside them.
static_assert(limits::kMaxCreateBodyBytes + limits::kMaxLabels * 8 + 8 * 1024 <= limits::kMaxMessageBytes,
              "an item of a list always fits into a message");

// What dockerd does not know, or what it would tell of the host.
void fill_from_ledger(protocol::Summary& summary, const OwnedContainer& owned) {
  summary.id = owned.id;
  summary.name = owned.name;
  summary.image = owned.image;
  summary.created = owned.created;
  summary.labels.items = owned.labels;
}

}  // namespace

bool is_running(ContainerStatus status) {
  return status == ContainerStatus::Running || status == ContainerStatus::Paused ||
         status == ContainerStatus::Restarting;
}

AnswerTask answer(Call call, protocol::InspectContainer ask) {
  const Load load{weigh_inspect(call.session->ledger.find(ask.container), docker_of(call))};
  if (const Refused refused = admit(call, ask.container.text(), load)) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = grant(call, ask.container.text(), Weight::Read)) co_return *refused;
  const auto reply = co_await call.services.docker.ask(engine::render_inspect((*owned)->id), call.in_flight->exchange);
  if (!reply) co_return unanswered(call, ask.container.text(), reply.error());
  if (reply->status == 404) forget(*call.session, *owned);
  if (reply->status != 200)
    co_return explain(call, engine::Operation::Inspect, reply->status, engine::read_error_message(reply->body),
                      subject_of(**owned, ask.container));
  auto inspected = engine::read_inspect(reply->body);
  if (!inspected || inspected->container.id != (*owned)->id) {
    log::warning("inspect " + (*owned)->id.text() + ": " +
                 (inspected ? "dockerd answered for another container" : inspected.error().text()));
    co_return engine::explain_transport(EPROTO);
  }
  fill_from_ledger(inspected->container, **owned);
  co_return std::move(*inspected);
}

AnswerTask answer(Call call, protocol::ListContainers ask) {
  if (const Refused refused = admit(call, "", {weigh_list(call.session->ledger, docker_of(call))})) co_return *refused;
  if (const Refused refused = grant(call, "", Weight::Read)) co_return *refused;
  auto view = co_await refresh_ledger(call.services, call.session, call.in_flight->exchange, Wanted::Entries);
  if (!view) co_return unanswered(call, "", view.error());
  if (!view->too_large.empty())
    co_return protocol::Failed{502,
                               "sallyport: what dockerd says of container " + view->too_large.front()->name.text() +
                                   " alone is larger than this broker reads; remove it to list the others",
                               0};
  for (engine::ListedContainer& entry : view->listed) {
    // Only what the ledger has: labels of ours are no proof. By the whole id, so no prefix can match.
    const auto reference = ContainerName::parse(entry.id.text());
    const Owned owned = reference ? call.session->ledger.find(*reference) : nullptr;
    if (!owned || owned->id != entry.id || (!ask.all && !is_running(entry.summary.status))) continue;
    fill_from_ledger(entry.summary, *owned);
    const protocol::Reply item = protocol::ListItem{std::move(entry.summary)};
    co_await send_reply(call.services, call.session, call.id, item, UniqueFd());
  }
  co_return protocol::Succeeded{};
}

}  // namespace sallyport::keeper
