#include "launcher/options.hpp"

#include <unistd.h>

#include <array>
#include <charconv>

#include "sallyport/ids.hpp"

namespace sallyport::launcher {
namespace {

struct PlaceOption {
  std::string_view name;
  std::optional<std::string> Options::* value;
};
constexpr std::array kPlaceOptions = {
    PlaceOption{"--config", &Options::config},
    PlaceOption{"--profile-dir", &Options::profile_directory},
    PlaceOption{"--state-dir", &Options::state_directory},
    PlaceOption{"--log-dir", &Options::log_directory},
    PlaceOption{"--runtime-dir", &Options::runtime_directory},
    PlaceOption{"--docker-socket", &Options::docker_socket},
};

Result<> set_status_fd(Options& options, const std::string& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0)
    return fail("--status-fd " + text + ": not the number of a descriptor");
  options.status_fd = number;
  return {};
}

Result<> set_option(Options& options, const std::string& name, const std::string& value) {
  for (const PlaceOption& place : kPlaceOptions) {
    if (name != place.name) continue;
    if (value.empty()) return fail(name + ": needs a value");
    options.*place.value = value;
    return {};
  }
  if (name == "--status-fd" && options.verb == Options::Verb::Run) return set_status_fd(options, value);
  return fail("unknown option " + name + "\n" + usage_of(options.verb));
}

Result<> set_subject(Options& options, const std::string& argument) {
  if (!options.subject.empty())
    return fail("unexpected argument " + argument +
                (options.verb == Options::Verb::Run ? ": a command goes after --" : ""));
  const std::size_t colon = argument.find(':');
  options.subject = argument.substr(0, colon);
  if (colon == 0) return fail(argument + ": no profile before the ':'; a profile's name is [a-z0-9][a-z0-9_-]*");
  if (colon == std::string::npos) return {};
  options.instance = argument.substr(colon + 1);
  if (options.verb == Options::Verb::Kill || !ProfileName::parse(options.instance))
    return fail(argument + ": " +
                (options.verb == Options::Verb::Kill
                     ? "a session's id has no ':'"
                     : "an instance is PROFILE:NAME, its name [a-z0-9][a-z0-9_-]*, at most 32 characters"));
  return {};
}

}  // namespace

Result<Options> parse_options(Options::Verb verb, const std::vector<std::string>& arguments) {
  Options options;
  options.verb = verb;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      if (verb == Options::Verb::Kill) return fail("kill takes no command");
      options.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
      if (options.command.empty())
        return fail("nothing follows --: give a command, or leave out -- for the profile's own");
      break;
    }
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument == "--private-broker" && verb == Options::Verb::Run) {
      options.private_broker = true;
    } else if (argument == "--retry" && verb == Options::Verb::Run) {
      options.retry = true;
    } else if (argument.starts_with("-")) {
      const std::size_t equals = argument.find('=');
      if (equals != std::string::npos) {
        TRY(set_option(options, argument.substr(0, equals), argument.substr(equals + 1)));
      } else {
        if (i + 1 == arguments.size() || arguments[i + 1].empty()) TRY(set_option(options, argument, ""));
        TRY(set_option(options, argument, arguments[i + 1]));
        ++i;
      }
    } else {
      TRY(set_subject(options, argument));
    }
  }
  if (options.subject.empty())
    return fail((verb == Options::Verb::Kill ? "no session given\n" : "no profile given\n") + usage_of(verb));
  return options;
}

std::string usage_of(Options::Verb verb) {
  constexpr const char* kPlaces =
      "  --config FILE         broker.toml (default /etc/sallyport/broker.toml)\n"
      "  --profile-dir DIR, --state-dir DIR, --log-dir DIR, --runtime-dir DIR, --docker-socket PATH\n"
      "                        instead of the places that FILE names\n";
  switch (verb) {
    case Options::Verb::Run:
      return std::string("usage: sallyport run [options] PROFILE[:INSTANCE] [-- COMMAND...]\n") + kPlaces +
             "  --status-fd N         write one line of JSON to descriptor N: how the worker ended, for certain\n"
             "  --private-broker      a broker of this run's own, which ends with it\n"
             "  --retry               wait for a broker that does not open the session yet, and for free uids\n"
             "exit code: the worker's, 128+n if signal n ended it, 124 if its time was up, 78 if the profile, "
             "broker.toml\n"
             "or the command line is wrong or names what is not there (with --retry never the worker's own), 125 if "
             "the\n"
             "sandbox could not be built or the broker ended the session\n";
    case Options::Verb::Plan:
      return std::string("usage: sallyport plan [options] PROFILE[:INSTANCE] [-- COMMAND...]\n") + kPlaces;
    case Options::Verb::Kill: return std::string("usage: sallyport kill [options] SESSION\n") + kPlaces;
  }
  return "";
}

Result<BrokerConfig> configuration(const Options& options) {
  BrokerConfig config = TRY(find_config(options.config));
  if (options.profile_directory) config.profile_directory = *options.profile_directory;
  if (options.state_directory) config.state_directory = *options.state_directory;
  if (options.log_directory) config.log_directory = *options.log_directory;
  if (options.runtime_directory) config.runtime_directory = *options.runtime_directory;
  if (options.docker_socket) config.docker_socket = *options.docker_socket;
  TRY(check_usable(config));
  return config;
}

}  // namespace sallyport::launcher
