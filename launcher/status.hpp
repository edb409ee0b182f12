// TRUSTED SIDE. The line on --status-fd: how a run ended, for certain. The exit code alone cannot say it, because a
// worker may exit with any.
#pragma once

#include <string>
#include <vector>

#include "launcher/supervise.hpp"

namespace sallyport::launcher {

struct RunRecord {
  std::string profile;
  std::string instance;  // "" where none was named
  std::string session;   // "" where none was opened
  std::vector<std::string> not_enforced;
  Outcome outcome;
};

std::string status_line(const RunRecord& record);  // JSON and a newline
void write_status(int descriptor, const RunRecord& record);

}  // namespace sallyport::launcher
