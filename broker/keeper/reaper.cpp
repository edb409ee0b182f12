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

constexpr std::chrono::milliseconds kFirstRetry{250};
constexpr std::chrono::milliseconds kFirstLeftRetry{2000};  // of what an ending has tried for some time
constexpr std::chrono::milliseconds kLastRetry{3000};       // soon enough where dockerd was away

std::string name_of(const LeftSession& left) {
  return "session " + left.session.text() + (left.is_earlier ? " of an earlier broker" : "");
}

log::About about(const LeftSession& left) { return {.session = left.session.text(), .profile = left.profile.text()}; }

// Into the broker's log each new reason once, and into what an opener is told.
void tell(Services& services, const SessionId& session, const std::string& why) {
  const auto left = services.left.find(session.text());
  if (left == services.left.end() || left->second.why == why) return;
  left->second.why = why;
  log::warning(name_of(left->second) + ": " + why + "; trying until it is done", about(left->second));
}

void tell(Services& services, const SessionId& session, const NotRemoved& left) {
  tell(services, session, left.why);
  if (const auto found = services.left.find(session.text()); found != services.left.end())
    found->second.is_refused = left.is_refused;
}

net::awaitable<void> kill_left(Services& services, LedgerRecord record) {
  const auto killed = co_await services.spawner.ask(spawner::TakeOver{record.session, record.uid_base});
  const auto* failed = killed ? std::get_if<spawner::SpawnFailed>(&killed->message) : nullptr;
  if (failed != nullptr)
    tell(services, record.session, failed->reason.value);  // killed again with its cgroup's removal
}

// What dockerd is asked to remove next. Where it has refused, one container: each may cost it as much, so that many of
// one session cost no more than one. The one behind `last`, by name.
Leftovers next_of(const Leftovers& leftovers, bool is_refused, const std::string& last) {
  const auto has_id = [](const auto& entry) { return !entry.second.empty(); };
  if (!is_refused || std::ranges::none_of(leftovers, has_id)) return leftovers;
  auto next = std::find_if(leftovers.upper_bound(last), leftovers.end(), has_id);
  if (next == leftovers.end()) next = std::ranges::find_if(leftovers, has_id);
  return {*next};
}

bool only_intents(const Leftovers& leftovers) {
  return std::ranges::all_of(leftovers, [](const auto& entry) { return entry.second.empty(); });
}

// Removes the containers, but for intents of which dockerd shows nothing: it returns them. Where their session has
// ended already, which has waited for those, one look is enough.
net::awaitable<Leftovers> remove_left(Services& services, const LedgerRecord& record, Places& places, RetryPause pause,
                                      bool is_refused) {
  using std::chrono::seconds;
  Leftovers leftovers = record.containers;
  const auto settled = Clock::now() + (record.ended || record.closed ? seconds(0) : kIntentsSettle);
  const bool is_too_late = record.ended && late_creates_may_take(*record.ended) == seconds(0);
  std::string last;
  while (!leftovers.empty()) {
    Leftovers asked = next_of(leftovers, is_refused, last);
    const Leftovers before = asked;
    last = asked.rbegin()->first;
    Places::Place place = co_await places.take();
    const bool has_settled = Clock::now() >= settled;
    const auto removed =
        co_await remove_containers(services.docker, services.broker, record.session, asked, is_too_late);
    place.reset();
    for (const auto& [name, id] : before)
      if (!asked.contains(name)) leftovers.erase(name);
    if (leftovers.empty() || (removed && has_settled && only_intents(leftovers))) break;
    is_refused = !removed && removed.error().is_refused;
    if (!removed) tell(services, record.session, removed.error());
    co_await async::sleep_for(pause.after(removed, asked.size() < before.size()));
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
  const std::string containers = std::to_string(record.containers.size()) + " containers";
  entry.rule = record.closed ? "session.left" : "broker.restart";
  entry.reason = record.closed ? containers + " that were left at its end are removed"
                               : "left by an earlier broker; " + containers +
                                     " were on its ledger; what its gate and relay had not told yet is missing";
  AuditQuota& quota = services.accounts.of(record.profile).quota();
  if (const auto written = services.audit.write(entry, quota); !written) log::error(written.error().text());
  if (const auto left = services.left.find(record.session.text()); left != services.left.end())
    log::info("reaped what " + name_of(left->second) + " left", about(left->second));
  co_return Result<>{};
}

Places& places_of(Services& services) {
  if (!services.reaped)
    services.reaped = std::make_shared<Places>(services.executor, limits::kMaxReapedAtOnce, limits::kKeepsPlace);
  return *services.reaped;
}

net::awaitable<void> remove_and_finish(Services& services, LeftLedger left, RetryPause pause, bool is_refused) {
  const LedgerRecord& record = left.record;
  Leftovers intents = co_await remove_left(services, record, places_of(services), pause, is_refused);
  if (!record.ended)
    if (const auto finished = co_await finish_ending(services, record); !finished)
      co_return log::error(finished.error().text());
  services.left.erase(record.session.text());
  auto ledger = LedgerFile::open_left(left.path);
  if (!ledger) co_return log::error(ledger.error().text());
  let_go_of_ledger(services, record.session, std::move(*ledger), std::move(intents), record.ended);
}

net::awaitable<void> reap_one(Services& services, LeftLedger left) {
  if (!left.record.ended) co_await kill_left(services, left.record);
  const RetryPause pause(kFirstRetry, kLastRetry);
  co_await remove_and_finish(services, std::move(left), pause, false);
}

net::awaitable<void> go_on(Services& services, LeftLedger left, bool is_refused) {
  co_await async::sleep_for(kFirstLeftRetry);
  const RetryPause pause(kFirstLeftRetry, kLastRetry);
  co_await remove_and_finish(services, std::move(left), pause, is_refused);
}

}  // namespace

void know_what_is_left(Services& services, const std::vector<LeftLedger>& left) {
  for (const auto& [path, record] : left)
    if (!record.ended)
      services.left[record.session.text()] = {record.session, record.profile, record.uid_base,
                                              "it is about to be removed"};
}

const LeftSession* left_in_the_way(const Services& services, std::uint32_t uid_base) {
  for (const auto& [id, left] : services.left)
    if (left.uid_base != 0 && uid_base != 0 && uid_ranges_overlap(left.uid_base, uid_base)) return &left;
  return nullptr;
}

Result<> may_leave_more(const Services& services, const ProfileName& profile) {
  const LeftSession* one = nullptr;
  std::size_t count = 0;
  for (const auto& [id, left] : services.left) {
    if (!left.is_refused || left.profile.text() != profile.text()) continue;
    one = &left;
    ++count;
  }
  if (count < limits::kMaxLeftOfProfile) return {};
  return fail_for_now(
      "profile " + profile.text() + " has " + std::to_string(count) +
      " ended sessions with containers that dockerd does not remove, and opens no more until one of them is gone: "
      "session " +
      one->session.text() + ": " + one->why);
}

void go_on_removing(Services& services, LeftLedger left, const NotRemoved& why) {
  const LedgerRecord& record = left.record;
  services.left[record.session.text()] = {record.session, record.profile, record.uid_base,
                                          why.why,        false,          why.is_refused};
  log::warning("session " + record.session.text() + " has ended, but for " + std::to_string(record.containers.size()) +
                   " containers: " + why.why + "; trying until it is done, ever more seldom. Uid range " +
                   std::to_string(record.uid_base) + " is kept from others until then, as are those of " +
                   std::to_string(services.left.size() - 1) + " more sessions",
               {record.session.text(), record.profile.text()});
  const std::string task = "remove what session " + record.session.text() + " left";
  services.tasks.spawn(task, go_on(services, std::move(left), why.is_refused));
}

net::awaitable<void> reap(Services& services, std::vector<LeftLedger> left, async::TaskGroup::OnBug on_bug) {
  async::TaskGroup sessions(services.executor, std::move(on_bug));
  if (!services.left.empty())
    log::info(std::to_string(services.left.size()) + " sessions of an earlier broker are killed and removed");
  // Each asks for the kill before it does anything else, so all are asked for before the first container is removed.
  for (LeftLedger& ledger : left) sessions.spawn("reap", reap_one(services, std::move(ledger)));
  co_await sessions.wait_until_empty();
}

}  // namespace sallyport::keeper
