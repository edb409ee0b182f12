#include "launcher/say.hpp"

#include <limits.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "sallyport/callers_descriptor.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/printable.hpp"

namespace sallyport::launcher {
namespace {

struct Speaker {
  std::string profile, instance, session;
};
Speaker& speaker() {
  static Speaker only;
  return only;
}

// Made at the first line, when the caller's descriptors are closed.
const std::optional<Journal>& journal() {
  static const std::optional<Journal> kJournal = Journal::behind_stderr();
  return kJournal;
}

}  // namespace

void speak_for(std::string_view profile, std::string_view instance) {
  speaker() = {.profile = std::string(profile), .instance = std::string(instance), .session = ""};
}

void speak_of_session(std::string_view session) { speaker().session = session; }

bool say_in_journal(std::string_view what, Priority priority) {
  const Speaker& of = speaker();
  const std::array fields = {
      JournalField{"SYSLOG_IDENTIFIER", "sallyport"}, JournalField{"SALLYPORT_PROFILE", of.profile},
      JournalField{"SALLYPORT_INSTANCE", of.instance}, JournalField{"SALLYPORT_SESSION", of.session}};
  return journal() && journal()->send(priority, printable(what, '\n'), fields);
}

void complain(const std::string& what, Priority priority) {
  if (say_in_journal(what, priority)) return;
  if (journal() && journal()->has_room_within(limits::kSayWithin) && say_in_journal(what, priority)) return;
  const std::string line = ("sallyport: " + printable(what, '\n')).substr(0, PIPE_BUF - 1) + "\n";
  (void)write_within(STDERR_FILENO, line, limits::kSayWithin);  // else its reader does not read
}

bool tell_systemd(const std::string& state) {
  const auto told = notify_systemd(state);
  if (!told) complain(told.error().text());
  return told.has_value();
}

}  // namespace sallyport::launcher
