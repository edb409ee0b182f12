#include "broker/keeper/reaper.hpp"

#include "broker/keeper/budget.hpp"
#include "broker/keeper/late_creates.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::chrono::milliseconds kRetry{250};

// Removes the containers, but for intents of which dockerd shows nothing: it returns them. Where the earlier broker had
// waited for those, one look is enough.
net::awaitable<Leftovers> remove_left(Services& services, const LedgerRecord& record) {
  using std::chrono::seconds;
  Leftovers leftovers = record.containers;
  const auto settled = Clock::now() + (record.ended ? seconds(0) : kIntentsSettle);
  const bool is_too_late = record.ended && late_creates_may_take(*record.ended) == seconds(0);
  while (!leftovers.empty()) {
    const bool has_settled = Clock::now() >= settled;
    const auto removed =
        co_await remove_containers(services.docker, services.broker, record.session, leftovers, is_too_late);
    if (leftovers.empty() || (removed && has_settled)) break;
    co_await async::sleep_for(kRetry);
  }
  co_return leftovers;
}

net::awaitable<Result<>> finish_ending(Services& services, const LedgerRecord& record) {
  CO_TRY(co_await services.spawner.remove_cgroup({record.session, record.systemd_cgroups}, [&](const std::string& why) {
    log::error("session " + record.session.text() + " of an earlier broker: " + why);
  }));
  AuditRecord entry;
  entry.event = Event::Reap;
  entry.weight = Weight::Closing;
  entry.session = record.session.text();
  entry.profile = record.profile.text();
  entry.rule = "broker.restart";
  entry.reason =
      "left by an earlier broker; " + std::to_string(record.containers.size()) + " containers were on its ledger";
  if (const auto written = services.audit.write(entry); !written) log::error(written.error().text());
  log::info("reaped what session " + record.session.text() + " of an earlier broker left");
  co_return Result<>{};
}

net::awaitable<void> reap_one(Services& services, const LeftLedger& left) {
  const LedgerRecord& record = left.record;
  Leftovers intents = co_await remove_left(services, record);
  if (!record.ended)
    if (const auto finished = co_await finish_ending(services, record); !finished)
      co_return log::error(finished.error().text());
  auto ledger = LedgerFile::open_left(left.path);
  if (!ledger) co_return log::error(ledger.error().text());
  let_go_of_ledger(services, record.session, std::move(*ledger), std::move(intents), record.ended);
}

}  // namespace

net::awaitable<void> reap(Services& services, std::vector<LeftLedger> left, async::TaskGroup::OnBug on_bug) {
  async::TaskGroup sessions(services.executor, std::move(on_bug));
  for (const LeftLedger& ledger : left) {
    while (sessions.running() >= 4) co_await async::sleep_for(std::chrono::milliseconds(20));
    sessions.spawn("reap", reap_one(services, ledger));
  }
  co_await sessions.wait_until_empty();
  services.reaped = true;
}

}  // namespace sallyport::keeper
