#include "broker/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace sallyport {

Options parse_options(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Sallyport's broker: owns the Docker socket and serves each sandboxed worker a small, filtered Docker API.");
  app.set_version_flag("--version", std::string(SALLYPORT_VERSION));
  app.add_option("--config", options.config_file,
                 "configuration file (default " + std::string(kDefaultConfigFile) + ")");
  app.add_option("--profile-dir", options.profile_directory, "where profiles are read, instead of the file's");
  app.add_option("--state-dir", options.state_directory, "where the ledger is kept, instead of the file's");
  app.add_option("--log-dir", options.log_directory, "where the audit trail is written, instead of the file's");
  app.add_option("--runtime-dir", options.runtime_directory, "where sockets and locks are made, instead of the file's");
  app.add_option("--docker-socket", options.docker_socket, "dockerd's socket, instead of the file's");
  auto* private_fd = app.add_option("--private-fd", options.private_fd,
                                    "serve only the launcher connected to this descriptor, then exit");
  app.add_flag("--reap-only", options.reap_only, "remove what an earlier broker left, then exit")->excludes(private_fd);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  return options;
}

Result<BrokerConfig> configure(const Options& options) {
  BrokerConfig config = TRY(find_config(options.config_file));
  const struct {
    const char* name;
    const std::optional<std::string>& given;
    std::string& place;
  } places[] = {
      {"--profile-dir", options.profile_directory, config.profile_directory},
      {"--state-dir", options.state_directory, config.state_directory},
      {"--log-dir", options.log_directory, config.log_directory},
      {"--runtime-dir", options.runtime_directory, config.runtime_directory},
      {"--docker-socket", options.docker_socket, config.docker_socket},
  };
  for (const auto& [name, given, place] : places) {
    if (!given) continue;
    if (!given->starts_with('/')) return fail(std::string(name) + " " + *given + ": must be an absolute path");
    place = *given;
    while (place.size() > 1 && place.ends_with('/')) place.pop_back();
  }
  TRY(check_usable(config));
  TRY(check_span(config.uid_span));
  return config;
}

}  // namespace sallyport
