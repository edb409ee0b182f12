// TRUSTED SIDE. The broker's lines for people, through spdlog (compiled library; included here alone). Lines can carry
// text that a worker chose, so everything outside printable ASCII is shown as '?': a line is a line.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "sallyport/ids.hpp"
#include "sallyport/log.hpp"

namespace sallyport::log {

namespace {

spdlog::logger& logger() {
  // Made at the first line, which every program writes before it locks itself down: tzset opens /etc/localtime.
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

}  // namespace

void debug(std::string_view line) { logger().debug("{}", printable(line)); }
void info(std::string_view line) { logger().info("{}", printable(line)); }
void warning(std::string_view line) { logger().warn("{}", printable(line)); }
void error(std::string_view line) { logger().error("{}", printable(line)); }

}  // namespace sallyport::log
