// TRUSTED SIDE. The broker's lines for people: under a unit in the journal, with priority and fields, else through
// spdlog (compiled library; included here alone). Lines can carry text that a worker chose, so everything outside
// printable ASCII is shown as '?': a line is a line.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include "sallyport/ids.hpp"
#include "sallyport/log.hpp"
#include "sallyport/service_manager.hpp"

namespace sallyport::log {

namespace {

spdlog::logger& logger() {
  // Made at the first line, or when the program gets ready: tzset opens /etc/localtime.
  static const std::shared_ptr<spdlog::logger> kLogger = [] {
    ::tzset();
    auto line_logger = std::make_shared<spdlog::logger>("sallyport", std::make_shared<spdlog::sinks::stderr_sink_st>());
    line_logger->set_level(std::getenv("SALLYPORT_DEBUG") != nullptr ? spdlog::level::debug : spdlog::level::info);
    const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;  // which stamps each line itself
    line_logger->set_pattern(journal ? "%l: %v" : "%Y-%m-%d %H:%M:%S sallyport-broker[%P] %l: %v",
                             spdlog::pattern_time_type::utc);
    line_logger->flush_on(spdlog::level::debug);
    return line_logger;
  }();
  return *kLogger;
}

std::string printable(std::string_view line) {
  std::string text(line);
  for (char& c : text)
    if (!detail::is_printable_ascii(c)) c = '?';
  return text;
}

// One socket for all processes of the broker. A lazy one would be made behind the filter, which kills for it.
std::optional<Journal>& journal() {
  static std::optional<Journal> only;
  return only;
}

void put(std::string_view line, const About& about, spdlog::level::level_enum level, Priority priority) {
  if (!logger().should_log(level)) return;
  const std::string text = printable(line);
  const std::array fields = {JournalField{"SYSLOG_IDENTIFIER", "sallyport-broker"},
                             JournalField{"SALLYPORT_SESSION", about.session},
                             JournalField{"SALLYPORT_PROFILE", about.profile}};
  if (!journal() || !journal()->send(priority, text, fields)) logger().log(level, "{}", text);
}

}  // namespace

void get_ready() {
  journal() = Journal::behind_stderr();
  (void)logger();
}
void debug(std::string_view line, const About& about) { put(line, about, spdlog::level::debug, Priority::Debug); }
void info(std::string_view line, const About& about) { put(line, about, spdlog::level::info, Priority::Info); }
void warning(std::string_view line, const About& about) { put(line, about, spdlog::level::warn, Priority::Warning); }
void error(std::string_view line, const About& about) { put(line, about, spdlog::level::err, Priority::Error); }

}  // namespace sallyport::log
