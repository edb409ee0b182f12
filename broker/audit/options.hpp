// FOR PEOPLE. The command line of `sallyport audit`.
#pragma once

#include <string>
#include <vector>

#include "broker/audit/trail.hpp"

namespace sallyport::audit {

struct Options {
  Query query;
  std::string log_directory;  // from --log-dir, else the configuration's; unused where files are named
  std::vector<std::string> files;
};

// Ends the process for --help (0) and for a command line or configuration that is wrong (2).
Options parse_options(int argc, char** argv);

}  // namespace sallyport::audit
