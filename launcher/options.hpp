// TRUSTED SIDE. The command lines of `sallyport run`, `plan` and `kill`. Written by hand: a parser library would cost a
// static program that runs for two milliseconds more than it does itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sallyport/profile/config.hpp"
#include "sallyport/result.hpp"

namespace sallyport::launcher {

struct Options {
  enum class Verb : unsigned char { Run, Plan, Kill };
  Verb verb = Verb::Run;
  std::optional<std::string> config;             // --config
  std::optional<std::string> profile_directory;  // --profile-dir, and so on
  std::optional<std::string> state_directory, log_directory, runtime_directory, docker_socket;
  std::optional<int> status_fd;
  bool private_broker = false;
  bool retry = false;  // --retry
  bool help = false;
  std::string subject;               // profile; session for kill
  std::string instance;              // of the profile's workers; "" where it was not named
  std::vector<std::string> command;  // after --
};

Result<Options> parse_options(Options::Verb verb, const std::vector<std::string>& arguments);
std::string usage_of(Options::Verb verb);

// broker.toml, or its defaults where the default file does not exist, with the places that the options override.
Result<BrokerConfig> configuration(const Options& options);

}  // namespace sallyport::launcher
