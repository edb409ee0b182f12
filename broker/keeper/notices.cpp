#include "broker/keeper/notices.hpp"

#include "sallyport/handshake.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

bool notice(Session& session, const std::string& kind, const std::string& text) {
  NoticesOfAKind& of_kind = session.notices[kind];
  const auto now = Clock::now();
  if (of_kind.told && now - *of_kind.told < limits::kNoticeEvery) {
    ++of_kind.untold;
    return false;
  }
  std::string line = text;
  if (of_kind.untold > 0) line += " (and " + std::to_string(of_kind.untold) + " times more since the last such line)";
  of_kind = {now, 0};
  log::warning("session " + session.id.text() + ": " + line, session.about());
  // A launcher that does not read misses a line that the log has.
  if (session.control && session.control->is_open())
    (void)session.control->send(
        encode_message(handshake::FromKeeper(handshake::Notice{line.substr(0, limits::kMaxReasonBytes)})));
  return true;
}

}  // namespace sallyport::keeper
