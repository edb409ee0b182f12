#include "broker/keeper/late_creates.hpp"

#include <algorithm>
#include <utility>

#include "broker/keeper/budget.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::chrono::seconds kLookAgain{2};

net::awaitable<void> look(Services& services, SessionId session, LedgerFile ledger, Leftovers intents,
                          Clock::time_point give_up) {
  std::string said;
  RetryPause pause(kLookAgain, kLookAgain);
  std::chrono::milliseconds next = kLookAgain;
  while (!intents.empty()) {
    co_await async::sleep_for(next);
    const std::size_t before = intents.size();
    const auto removed =
        co_await remove_containers(services.docker, services.broker, session, intents, Clock::now() > give_up);
    next = pause.after(removed, intents.size() < before);
    const std::string why = removed ? "" : removed.error().text();
    if (std::exchange(said, why) != why && !why.empty())
      log::warning("late creates of session " + session.text() + ": " + why + "; trying until it is done",
                   {.session = session.text()});
  }
  ledger.remove();
  log::info("session " + session.text() + ": none of its late creates is left", {.session = session.text()});
}

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::chrono::seconds late_creates_may_take(std::int64_t ended) {
  const std::chrono::seconds passed(std::max<std::int64_t>(seconds_since_epoch() - ended, 0));  // the clock may be set
  return std::max<std::chrono::seconds>(kLateCreate - passed, std::chrono::seconds(0));
}

void let_go_of_ledger(Services& services, const SessionId& session, LedgerFile ledger, Leftovers intents,
                      std::optional<std::int64_t> ended) {
  if (intents.empty()) return ledger.remove();
  if (!ended) {
    ended = seconds_since_epoch();
    if (const auto written = ledger.ended(*ended); !written) log::warning(written.error().text());
    log::info("session " + session.text() + " has ended, and " + std::to_string(intents.size()) +
                  " of its creates may still make a container: looked for, and removed when it appears",
              {.session = session.text()});
  }
  services.tasks.spawn(
      "late creates of session " + session.text(),
      look(services, session, std::move(ledger), std::move(intents), Clock::now() + late_creates_may_take(*ended)));
}

}  // namespace sallyport::keeper
