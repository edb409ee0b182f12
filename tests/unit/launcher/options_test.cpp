// Command lines: each form that is taken, and each mistake with the words that it gets.
#include "launcher/options.hpp"

namespace sallyport::launcher {
namespace {

using Arguments = std::vector<std::string>;

Options parsed(const Arguments& arguments, Options::Verb verb = Options::Verb::Run) {
  auto options = parse_options(verb, arguments);
  EXPECT_TRUE(options) << options.error().text();
  return options.value_or(Options{});
}
std::string refused(const Arguments& arguments, Options::Verb verb = Options::Verb::Run) {
  const auto options = parse_options(verb, arguments);
  EXPECT_FALSE(options);
  return options ? "" : options.error().text();
}

TEST(Run, TakesAProfileAndACommandAfterTwoDashes) {
  const Options options = parsed({"worker", "--", "echo", "--help", "--"});
  EXPECT_EQ(options.subject, "worker");
  EXPECT_EQ(options.command, (Arguments{"echo", "--help", "--"}));
  EXPECT_FALSE(options.help);
}

TEST(Run, TakesPlacesWithAndWithoutAnEqualsSign) {
  const Options options = parsed({"--config", "/a", "--runtime-dir=/b=c", "--status-fd", "7", "--private-broker", "w"});
  EXPECT_EQ(options.config, "/a");
  EXPECT_EQ(options.runtime_directory, "/b=c");
  EXPECT_EQ(options.status_fd, 7);
  EXPECT_TRUE(options.private_broker);
}

TEST(Run, RefusesWhatItDoesNotUnderstand) {
  EXPECT_NE(refused({}).find("no profile"), std::string::npos);
  EXPECT_NE(refused({"w", "x"}).find("after --"), std::string::npos);
  EXPECT_NE(refused({"w", "--"}).find("nothing follows"), std::string::npos);
  EXPECT_NE(refused({"--shell", "w"}).find("--shell"), std::string::npos);
  EXPECT_NE(refused({"--config"}).find("needs a value"), std::string::npos);
  EXPECT_NE(refused({"--config="}).find("needs a value"), std::string::npos);
  for (const char* number : {"x", "-1", "3x", "99999999999", ""})
    EXPECT_FALSE(parse_options(Options::Verb::Run, {"--status-fd", number, "w"})) << number;
}

TEST(Kill, TakesASessionAndNothingElse) {
  EXPECT_EQ(parsed({"abcdef012345"}, Options::Verb::Kill).subject, "abcdef012345");
  EXPECT_NE(refused({"abcdef012345", "--", "x"}, Options::Verb::Kill).find("no command"), std::string::npos);
  EXPECT_FALSE(parse_options(Options::Verb::Kill, {"--private-broker", "abcdef012345"}));
  EXPECT_FALSE(parse_options(Options::Verb::Kill, {"--status-fd", "1", "abcdef012345"}));
}

TEST(Help, IsGivenBeforeAnythingIsRequired) { EXPECT_TRUE(parsed({"--help"}).help); }

TEST(Configuration, IsAnErrorWhereItWasNamedAndIsMissing) {
  Options options = parsed({"--config", "/nonexistent/broker.toml", "w"});
  EXPECT_FALSE(configuration(options));
}

}  // namespace
}  // namespace sallyport::launcher
