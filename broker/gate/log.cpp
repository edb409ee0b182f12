// The four functions of log.hpp for a program without a logger: one write(2) to stderr.
#include "sallyport/log.hpp"

#include <unistd.h>

#include <string>

namespace sallyport::log {

namespace {
void put(std::string_view level, std::string_view line) {
  const std::string text = std::string(level) + std::string(line) + "\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, text.data(), text.size());
}
}  // namespace

void get_ready() {}
void debug(std::string_view line, const About&) { put("debug: ", line); }
void info(std::string_view line, const About&) { put("", line); }
void warning(std::string_view line, const About&) { put("warning: ", line); }
void error(std::string_view line, const About&) { put("error: ", line); }

}  // namespace sallyport::log
