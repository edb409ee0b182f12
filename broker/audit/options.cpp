#include "broker/audit/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "sallyport/profile/config.hpp"

namespace sallyport::audit {

Options parse_options(int argc, char** argv) {
  Options options;
  std::optional<std::string> config_file;
  CLI::App app("Prints the audit trail: one line per decision, all that is not printable ASCII escaped.",
               "sallyport audit");
  app.add_option("--session", options.query.session, "only this session (the first digits of its id suffice)");
  app.add_option("--decision", options.query.decision, "only ALLOW or only DENY")
      ->transform(CLI::IsMember({"ALLOW", "DENY"}, CLI::ignore_case));
  app.add_flag("--json", options.query.json, "the records themselves, one JSON object per line, in ASCII");
  app.add_option("--log-dir", options.log_directory,
                 "where the trail is, instead of the configuration's log_directory");
  app.add_option("--config", config_file, "broker.toml, which names the log directory");
  // Every command of sallyport takes the same places, so that one list of options serves them all.
  std::string unused;
  for (const char* name : {"--profile-dir", "--state-dir", "--runtime-dir", "--docker-socket"})
    app.add_option(name, unused, "accepted, not used here");
  app.add_option("FILE", options.files, "files to print instead, in this order");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  if (options.files.empty() && options.log_directory.empty()) {
    const auto config = find_config(config_file);
    if (!config) {
      std::fprintf(stderr, "sallyport audit: %s\n", config.error().text().c_str());
      std::exit(2);
    }
    options.log_directory = config->log_directory;
  }
  return options;
}

}  // namespace sallyport::audit
