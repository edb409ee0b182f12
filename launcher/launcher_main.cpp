// TRUSTED SIDE. `sallyport VERB`: run, plan and kill are built in (a second exec would cost a quarter of a launch),
// every other verb is a program of its own. Called as sallyport-run it is `sallyport run`.
#include <unistd.h>

#include <string>
#include <vector>

#include "launcher/dispatch.hpp"
#include "launcher/run.hpp"
#include "launcher/say.hpp"

namespace sallyport::launcher {
namespace {

constexpr const char* kUsage =
    "usage: sallyport VERB ...\n"
    "  run PROFILE [-- COMMAND...]   run a worker in its sandbox\n"
    "  plan PROFILE [-- COMMAND...]  print what run would do\n"
    "  kill SESSION                  end a session\n"
    "  audit                         print the audit trail\n"
    "  sallyport VERB --help says more\n";

// A unit's command line is as wrong at the next start.
int with_options(Options::Verb verb, int (*act)(const Options&), const std::vector<std::string>& arguments) {
  const auto options = parse_options(verb, arguments);
  if (!options) {
    complain(options.error().text());
    return kMisconfigured;
  }
  if (!options->help) return act(*options);
  const std::string text = usage_of(verb);
  return ::write(STDOUT_FILENO, text.data(), text.size()) < 0 ? 125 : 0;
}

int sallyport(std::vector<std::string> arguments) {
  const std::string name = arguments.empty() ? "sallyport" : arguments.front().substr(arguments.front().rfind('/') + 1);
  if (name == "sallyport-run") arguments.insert(arguments.begin() + 1, "run");
  if (arguments.size() < 2) {
    complain(std::string("no verb given\n") + kUsage);
    return 125;
  }
  const std::string verb = arguments[1];
  const std::vector<std::string> rest(arguments.begin() + 2, arguments.end());
  if (verb == "run") return with_options(Options::Verb::Run, run, rest);
  if (verb == "plan") return with_options(Options::Verb::Plan, print_plan, rest);
  if (verb == "kill") return with_options(Options::Verb::Kill, kill_session, rest);
  if (verb == "--version")
    return ::write(STDOUT_FILENO, "sallyport " SALLYPORT_VERSION "\n", sizeof "sallyport " SALLYPORT_VERSION) < 0;
  if (verb == "--help" || verb == "-h" || verb == "help")
    return ::write(STDOUT_FILENO, kUsage, std::char_traits<char>::length(kUsage)) < 0;
  return dispatch(verb, rest);
}

}  // namespace
}  // namespace sallyport::launcher

int main(int argc, char** argv) { return sallyport::launcher::sallyport(std::vector<std::string>(argv, argv + argc)); }
