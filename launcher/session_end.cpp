#include "launcher/session_end.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "launcher/say.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/poll_time.hpp"

namespace sallyport::launcher {
namespace {

using Clock = std::chrono::steady_clock;

// True where that was its last word. `has_ended`: it has said why it ended the session; it closes when all is gone.
bool hear(BrokerSession& session, bool& has_ended) {
  const auto [word, text] = session.last_word();
  switch (word) {
    case BrokerSession::Word::Done: return true;
    case BrokerSession::Word::Notice: complain(text); return false;
    case BrokerSession::Word::Ended: has_ended = true; return false;
    case BrokerSession::Word::LeftBehind:
      complain("the session has ended, and the broker goes on to remove what is left of it: " + text);
      return false;
    case BrokerSession::Word::Closed:
      if (has_ended) return true;
      complain(text +
               " before it said that everything of the session is removed; the next broker removes what is left");
      return true;
  }
  return true;
}

}  // namespace

void wait_for_session_end(BrokerSession& session, Signals& signals, Outcome& outcome) {
  const auto begin = Clock::now();
  bool said = false;
  bool has_ended = outcome.ended == Outcome::Ended::BrokerGone;  // or it has died, and that has been said
  const auto say = [&said](const char* then) {
    said = true;
    complain(std::string("waiting until the broker has removed the session's containers") + then);
  };
  // Asked each time: saying so changes it, and takes a while where nobody reads stderr.
  const auto until = [&] { return begin + (said ? limits::kLauncherWaits : limits::kLauncherSaysItWaits); };
  for (bool was_asked = false;;) {
    std::array<pollfd, 2> entries = {pollfd{session.descriptor(), POLLIN, 0}, pollfd{signals.descriptor(), POLLIN, 0}};
    const int ready = ::poll(entries.data(), entries.size(), milliseconds_until(until()));
    if (ready < 0 && errno != EINTR) return complain(fail_errno("wait for the session's end").error().text());
    const int wish = ready > 0 && entries[1].revents != 0 ? wish_to_end(signals.pending()) : 0;
    if (wish != 0) {
      outcome.asked_to_end_by = wish;
      if (was_asked) return complain("not waiting any longer; the broker goes on to remove them");
      was_asked = true;
      say("; ask again to leave that to it");
    }
    if (ready > 0 && entries[0].revents != 0 && hear(session, has_ended)) return;
    if (Clock::now() < until()) continue;
    if (said)
      return complain("the broker has not said within " + std::to_string(limits::kLauncherWaits.count()) +
                      " s that everything of the session is removed; it goes on, and its log says why");
    say("");
  }
}

}  // namespace sallyport::launcher
