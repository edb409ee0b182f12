// TRUSTED SIDE. The broker's lines for people: under a unit in the journal, with priority and fields, else through
// spdlog (compiled library; included here alone). Lines can carry text that a worker chose, so everything outside
// printable ASCII is shown as '?': a line is a line.
#include <limits.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include "sallyport/callers_descriptor.hpp"
#include "sallyport/log.hpp"
#include "sallyport/printable.hpp"
#include "sallyport/service_manager.hpp"

namespace sallyport::log {

namespace {

// Never waits: a broker whose stderr nobody reads must go on serving. What is lost is counted, and said when there is
// room again.
class Stderr : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  void get_ready() { descriptor_.get_ready_to_write(); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (lost_ > 0) {
      if (!put(std::to_string(lost_) + " lines of this log are lost: stderr did not take them\n")) return (void)++lost_;
      lost_ = 0;
    }
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    if (!put(std::string(text.data(), text.size()))) ++lost_;
  }
  void flush_() override {}

 private:
  // At most what a pipe takes in one piece.
  bool put(std::string line) {
    if (line.size() > PIPE_BUF) line.replace(PIPE_BUF - 1, std::string::npos, "\n");
    return descriptor_.write(line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }
  CallersDescriptor descriptor_{STDERR_FILENO};
  std::uint64_t lost_ = 0;
};

// One socket for all processes of the broker. A lazy one would be made behind the filter, which kills for it.
std::optional<Journal>& journal() {
  static std::optional<Journal> only;
  return only;
}

spdlog::logger& logger() {
  // Made at the first line, or when the program gets ready: tzset opens /etc/localtime.
  static const std::shared_ptr<spdlog::logger> kLogger = [] {
    ::tzset();
    const auto sink = std::make_shared<Stderr>();
    sink->get_ready();
    auto line_logger = std::make_shared<spdlog::logger>("sallyport", sink);
    line_logger->set_level(std::getenv("SALLYPORT_DEBUG") != nullptr ? spdlog::level::debug : spdlog::level::info);
    // The journal stamps each line itself.
    line_logger->set_pattern(journal() ? "%l: %v" : "%Y-%m-%d %H:%M:%S sallyport-broker[%P] %l: %v",
                             spdlog::pattern_time_type::utc);
    return line_logger;
  }();
  return *kLogger;
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
