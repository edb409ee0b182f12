#include <utility>

#include "broker/api/names.hpp"
#include "broker/keeper/answers.hpp"
#include "broker/keeper/attaches.hpp"
#include "broker/keeper/effective.hpp"
#include "broker/keeper/plan_container.hpp"
#include "broker/keeper/random_hex.hpp"
#include "broker/keeper/removal.hpp"
#include "sallyport/log.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::keeper {

using protocol::CreateContainer;
using protocol::Failed;

namespace {

std::string object_of(const CreateContainer& ask) {
  std::string object = api::familiar_image(ask.image.text());
  if (ask.name) object += " as " + ask.name->text();
  return object;
}

bool depends_on_ledger(const Refusal& refusal) {
  return refusal.status == 409 || refusal.rule.starts_with("docker.budget.") || refusal.rule == kLedgerRule;
}

// Asks dockerd for its list only where it could change the verdict: containers with AutoRemove go without our doing.
// That weighs like the client's own list, or a create that cannot be would be a cheap one.
net::awaitable<Verdict> decide_with_current_ledger(const Call& call, const CreateContainer& ask) {
  Verdict verdict = decide_create(ask, call.session->profile, call.session->ledger);
  if (!verdict || !depends_on_ledger(*verdict)) co_return verdict;
  if (const auto retry_after =
          call.session->request_rate.take(Clock::now(), weigh_list(call.session->ledger, docker_of(call))))
    co_return decide_rate("requests", call.session->request_rate.per_minute(), *retry_after);
  const auto current =
      co_await refresh_ledger(call.services, call.session, call.in_flight->exchange, Wanted::OnlyWhatIsThere);
  verdict = decide_create(ask, call.session->profile, call.session->ledger);
  if (current || !verdict) co_return verdict;
  log::warning("session " + call.session->id.text() +
                   ": which of its containers are gone is not known, and all count: " + current.error().text(),
               call.session->about());
  verdict->message += "; dockerd could not be asked which of them are gone, so all count (" +
                      engine::explain_transport(current.error().code).message.value + ")";
  co_return verdict;
}

Owned reserve(const Call& call, const CreateContainer& ask) {
  OwnedContainer container;
  container.name = ask.name ? *ask.name : *ContainerName::parse(random_hex(kMadeUpNameBytes / 2));
  container.image = image_as_shown(ask);
  container.labels = ask.labels.items;
  container.memory_bytes = memory_of(ask, docker_of(call).container);
  container.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  container.auto_remove = ask.auto_remove;
  container.tty = ask.tty;
  container.attaches = std::make_shared<Attaches>();
  return call.session->ledger.reserve(std::move(container));
}

// What the image is, as dockerd says; the container is made of the id that was looked at.
net::awaitable<std::expected<engine::ImageFacts, Failed>> look_at_image(const Call& call, const CreateContainer& ask) {
  const std::string name = api::familiar_image(ask.image.text());
  const auto reply =
      co_await call.services.docker.ask(engine::render_image_inspect(ask.image), call.in_flight->exchange);
  if (!reply) co_return std::unexpected(unanswered(call, object_of(ask), reply.error()));
  if (reply->status != 200)
    co_return std::unexpected(explain(call, engine::Operation::Create, reply->status,
                                      engine::read_error_message(reply->body), {.container = name}));
  auto image = engine::read_image(reply->body);
  if (!image) {
    log::warning(name + ": " + image.error().text());
    co_return std::unexpected(engine::explain_transport(image.error().code));
  }
  co_return std::move(*image);
}

struct Planned {
  engine::ContainerPlan container;
  std::vector<Warning> warnings;
};

net::awaitable<std::expected<Planned, Failed>> plan(const Call& call, const CreateContainer& ask, const Owned& owned) {
  const auto facts = co_await call.services.docker.facts(call.in_flight->exchange);
  if (!facts) co_return std::unexpected(engine::explain_transport(facts.error().code));
  if (facts->systemd_cgroups != call.session->systemd_cgroups)
    co_return std::unexpected(Failed{503, "sallyport: dockerd has changed its cgroup driver; start a new session", 0});
  const auto image = co_await look_at_image(call, ask);
  if (!image) co_return std::unexpected(image.error());
  if (const Verdict refusal = decide_effective(ask, *image))
    co_return std::unexpected(*deny(call, object_of(ask), *refusal));
  const Effective effective = merge(ask, *image);
  call.session->ledger.describe(owned, described_bytes(effective, *image));
  call.session->ledger.remember(owned, effective.program(), effective.working_directory);
  const PlanFacts plan_facts{call.session->id, call.services.broker,
                             call.session->uid_base + static_cast<std::uint32_t>(limits::UidPart::Container),
                             call.session->systemd_cgroups, facts->core_limit};
  Planned planned;
  planned.container = plan_container(ask, docker_of(call).container, *image, plan_facts, owned->name);
  planned.warnings = warnings_of(ask, planned.container);
  co_return planned;
}

constexpr std::chrono::seconds kLookAgain{1};

// A create whose answer never came may have succeeded. Its name stays taken until dockerd shows that it has not, or the
// container is removed.
net::awaitable<void> clear_up(Services& services, SessionPtr session, Owned owned) {
  Leftovers leftovers{{dockerd_name(session->id, owned->name), owned->id.text()}};
  const auto settled = Clock::now() + kLateCreate;
  std::string said;
  RetryPause pause(kLookAgain, kLookAgain);
  std::chrono::milliseconds next = kLookAgain;
  while (!leftovers.empty()) {
    co_await async::sleep_for(next);
    if (session->is_ending) co_return;  // which looks for it itself
    const auto removed =
        co_await remove_containers(services.docker, services.broker, session->id, leftovers, Clock::now() > settled);
    next = pause.after(removed, false);
    const std::string why = removed ? "" : removed.error().text();
    if (std::exchange(said, why) != why && !why.empty())
      log::warning("session " + session->id.text() + ", a create without an answer: " + why +
                       "; its name stays taken until it is done",
                   session->about());
  }
  forget(*session, owned);
}

// From here on a container may exist. Not cancelled at the end of the session, which waits for the answer instead.
AnswerTask create(const Call& call, const CreateContainer& ask, const Planned& planned, const Owned& owned) {
  Session& session = *call.session;
  const engine::ContainerPlan& plan = planned.container;
  if (const auto written = session.ledger_file.intent(plan.dockerd_name); !written) {
    log::error(written.error().text());
    session.ledger.forget(owned);
    co_return Failed{503, "sallyport: the ledger cannot be written, so nothing is created", 0};
  }
  engine::Exchange exchange;
  exchange.place = std::move(call.in_flight->exchange.place);
  engine::Request request =
      engine::render_create(plan, engine::create_body(ask, plan, seccomp::container_profile_json()));
  const auto reply = co_await call.services.docker.ask(std::move(request), exchange);
  const auto id = reply && reply->status == 201 ? engine::read_created(reply->body) : fail("");
  if (id) {
    session.ledger.made(owned, *id);
    if (const auto written = session.ledger_file.made(plan.dockerd_name, *id); !written)
      log::warning(written.error().text() + "; the container is known by name and label");
    protocol::Created created{*id, {}};
    for (const Warning& warning : planned.warnings) created.warnings.items.emplace_back(warning.words);
    co_return created;
  }
  if (reply && reply->status >= 400) {
    const std::string text = engine::read_error_message(reply->body);
    forget(session, owned);
    const std::string image = api::familiar_image(ask.image.text());
    const engine::Subject subject{image, owned->program, owned->directory};
    co_return explain(call, engine::Operation::Create, reply->status, text, subject);
  }
  // Its ending looks for it itself, and has perhaps cancelled all that it waits for: nothing new begins then.
  if (!session.is_ending) session.tasks.spawn("clear up after a create", clear_up(call.services, call.session, owned));
  co_return engine::explain_transport(reply ? EPROTO : reply.error().code);
}

}  // namespace

AnswerTask answer(Call call, CreateContainer ask) {
  const std::string object = object_of(ask);
  if (const Refused refused = admit(call, object)) co_return *refused;
  if (const Verdict refusal = co_await decide_with_current_ledger(call, ask)) co_return *deny(call, object, *refusal);
  if (const auto retry_after = call.session->create_rate.take(Clock::now()))
    co_return *deny(call, object, *decide_rate("creates", call.session->create_rate.per_minute(), *retry_after));
  const Owned owned = reserve(call, ask);  // nothing suspends between the verdict and this
  if (!owned) co_return Failed{409, "Conflict. The container name is already in use", 0};
  const auto planned = co_await plan(call, ask, owned);
  Refused refused;
  if (!planned) refused = planned.error();
  else if (refused = check_memory(call, object); !refused)  // the request that is written now may be large
    refused = grant(call, object, Weight::Change, fields_of(planned->warnings));
  if (refused) {
    call.session->ledger.forget(owned);
    co_return *refused;
  }
  co_return co_await create(call, ask, *planned, owned);
}

}  // namespace sallyport::keeper
