// BOTH SIDES. Lines for the people who run a host, on stderr (systemd's journal). Not the audit trail.
// The implementation is linked per program: spdlog in the broker, plain write(2) in static programs.
#pragma once

#include <string_view>

namespace sallyport::log {

// Opens what lines need. Called once, before the program locks itself down, and when the caller's descriptors are
// closed.
void get_ready();

// Of what a line is, where the journal has a field for it; "" is left out.
struct About {
  std::string_view session, profile;  // must live as long as the call
};

void debug(std::string_view line, const About& about = {});  // only where SALLYPORT_DEBUG is set
void info(std::string_view line, const About& about = {});
void warning(std::string_view line, const About& about = {});
void error(std::string_view line, const About& about = {});

}  // namespace sallyport::log
