// Each section of a profile, each key that this version does not have, each place that the sandbox keeps for itself:
// not one of them is passed over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sallyport/profile/profile.hpp"

namespace sallyport {
namespace {

std::string refusal(const std::string& text) {
  const auto profile = parse_profile(text, *ProfileName::parse("worker"), "p.toml");
  return profile ? "" : profile.error().text();
}

TEST(EverySection, RefusesAKeyThatItDoesNotKnow) {
  EXPECT_THAT(refusal("xyzzy = 1"), testing::HasSubstr("p.toml:1: key xyzzy is not known"));
  for (const char* section : {"worker", "sandbox", "limits", "seccomp", "docker", "docker.container", "docker.budget"})
    EXPECT_THAT(refusal("[" + std::string(section) + "]\nxyzzy = 1"),
                testing::HasSubstr("p.toml:2: key " + std::string(section) + ".xyzzy is not known"));
  EXPECT_THAT(refusal("[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"10.0.0.1:1\"\nxyzzy = 1"),
              testing::HasSubstr("p.toml:4: key forward.xyzzy is not known"));
}

TEST(EveryKeyOfLater, IsRefusedByNameAndNotPassedOver) {
  for (const auto& [section, key] : {std::pair{"sandbox", "writable"},
                                     {"sandbox", "shared"},
                                     {"sandbox", "workspace"},
                                     {"docker", "mount"},
                                     {"docker", "network"},
                                     {"docker", "volume"}})
    for (const char* value : {"true", "\"x\"", "[]", "{}"})
      EXPECT_THAT(refusal("[" + std::string(section) + "]\n" + key + " = " + value),
                  testing::AllOf(testing::HasSubstr(std::string(section) + "." + key + " ("),
                                 testing::HasSubstr("is not available in this version")));
  for (const char* key : {"worker.user", "docker.container.user", "docker.container.network"})
    EXPECT_THAT(refusal(std::string(key) + " = \"xyzzy\""),
                testing::HasSubstr("key " + std::string(key) + " other than"));
  for (const char* group : {"exec", "copy", "pull", "images", "build", "networks", "volumes", "pause", "update",
                            "rename", "commit", "events", "system"})
    EXPECT_THAT(refusal("[docker]\nallow = [\"" + std::string(group) + "\"]"),
                testing::HasSubstr("names " + std::string(group) + ", which is not available in this version"));
}

TEST(EveryPlaceOfTheSandboxsOwn, IsNotShownAgainFromTheHost) {
  const auto readable = [](const std::string& path) { return refusal("[sandbox]\nreadable = [\"" + path + "\"]"); };
  for (const char* taken :
       {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run", "/var/run"}) {
    EXPECT_THAT(readable(taken), testing::HasSubstr("of the sandbox is sallyport's own")) << taken;
    EXPECT_THAT(readable(std::string(taken) + "/x"), testing::HasSubstr("of the sandbox is sallyport's own")) << taken;
    EXPECT_EQ(readable(std::string(taken) + "x"), "") << taken;
  }
  for (const char* itself : {"/tmp", "/var", "/var/tmp"}) {
    EXPECT_THAT(readable(itself), testing::HasSubstr("; name what is needed in it")) << itself;
    EXPECT_EQ(readable(std::string(itself) + "/x"), "") << itself;
  }
  for (const char* no_place : {"/", "", "opt", "/opt/", "/opt/../etc", "/opt//x"})
    EXPECT_THAT(readable(no_place), testing::HasSubstr("absolute paths")) << no_place;
  EXPECT_THAT(refusal("[sandbox]\nreadable = [\"/opt\", \"/opt/x\"]"),
              testing::HasSubstr("which lies in /opt; remove one"));
  EXPECT_EQ(refusal("[sandbox]\nreadable = [\"/opt\", \"/optx\", \"/srv/x\"]"), "");
}

TEST(ARootOfItsOwn, IsAnotherDirectoryThanTheHostsRoot) {
  for (const char* root : {"", "/", "srv", "/srv/", "/srv/../x", "Host", "/srv/./x"})
    EXPECT_THAT(refusal("[sandbox]\nroot = \"" + std::string(root) + "\""),
                testing::HasSubstr("must be \"host\" or an absolute path of a directory other than /"))
        << root;
  EXPECT_EQ(refusal("[sandbox]\nroot = \"/srv\""), "");
}

TEST(AHostname, BeginsWithNoDashAndHoldsNothingButItsLetters) {
  for (const char* name : {"-a", "a.b", "a_b", "a b", "a\\n", "\\u00e9"})
    EXPECT_THAT(refusal("[sandbox]\nhostname = \"" + std::string(name) + "\""),
                testing::HasSubstr("must be 1 to 63 letters"))
        << name;
  EXPECT_EQ(refusal("[sandbox]\nhostname = \"a-\""), "");
}

TEST(ALimitThatIsRequired, IsOneThatIsSet) {
  const std::pair<const char*, const char*> limits[] = {
      {"memory", "memory = \"1GiB\""}, {"cpus", "cpus = 1"}, {"time", "time = \"1h\""}};
  for (const auto& [word, set] : limits) {
    const std::string require = "[limits]\nrequire = [\"" + std::string(word) + "\"]\n";
    EXPECT_THAT(refusal(require), testing::HasSubstr("names " + std::string(word) + ", which limits does not set"));
    EXPECT_EQ(refusal(require + set), "");
  }
  for (const char* always : {"pids", "open_files", "output"})
    EXPECT_EQ(refusal("[limits]\nrequire = [\"" + std::string(always) + "\"]"), "") << "it has a default";
}

TEST(AVariable, HasANameThatAVariableCanHaveAndATextWithoutNul) {
  for (const char* name : {"A", "_", "a1", "A_B"}) {
    EXPECT_EQ(refusal("[worker]\nenvironment = { " + std::string(name) + " = \"1\" }"), "") << name;
    EXPECT_EQ(refusal("[worker]\npass_environment = [\"" + std::string(name) + "\"]"), "") << name;
  }
  for (const char* name : {"", "1A", "A-B", "A.B", "A=B", "A B", "A\\n"}) {
    EXPECT_THAT(refusal("[worker]\nenvironment = { \"" + std::string(name) + "\" = \"1\" }"),
                testing::HasSubstr("is not a name a variable can have"))
        << name;
    EXPECT_THAT(refusal("[worker]\npass_environment = [\"" + std::string(name) + "\"]"),
                testing::HasSubstr("names something that is not a variable"))
        << name;
  }
  EXPECT_THAT(refusal("[worker]\nenvironment = { A = \"1\\u0000\" }"), testing::HasSubstr("holds a NUL character"));
  for (const char* ours : {"DOCKER_HOST", "SALLYPORT_FD", "SALLYPORT_X"}) {
    EXPECT_THAT(refusal("[worker]\nenvironment = { " + std::string(ours) + " = \"1\" }"),
                testing::HasSubstr("is set by sallyport itself"));
    EXPECT_THAT(refusal("[worker]\npass_environment = [\"" + std::string(ours) + "\"]"),
                testing::HasSubstr("which sallyport sets"));
  }
}

TEST(AForward, GoesToAnAddressOfAHostAndWithAGroupThatIsNoPower) {
  const auto forward = [](const std::string& to, const std::string& rest = "") {
    return refusal("[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"" + to + "\"\n" + rest);
  };
  EXPECT_EQ(forward("1.0.0.1:1"), "");
  for (const char* nowhere : {"0.0.0.0:1", "0.1.2.3:1"})  // Linux takes them for this host itself
    EXPECT_THAT(forward(nowhere), testing::HasSubstr("key forward.to must be")) << nowhere;
  for (const char* power : {"root", "0", "docker"})
    EXPECT_THAT(forward("1.0.0.1:1", "group = \"" + std::string(power) + "\""), testing::HasSubstr("would give"))
        << power;
  EXPECT_THAT(forward("1.0.0.1:1", "group = \"a:b\""), testing::HasSubstr("must be a group's name"));
  for (const char* listen :
       {"unix:/run/sallyport", "unix:/run/sallyport/docker.sock", "unix:/run/sallyportx/a", "unix:/a"})
    EXPECT_THAT(refusal("[[forward]]\nlisten = \"" + std::string(listen) + "\"\nto = \"1.0.0.1:1\""),
                testing::HasSubstr("must be a path below /run/sallyport/"))
        << listen;
  for (const char* listen : {"128.0.0.1:1", "126.255.255.255:1", "0.0.0.0:1"})
    EXPECT_THAT(refusal("[[forward]]\nlisten = \"" + std::string(listen) + "\"\nto = \"1.0.0.1:1\""),
                testing::HasSubstr("must be a loopback address"))
        << listen;
}

TEST(ATextOfAKey, HoldsNoNulWhereverItStands) {
  for (const char* line : {"worker.directory = \"/a\\u0000b\"", "sandbox.hostname = \"a\\u0000\"",
                           "sandbox.root = \"/a\\u0000\"", "seccomp.profile = \"worker\\u0000\"",
                           "docker.container.runtime = \"runc\\u0000\"", "docker.container.user = \"session\\u0000\""})
    EXPECT_THAT(refusal(line), testing::HasSubstr("holds a NUL character")) << line;
  for (const char* line : {"worker.command = [\"a\\u0000\"]", "worker.pass_environment = [\"A\\u0000\"]",
                           "sandbox.readable = [\"/opt\\u0000\"]", "docker.images = [\"busybox\\u0000\"]",
                           "weaken = [\"writable-rootfs\\u0000\"]"})
    EXPECT_THAT(refusal(line), testing::HasSubstr("must be a list of strings without NUL")) << line;
}

TEST(AByteOfTheFile, IsPrintableOutsideOfStringsAndWithin) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool text = (byte >= 0x20 && byte < 0x7f) || c == '\t' || c == '\n';
    if (text) continue;
    for (const std::string& file : {std::string("a = \"x") + c + "y\"", std::string("a = 1 ") + c})
      EXPECT_THAT(refusal(file), testing::AnyOf(testing::HasSubstr("a control character"),
                                                testing::HasSubstr("a byte that is not ASCII")))
          << byte;
    if (byte < 0x80)
      EXPECT_THAT(refusal(std::string("# a comment ") + c), testing::HasSubstr("a control character")) << byte;
    else EXPECT_EQ(refusal(std::string("# a comment ") + c), "") << byte;
  }
}

TEST(AString, EndsOnItsLine) {
  EXPECT_THAT(refusal("[worker]\ndirectory = \"/a\nx = \"b\""),
              testing::HasSubstr("p.toml:2: a string is not closed on its line"));
  EXPECT_THAT(refusal("a = 'b"), testing::HasSubstr("a string is not closed"));
}

}  // namespace
}  // namespace sallyport
