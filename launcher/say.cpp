#include "launcher/say.hpp"

#include <limits.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "launcher/callers_descriptor.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::launcher {
namespace {

struct Speaker {
  std::string profile, instance, session;
};
Speaker& speaker() {
  static Speaker only;
  return only;
}

}  // namespace

void speak_for(std::string_view profile, std::string_view instance) {
  speaker() = {.profile = std::string(profile), .instance = std::string(instance), .session = ""};
}

void speak_of_session(std::string_view session) { speaker().session = session; }

bool say_in_journal(std::string_view what, Priority priority) {
  // Made at the first line, when the caller's descriptors are closed.
  static const std::optional<Journal> kJournal = Journal::behind_stderr();
  const Speaker& of = speaker();
  const std::array fields = {
      JournalField{"SYSLOG_IDENTIFIER", "sallyport"}, JournalField{"SALLYPORT_PROFILE", of.profile},
      JournalField{"SALLYPORT_INSTANCE", of.instance}, JournalField{"SALLYPORT_SESSION", of.session}};
  return kJournal && kJournal->send(priority, what, fields);
}

void complain(const std::string& what, Priority priority) {
  if (say_in_journal(what, priority)) return;
  const std::string line = ("sallyport: " + what).substr(0, PIPE_BUF - 1) + "\n";
  (void)write_within(STDERR_FILENO, line, limits::kSayWithin);  // else its reader does not read
}

void tell_systemd(const std::string& state) {
  if (const auto told = notify_systemd(state); !told) complain(told.error().text());
}

}  // namespace sallyport::launcher
