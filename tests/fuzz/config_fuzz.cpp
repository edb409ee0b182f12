// Any bytes give a configuration or one error; one that is accepted names only absolute places and a usable uid span.
#include <cstdint>
#include <cstdlib>

#include "sallyport/profile/config.hpp"

using namespace sallyport;

static void require(bool holds) {
  if (!holds) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = parse_config({reinterpret_cast<const char*>(data), size}, "broker.toml");
  if (!config) {
    require(config.error().text().starts_with("broker.toml:") &&
            config.error().text().size() < limits::kMaxReasonBytes);
    return 0;
  }
  for (const std::string& place : {config->profile_directory, config->state_directory, config->log_directory,
                                   config->runtime_directory, config->docker_socket})
    require(place.starts_with('/') && place.find("/../") == std::string::npos);
  require(config->uid_span.first >= 65'536 && config->max_sessions >= 1 && config->user != "root");
  require(config->uid_span.last - config->uid_span.first + 1 >= config->max_sessions * limits::kUidsPerSession);
  for (const OpenRule& rule : config->open) require(!rule.profile.empty() && !(rule.uids.empty() && rule.gids.empty()));
  return 0;
}
