// What a profile must not say, and how the operator hears of it: line, key and remedy.
#include <gtest/gtest.h>

#include <cctype>

#include "sallyport/profile/profile.hpp"

namespace sallyport {
namespace {

struct RefusedCase {
  const char* sentence;
  const char* text;
  const char* error;  // what the error holds
};

std::string name_of_case(const testing::TestParamInfo<RefusedCase>& info) {
  std::string name;
  bool upper = true;
  for (const char* c = info.param.sentence; *c != '\0'; ++c) {
    if (std::isalnum(static_cast<unsigned char>(*c)) != 0) {
      name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(*c))) : *c;
      upper = false;
    } else {
      upper = true;
    }
  }
  return name;
}

class RefusedProfile : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedProfile, IsRefusedWithPlaceKeyAndRemedy) {
  const auto profile = parse_profile(GetParam().text, *ProfileName::parse("worker"), "p.toml");
  ASSERT_FALSE(profile) << GetParam().sentence;
  EXPECT_NE(profile.error().text().find(GetParam().error), std::string::npos) << profile.error().text();
}

const RefusedCase kKeys[] = {
    {"a misspelt key", "[worker]\ncomand = [\"a\"]",
     "p.toml:2: key worker.comand is not known; did you mean worker.command?"},
    {"a misspelt section", "\n[dokcer]\nallow = []", "p.toml:2: key dokcer is not known; did you mean docker?"},
    {"a key with nothing near it", "[worker]\nxyzzyplugh = 1",
     "p.toml:2: key worker.xyzzyplugh is not known; remove it"},
    {"an unknown nested key", "[docker]\n[docker.budget]\ncontainer = 1",
     "p.toml:3: key docker.budget.container is not known; did you mean docker.budget.containers?"},
    {"an unknown key of a forward", "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"10.0.0.1:1\"\nvia = 1",
     "p.toml:4: key forward.via is not known"},
    {"a key with an escape sequence in its name", "\"\\u001b[2J\" = 1", "p.toml:1: key ?[2J is not known"},
    {"the first of two errors in the file", "[worker]\ndirectory = \"x\"\n[sandbox]\nhostname = \"\"",
     "p.toml:2: key worker.directory"},
    {"a text where a list is wanted", "[worker]\ncommand = \"rq\"",
     "p.toml:2: key worker.command must be a list, not a string"},
    {"a number in a list of strings", "[worker]\ncommand = [\"a\", 1]",
     "p.toml:2: key worker.command must be a list of strings"},
    {"a text where truth is wanted", "[docker.container]\nread_only = \"no\"",
     "p.toml:2: key docker.container.read_only must be true or false, not a string"},
    {"a value where a section is wanted", "worker = 1", "p.toml:1: key worker must be a table, not a whole number"},
    {"a section where a list of sections is wanted", "[forward]\nlisten = \"127.0.0.1:1\"", "write [[forward]]"},
    {"a list of numbers where sections are wanted", "forward = [1]", "write [[forward]]"},
    {"a NUL in a text", "[worker]\ncommand = [\"a\\u0000b\"]", "NUL"},
};
INSTANTIATE_TEST_SUITE_P(Keys, RefusedProfile, testing::ValuesIn(kKeys), name_of_case);

const RefusedCase kValues[] = {
    {"a size with a unit nobody has", "[limits]\nmemory = \"2 gigs\"", "p.toml:2: key limits.memory must be a size"},
    {"a size without a number", "[limits]\nmemory = \"GiB\"", "must be a size"},
    {"a size beyond 64 bits", "[limits]\nmemory = \"99999999999999TiB\"", "must be a size"},
    {"a negative size", "[limits]\nmemory = -1", "must be a size"},
    {"a container below what dockerd takes", "[docker.container]\nmemory = \"1MiB\"", "the least is 6MiB"},
    {"no pids", "[limits]\npids = 0", "is 0; the least is 1"},
    {"negative pids", "[limits]\npids = -3", "is negative"},
    {"more pids than Linux has", "[limits]\npids = 99999999", "the most is 4194304"},
    {"no CPUs", "[limits]\ncpus = 0", "must be a number of CPUs"},
    {"CPUs that are no number", "[limits]\ncpus = nan", "must be a number of CPUs"},
    {"infinite CPUs", "[limits]\ncpus = inf", "must be a number of CPUs"},
    {"a time of zero", "[limits]\ntime = \"0s\"", "must be a duration above zero"},
    {"a time without a unit", "[limits]\ntime = 60", "must be a duration"},
    {"a lifetime of zero", "[docker.budget]\nlifetime = \"0h\"", "must be a duration above zero"},
    {"no containers", "[docker.budget]\ncontainers = 0", "is 0; the least is 1"},
    {"a rate of zero", "[docker.budget]\ncreates = \"0/min\"", "must be a rate above zero"},
    {"a rate in another unit", "[docker.budget]\nrequests = \"5/s\"", "must be a rate"},
    {"an empty command", "[worker]\ncommand = []", "p.toml:2: key worker.command is empty"},
    {"a command of one empty word", "[worker]\ncommand = [\"\"]", "is empty"},
    {"a relative directory", "[worker]\ndirectory = \"tmp\"", "must be an absolute path"},
    {"a directory that climbs", "[worker]\ndirectory = \"/tmp/../etc\"", "must be an absolute path"},
    {"the root of the host as a directory", "[sandbox]\nroot = \"/\"", "other than /"},
    {"a host name with a dot", "[sandbox]\nhostname = \"a.b\"", "must be 1 to 63 letters"},
    {"a variable with a space in its name", "[worker]\nenvironment = { \"A B\" = \"1\" }",
     "is not a name a variable can have"},
    {"a number as a variable", "[worker]\nenvironment = { A = 1 }", "worker.environment.A must be a string"},
    {"a runtime with a slash", "[docker.container]\nruntime = \"/bin/sh\"", "must be a runtime's name"},
    {"an image with a space", "[docker]\nimages = [\"busy box\"]", "is no image or pattern"},
};
INSTANTIATE_TEST_SUITE_P(Values, RefusedProfile, testing::ValuesIn(kValues), name_of_case);

const RefusedCase kContradictions[] = {
    {"more memory for one container than for all",
     "[docker]\n[docker.container]\nmemory = \"2GiB\"\n[docker.budget]\nmemory = \"1GiB\"",
     "p.toml:5: key docker.budget.memory is less than docker.container.memory"},
    {"run without images", "[docker]\nallow = [\"run\"]", "key docker.images is empty"},
    {"run with an empty list of images", "[docker]\nallow = [\"run\"]\nimages = []",
     "p.toml:3: key docker.images is empty"},
    {"two forwards that listen alike",
     "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"10.0.0.1:1\"\n[[forward]]\nlisten = \"127.0.0.1:1\"\nto = "
     "\"10.0.0.2:1\"",
     "p.toml:5: key forward.listen repeats"},
    {"a forward that listens for the network", "[[forward]]\nlisten = \"0.0.0.0:1\"\nto = \"10.0.0.1:1\"",
     "must be a loopback address"},
    {"a forward over our own socket", "[[forward]]\nlisten = \"unix:/run/sallyport/docker.sock\"\nto = \"10.0.0.1:1\"",
     "not docker.sock"},
    {"a forward outside our directory", "[[forward]]\nlisten = \"unix:/tmp/a\"\nto = \"10.0.0.1:1\"",
     "below /run/sallyport/"},
    {"a forward to nowhere", "[[forward]]\nlisten = \"127.0.0.1:1\"", "p.toml:1: key forward.to is missing"},
    {"a forward to a name", "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"redis:6379\"",
     "host names are not looked up"},
    {"a dialer with root's group", "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"10.0.0.1:1\"\ngroup = \"root\"",
     "powers of root"},
    {"a dialer with Docker's group", "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"10.0.0.1:1\"\ngroup = \"docker\"",
     "powers of docker"},
    {"a required limit that is not set", "[limits]\nrequire = [\"memory\"]", "which limits does not set"},
    {"a required word that is no limit", "[limits]\nrequire = [\"disk\"]", "is no limit"},
    {"a variable that sallyport sets", "[worker]\nenvironment = { DOCKER_HOST = \"tcp://x\" }",
     "set by sallyport itself"},
    {"a passed variable that sallyport sets", "[worker]\npass_environment = [\"SALLYPORT_FD\"]",
     "which sallyport sets"},
    {"a variable both set and passed", "[worker]\nenvironment = { A = \"1\" }\npass_environment = [\"A\"]", "sets too"},
    {"a writable root without its word", "[docker.container]\nread_only = false", "add weaken = [\"writable-rootfs\"]"},
    {"a word that weakens nothing", "weaken = [\"writable-rootfs\"]", "remove the word"},
    {"a word that is not known", "weaken = [\"everything\"]", "names a word that is not known"},
};
INSTANTIATE_TEST_SUITE_P(Contradictions, RefusedProfile, testing::ValuesIn(kContradictions), name_of_case);

// What the design has and this version has not: refused by name, never silently ignored.
const RefusedCase kLater[] = {
    {"mounts", "[[docker.mount]]\nsource = \"/srv\"",
     "docker.mount (mounts of host directories) is not available in this version"},
    {"the host's sockets as readable", "[sandbox]\nreadable = [\"/run/docker.sock\"]",
     "/run of the sandbox is sallyport's own"},
    {"the sandbox's own /var/tmp as readable", "[sandbox]\nreadable = [\"/var/tmp\"]", "name what is needed in it"},
    {"a readable path that is not clean", "[sandbox]\nreadable = [\"/opt/../etc\"]", "absolute paths"},
    {"readable without the host's root", "[sandbox]\nroot = \"/srv/root\"\nreadable = [\"/opt/eval\"]",
     "goes with root"},
    {"writable directories", "[sandbox]\nwritable = [\"/srv\"]", "not available in this version"},
    {"a seccomp profile in a file", "[seccomp]\nprofile = \"/etc/x.json\"", "not available in this version"},
    {"a fixed worker user", "[worker]\nuser = \"nobody\"", "worker.user other than \"session\" is not available"},
    {"a fixed container user", "[docker.container]\nuser = \"1000\"", "other than \"session\" is not available"},
    {"a container network", "[docker.container]\nnetwork = \"bridge\"", "other than \"none\" is not available"},
    {"the exec group", "[docker]\nallow = [\"exec\"]", "names exec, which is not available in this version"},
    {"the copy group", "[docker]\nallow = [\"observe\", \"copy\"]",
     "names copy, which is not available in this version"},
    {"a group nobody knows", "[docker]\nallow = [\"ruin\"]", "did you mean run?"},
    {"a forward by host name", "[[forward]]\nlisten = \"api.example:443\"\nto = \"10.0.0.1:1\"",
     "host names are not available"},
    {"the shared uid", "weaken = [\"shared-uid\"]", "not available in this version"},
    {"a seccomp profile that is not shipped", "[seccomp]\nprofile = \"loose\"", "is not a shipped profile"},
};
INSTANTIATE_TEST_SUITE_P(Later, RefusedProfile, testing::ValuesIn(kLater), name_of_case);

const RefusedCase kSyntax[] = {
    {"what toml++ asserts on", "[[[", "p.toml"},
    {"a letter outside ASCII", "\n\xce\xbb = 1", "p.toml:2: a byte that is not ASCII"},
    {"a byte that is no text", "a = \"\xff\"", "p.toml:1: a byte that is not ASCII"},
    {"a control character", "a = \"\x1b[2J\"", "p.toml:1: a control character"},
    {"a control character in a comment", "# \x1b[2J", "p.toml:1: a control character"},
    {"a text that never ends", "a = \"b", "p.toml:1: a string is not closed"},
    {"a text of several lines", "a = \"\"\"\nb\"\"\"", "p.toml:1: strings of several lines"},
    {"a literal text of several lines", "a = '''b'''", "p.toml:1: strings of several lines"},
    {"a key twice", "[worker]\ndirectory = \"/\"\ndirectory = \"/\"", "p.toml:3"},
    {"a section twice", "[worker]\n[worker]", "p.toml:2"},
    {"a number beyond 64 bits", "a = 99999999999999999999", "p.toml:1"},
    {"a very deep key", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1",
     "more than 32 dots"},
    {"very deep lists", "a = [[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]", "p.toml:1"},
};
INSTANTIATE_TEST_SUITE_P(Syntax, RefusedProfile, testing::ValuesIn(kSyntax), name_of_case);

TEST(Profile, OfMoreThan64KiBIsRefusedAndOneByteLessIsNot) {
  const auto of_size = [](std::size_t size) {
    return parse_profile(std::string(size, '\n'), *ProfileName::parse("worker"), "p.toml");
  };
  EXPECT_TRUE(of_size(64 * 1024));
  const auto larger = of_size(64 * 1024 + 1);
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().text(), "p.toml: is larger than 64 KiB; shorten it");
}

TEST(Profile, TakesSixteenForwardsAndNotSeventeen) {
  std::string text;
  for (std::size_t i = 1; i <= limits::kMaxForwards; ++i)
    text += "[[forward]]\nlisten = \"127.0.0.1:" + std::to_string(i) + "\"\nto = \"10.0.0.1:1\"\n";
  EXPECT_TRUE(parse_profile(text, *ProfileName::parse("worker"), "p.toml"));
  text += "[[forward]]\nlisten = \"127.0.0.1:99\"\nto = \"10.0.0.1:1\"\n";
  const auto seventeen = parse_profile(text, *ProfileName::parse("worker"), "p.toml");
  ASSERT_FALSE(seventeen);
  EXPECT_NE(seventeen.error().text().find("there are more than 16 [[forward]] sections; remove some"),
            std::string::npos)
      << seventeen.error().text();
}

}  // namespace
}  // namespace sallyport
