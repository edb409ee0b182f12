// TRUSTED SIDE. The broker's command line.
#pragma once

#include <optional>
#include <string>

#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"

namespace sallyport {

struct Options {
  std::optional<std::string> config_file;
  std::optional<std::string> profile_directory;  // these override the file's places
  std::optional<std::string> state_directory;
  std::optional<std::string> log_directory;
  std::optional<std::string> runtime_directory;
  std::optional<std::string> docker_socket;
  std::optional<int> private_fd;  // serve exactly this connected control socket
  bool reap_only = false;         // reap what an earlier broker left, then exit
};

// Prints and exits by itself for --help, --version and a line it cannot read.
Options parse_options(int argc, char** argv);

// The configuration with the overrides applied; a place that is not absolute is refused.
Result<BrokerConfig> configure(const Options& options);

}  // namespace sallyport
