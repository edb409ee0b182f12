// broker.toml: the same strictness, and who is let in.
#include "sallyport/profile/config.hpp"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

TEST(Config, ThatIsEmptyHasTheDefaultsAndLetsOnlyRootIn) {
  const auto config = parse_config("", "broker.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->control_socket(), "/run/sallyport/broker.sock");
  EXPECT_EQ(config->user, "sallyport");
  EXPECT_TRUE(config->open.empty());
}

TEST(Config, HoldsWhatTheFileSays) {
  const auto config = parse_config(R"(
profile_directory = "/srv/profiles"
state_directory = "/srv/state"
log_directory = "/srv/log"
runtime_directory = "/srv/run"
docker_socket = "/srv/docker.sock"
user = "daemon"
uid_span = "300000-300063"
max_sessions = 4
[[open]]
profile = "worker"
users = ["root", 1234, "4321"]
[[open]]
profile = "other"
groups = ["daemon"]
)",
                                   "broker.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->profile_directory, "/srv/profiles");
  EXPECT_EQ(config->state_directory, "/srv/state");
  EXPECT_EQ(config->log_directory, "/srv/log");
  EXPECT_EQ(config->control_socket(), "/srv/run/broker.sock");
  EXPECT_EQ(config->docker_socket, "/srv/docker.sock");
  EXPECT_EQ(config->user, "daemon");
  EXPECT_EQ(config->uid_span.first, 300000U);
  EXPECT_EQ(config->uid_span.last, 300063U);
  EXPECT_EQ(config->max_sessions, 4U);
  ASSERT_EQ(config->open.size(), 2U);
  EXPECT_EQ(config->open[0].profile.text(), "worker");
  EXPECT_EQ(config->open[0].uids, (std::vector<std::uint32_t>{0, 1234, 4321}));
  EXPECT_EQ(config->open[1].gids, std::vector<std::uint32_t>{1});
}

TEST(Config, ServesNoMoreSessionsThanItsSpanHasRangesFor) {
  const auto config = parse_config("uid_span = \"300000-300031\"", "broker.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->max_sessions, 2U);
}

struct RefusedCase {
  const char* text;
  const char* error;
};
TEST(Config, ShowsClientsAVersionThatIsWrittenAsDockersOwn) {
  EXPECT_EQ(parse_config("", "f")->docker_version, "");
  for (const char* version :
       {"28.5.2", "20.10.24+dfsg1", "27.0.0-rc.1", "1.2.3~x", "12345678.12345678.12345678901234"}) {
    const auto config = parse_config("docker_version = \"" + std::string(version) + "\"", "f");
    ASSERT_TRUE(config) << version;
    EXPECT_EQ(config->docker_version, version);
  }
  for (const char* version : {"", "28", "28.5", "28.5.", "v28.5.2", "28.5.x", ".5.2", "28..2", "28.5.2 ", "28.5.2\\n",
                              "28.5.2x", "28.5.2+a\\u00e9", "12345678.12345678.123456789012345"}) {
    const auto config = parse_config("docker_version = \"" + std::string(version) + "\"", "f");
    ASSERT_FALSE(config) << version;
    EXPECT_NE(config.error().text().find("docker_version must be MAJOR.MINOR.PATCH"), std::string::npos)
        << config.error().text();
  }
}

TEST(Config, RefusesWithPlaceKeyAndRemedy) {
  const RefusedCase cases[] = {
      {"state_dir = \"/x\"", "b.toml:1: key state_dir is not known"},
      {"state_directory = \"x\"", "b.toml:1: key state_directory must be an absolute path"},
      {"user = \"root\"", "must not be root"},
      {"user = 0", "must not be root"},
      {"user = \"00\"", "must not be root"},
      {"uid_span = \"65535-65551\"", "65536 or above"},
      {"uid_span = \"200000\"", "must be FIRST-LAST"},
      {"uid_span = \"200000-200014\"", "room for one session"},
      {"uid_span = \"300000-200000\"", "must be FIRST-LAST"},
      {"uid_span = \"200000-4294967294\"", "must be FIRST-LAST"},
      {"max_sessions = 0", "the least is 1"},
      {"max_sessions = 1025", "the most is 1024"},
      {"uid_span = \"200000-200031\"\nmax_sessions = 3",
       "b.toml:2: key max_sessions is 3, but uid_span has room for 2"},
      {"[[open]]\nusers = [1]", "b.toml:1: key open.profile is missing"},
      {"[[open]]\nprofile = \"../etc\"\nusers = [1]", "b.toml:2: key open.profile is not a valid profile name"},
      {"[[open]]\nprofile = \"worker\"", "lets nobody in"},
      {"[[open]]\nprofile = \"worker\"\nusers = [\"no-such-user-here\"]",
       "b.toml:3: key open.users cannot be resolved"},
      {"[[open]]\nprofile = \"worker\"\nusers = [-1]", "must be a list of names or numbers"},
      {"[[open]]\nprofile = \"worker\"\nusers = [4294967295]", "cannot be resolved"},
      {"[open]\nprofile = \"worker\"", "write [[open]]"},
      {"[[open]]\nprofile = \"worker\"\nusers = [1]\nuser = 2",
       "b.toml:4: key open.user is not known; did you mean open.users?"},
      {"[[open]]\nprofile = \"worker\"\nusers = [0, -1]", "must be a list of names or numbers"},
  };
  for (const RefusedCase& one : cases) {
    const auto config = parse_config(one.text, "b.toml");
    ASSERT_FALSE(config) << one.text;
    EXPECT_NE(config.error().text().find(one.error), std::string::npos) << one.text << "\n" << config.error().text();
  }
}

TEST(Accounts, AreReadFromTheSystemsFilesOrTakenAsNumbers) {
  EXPECT_EQ(resolve_user("root").value(), 0U);
  EXPECT_EQ(resolve_group("daemon").value(), 1U);
  EXPECT_EQ(resolve_user("12345").value(), 12345U);
  for (const char* wrong : {"", "roo", "root:x", "-1", "4294967295", "99999999999999999999", "no-such-user-here",
                            "root:x:0", "r", "roots", "ROOT", "root "})
    EXPECT_FALSE(resolve_user(wrong)) << wrong;
  EXPECT_EQ(resolve_user("4294967294").value(), 4'294'967'294U);
}

}  // namespace
}  // namespace sallyport
