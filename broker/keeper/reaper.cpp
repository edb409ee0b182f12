#include "broker/keeper/reaper.hpp"

#include <algorithm>

#include "broker/keeper/budget.hpp"
#include "broker/keeper/late_creates.hpp"
#include "broker/keeper/places.hpp"
#include "sallyport/log.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport::keeper {

namespace spawner = protocol::spawner;

namespace {

// What cannot be removed is tried again ever more seldom.
constexpr std::chrono::milliseconds kFirstRetry{250};
constexpr std::chrono::milliseconds kLastRetry{3000};  // soon enough where dockerd was away

// Into the broker's log each new reason once, and into what an opener is told.
void tell(Services& services, const SessionId& session, const std::string& why) {
  const auto left = services.left.find(session.text());
  if (left == services.left.end() || left->second.why == why) return;
  left->second.why = why;
  log::warning("session " + session.text() + " of an earlier broker: " + why + "; trying until it is done");
}

net::awaitable<void> kill_left(Services& services, LedgerRecord record) {
  const auto killed = co_await services.spawner.ask(spawner::TakeOver{record.session, record.uid_base});
  const auto* failed = killed ? std::get_if<spawner::SpawnFailed>(&killed->message) : nullptr;
  if (failed != nullptr)
    tell(services, record.session, failed->reason.value);  // killed again with its cgroup's removal
}

// Removes the containers, but for intents of which dockerd shows nothing: it returns them. Where the earlier broker had
// waited for those, one look is enough.
net::awaitable<Leftovers> remove_left(Services& services, const LedgerRecord& record, Places& places) {
  using std::chrono::seconds;
  Leftovers leftovers = record.containers;
  const auto settled = Clock::now() + (record.ended ? seconds(0) : kIntentsSettle);
  const bool is_too_late = record.ended && late_creates_may_take(*record.ended) == seconds(0);
  for (auto pause = kFirstRetry; !leftovers.empty();) {
    Places::Place place = co_await places.take();
    const bool has_settled = Clock::now() >= settled;
    const auto removed =
        co_await remove_containers(services.docker, services.broker, record.session, leftovers, is_too_late);
    place.reset();
    if (leftovers.empty() || (removed && has_settled)) break;
    if (!removed) tell(services, record.session, removed.error().text());
    co_await async::sleep_for(pause);
    if (has_settled) pause = std::min(2 * pause, kLastRetry);
  }
  co_return leftovers;
}

net::awaitable<Result<>> finish_ending(Services& services, const LedgerRecord& record) {
  CO_TRY(co_await services.spawner.remove_cgroup({record.session, record.systemd_cgroups},
                                                 [&](const std::string& why) { tell(services, record.session, why); }));
  AuditRecord entry;
  entry.event = Event::Reap;
  entry.weight = Weight::Closing;
  entry.session = record.session.text();
  entry.profile = record.profile.text();
  entry.rule = "broker.restart";
  entry.reason = "left by an earlier broker; " + std::to_string(record.containers.size()) +
                 " containers were on its ledger; what its gate and relay had not told yet is missing";
  AuditQuota& quota = services.accounts.of(record.profile).quota();
  if (const auto written = services.audit.write(entry, quota); !written) log::error(written.error().text());
  log::info("reaped what session " + record.session.text() + " of an earlier broker left");
  co_return Result<>{};
}

net::awaitable<void> reap_one(Services& services, LeftLedger left, std::shared_ptr<Places> places) {
  const LedgerRecord& record = left.record;
  if (!record.ended) co_await kill_left(services, record);
  Leftovers intents = co_await remove_left(services, record, *places);
  if (!record.ended)
    if (const auto finished = co_await finish_ending(services, record); !finished)
      co_return log::error(finished.error().text());
  services.left.erase(record.session.text());
  auto ledger = LedgerFile::open_left(left.path);
  if (!ledger) co_return log::error(ledger.error().text());
  let_go_of_ledger(services, record.session, std::move(*ledger), std::move(intents), record.ended);
}

}  // namespace

void know_what_is_left(Services& services, const std::vector<LeftLedger>& left) {
  for (const auto& [path, record] : left)
    if (!record.ended)
      services.left[record.session.text()] = {record.session, record.uid_base, "it is about to be removed"};
}

const LeftSession* left_in_the_way(const Services& services, std::uint32_t uid_base) {
  for (const auto& [id, left] : services.left)
    if (left.uid_base != 0 && uid_base != 0 && uid_ranges_overlap(left.uid_base, uid_base)) return &left;
  return nullptr;
}

net::awaitable<void> reap(Services& services, std::vector<LeftLedger> left, async::TaskGroup::OnBug on_bug) {
  async::TaskGroup sessions(services.executor, std::move(on_bug));
  const auto places = std::make_shared<Places>(services.executor, limits::kMaxReapedAtOnce, limits::kKeepsPlace);
  if (!services.left.empty())
    log::info(std::to_string(services.left.size()) + " sessions of an earlier broker are killed and removed");
  // Each asks for the kill before it does anything else, so all are asked for before the first container is removed.
  for (LeftLedger& ledger : left) sessions.spawn("reap", reap_one(services, std::move(ledger), places));
  co_await sessions.wait_until_empty();
}

}  // namespace sallyport::keeper
