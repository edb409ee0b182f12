#include "broker/keeper/reaper.hpp"

#include "broker/keeper/budget.hpp"
#include "broker/keeper/removal.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::chrono::milliseconds kRetry{250};

net::awaitable<void> reap_one(Services& services, const LeftLedger& left) {
  const LedgerRecord& record = left.record;
  Leftovers leftovers = record.containers;
  const std::size_t count = leftovers.size();
  const auto settled = Clock::now() + kIntentsSettle;
  while (!leftovers.empty()) {
    (void)co_await remove_containers(services.docker, services.broker, record.session, leftovers,
                                     Clock::now() > settled);
    if (!leftovers.empty()) co_await async::sleep_for(kRetry);
  }
  const protocol::spawner::ToSpawner remove_cgroup =
      protocol::spawner::RemoveCgroup{record.session, record.systemd_cgroups};
  if (const auto removed = co_await services.spawner.ask(remove_cgroup); !removed) log::error(removed.error().text());
  AuditRecord entry;
  entry.event = Event::Reap;
  entry.weight = Weight::Closing;
  entry.session = record.session.text();
  entry.profile = record.profile.text();
  entry.rule = "broker.restart";
  entry.reason = "left by an earlier broker; " + std::to_string(count) + " containers were on its ledger";
  if (const auto written = services.audit.write(entry); !written) log::error(written.error().text());
  remove_ledger(left.path);
  log::info("reaped what session " + record.session.text() + " of an earlier broker left");
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
