// BOTH SIDES. Lines for the people who run a host, on stderr (systemd's journal). Not the audit trail.
// The implementation is linked per program: spdlog in the broker, plain write(2) in static programs.
#pragma once

#include <string_view>

namespace sallyport::log {

void debug(std::string_view line);  // only where SALLYPORT_DEBUG is set
void info(std::string_view line);
void warning(std::string_view line);
void error(std::string_view line);

}  // namespace sallyport::log
