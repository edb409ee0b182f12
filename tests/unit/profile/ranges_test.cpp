// Each range of a profile and of broker.toml: its least and its most are taken, one less and one more are refused with
// the words that say which.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport {
namespace {

struct RangeOfAKey {
  const char* section;  // "": broker.toml
  const char* key;
  const char* below;
  const char* least;
  const char* most;
  const char* above;
  const char* words_below;
  const char* words_above;
};

std::string refusal(const RangeOfAKey& range, const char* value) {
  const std::string line = std::string(range.key) + " = " + value + "\n";
  if (*range.section == '\0') {
    const auto config = parse_config(line + "uid_span = \"100000-200000\"\n", "b.toml");
    return config ? "" : config.error().text();
  }
  // Beside the memory of one container that of all must leave room for it.
  const bool container_memory = std::string(range.section) == "docker.container" && std::string(range.key) == "memory";
  const std::string rest = container_memory ? std::string("[docker.budget]\nmemory = ") + value + "\n"
                           : std::string(range.section) == "docker.budget" && std::string(range.key) == "memory"
                               ? std::string("[docker.container]\nmemory = \"6MiB\"\n")
                               : "";
  const auto profile =
      parse_profile("[" + std::string(range.section) + "]\n" + line + rest, *ProfileName::parse("worker"), "p.toml");
  return profile ? "" : profile.error().text();
}

class ARange : public testing::TestWithParam<RangeOfAKey> {};
TEST_P(ARange, TakesItsLeastAndItsMostAndNothingBeyond) {
  const RangeOfAKey& range = GetParam();
  EXPECT_EQ(refusal(range, range.least), "");
  EXPECT_EQ(refusal(range, range.most), "");
  EXPECT_THAT(refusal(range, range.below), testing::HasSubstr(range.words_below));
  EXPECT_THAT(refusal(range, range.above), testing::HasSubstr(range.words_above));
}

const RangeOfAKey kRanges[] = {
    {"sandbox", "tmp", "65535", "65536", "1099511627776", "1099511627777",
     "key sandbox.tmp is 65535B; the least is 64KiB", "key sandbox.tmp is 1099511627777B; the most is 1TiB"},
    {"limits", "memory", "1048575", "1048576", "1125899906842624", "1125899906842625",
     "key limits.memory is 1048575B; the least is 1MiB", "key limits.memory is 1125899906842625B; the most is 1024TiB"},
    {"limits", "cpus", "0.00999", "0.01", "4096", "4096.001", "key limits.cpus must be a number of CPUs",
     "key limits.cpus must be a number of CPUs"},
    {"limits", "pids", "0", "1", "4194304", "4194305", "key limits.pids is 0; the least is 1",
     "key limits.pids is 4194305; the most is 4194304"},
    {"limits", "time", "\"0s\"", "\"1s\"", "\"366d\"", "\"31622401s\"",
     "key limits.time must be a duration above zero and of at most a year",
     "key limits.time must be a duration above zero and of at most a year"},
    {"limits", "grace", "\"0s\"", "\"1s\"", "\"1h\"", "\"3601s\"",
     "key limits.grace must be a duration above zero and of at most an hour",
     "key limits.grace must be a duration above zero and of at most an hour"},
    {"limits", "open_files", "15", "16", "1048576", "1048577", "key limits.open_files is 15; the least is 16",
     "key limits.open_files is 1048577; the most is 1048576"},
    {"limits", "output", "0", "1", "1125899906842624", "1125899906842625", "key limits.output is 0B; the least is 1B",
     "key limits.output is 1125899906842625B; the most is 1024TiB"},
    {"limits", "connections", "\"0/min\"", "\"1/min\"", "\"10000000/min\"", "\"10000001/min\"",
     "key limits.connections must be a rate above zero", "key limits.connections must be a rate above zero"},
    {"docker.container", "memory", "6291455", "6291456", "1125899906842624", "1125899906842625",
     "key docker.container.memory is 6291455B; the least is 6MiB",
     "key docker.container.memory is 1125899906842625B; the most is 1024TiB"},
    {"docker.container", "cpus", "0.00999", "0.01", "4096", "4096.001",
     "key docker.container.cpus must be a number of CPUs", "key docker.container.cpus must be a number of CPUs"},
    {"docker.container", "pids", "0", "1", "4194304", "4194305", "key docker.container.pids is 0; the least is 1",
     "key docker.container.pids is 4194305; the most is 4194304"},
    {"docker.container", "shm", "65535", "65536", "1099511627776", "1099511627777",
     "key docker.container.shm is 65535B; the least is 64KiB",
     "key docker.container.shm is 1099511627777B; the most is 1TiB"},
    {"docker.container", "tmp", "65535", "65536", "1099511627776", "1099511627777",
     "key docker.container.tmp is 65535B; the least is 64KiB",
     "key docker.container.tmp is 1099511627777B; the most is 1TiB"},
    {"docker.container", "log", "65535", "65536", "1099511627776", "1099511627777",
     "key docker.container.log is 65535B; the least is 64KiB",
     "key docker.container.log is 1099511627777B; the most is 1TiB"},
    {"docker.budget", "containers", "0", "1", "4096", "4097", "key docker.budget.containers is 0; the least is 1",
     "key docker.budget.containers is 4097; the most is 4096"},
    {"docker.budget", "memory", "6291455", "6291456", "1125899906842624", "1125899906842625",
     "key docker.budget.memory is 6291455B; the least is 6MiB",
     "key docker.budget.memory is 1125899906842625B; the most is 1024TiB"},
    {"docker.budget", "creates", "\"0/min\"", "\"1/min\"", "\"10000000/min\"", "\"10000001/min\"",
     "key docker.budget.creates must be a rate above zero", "key docker.budget.creates must be a rate above zero"},
    {"docker.budget", "requests", "\"0/min\"", "\"1/min\"", "\"10000000/min\"", "\"10000001/min\"",
     "key docker.budget.requests must be a rate above zero", "key docker.budget.requests must be a rate above zero"},
    {"docker.budget", "lifetime", "\"0s\"", "\"1s\"", "\"366d\"", "\"31622401s\"",
     "key docker.budget.lifetime must be a duration above zero and of at most a year",
     "key docker.budget.lifetime must be a duration above zero and of at most a year"},
    {"", "stop_within", "\"0s\"", "\"1s\"", "\"1h\"", "\"3601s\"",
     "key stop_within must be a duration above zero and of at most an hour",
     "key stop_within must be a duration above zero and of at most an hour"},
    {"", "max_sessions", "0", "1", "1024", "1025", "key max_sessions is 0; the least is 1",
     "key max_sessions is 1025; the most is 1024"},
};
INSTANTIATE_TEST_SUITE_P(Of, ARange, testing::ValuesIn(kRanges), [](const auto& info) {
  std::string name = std::string(info.param.section) + "_" + info.param.key;
  for (char& c : name)
    if (c == '.') c = '_';
  return name.front() == '_' ? "broker" + name : name;
});

// --- texts and lists: how long, how many ---

std::string of_profile(const std::string& text) {
  const auto profile = parse_profile(text, *ProfileName::parse("worker"), "p.toml");
  return profile ? "" : profile.error().text();
}
std::string of_config(const std::string& text) {
  const auto config = parse_config(text, "b.toml");
  return config ? "" : config.error().text();
}
std::string repeated(const std::string& text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += (i == 0 ? "" : ", ") + text;
  return all;
}
std::string forwards(std::size_t count) {
  std::string text;
  for (std::size_t i = 1; i <= count; ++i)
    text += "[[forward]]\nlisten = \"127.0.0.1:" + std::to_string(i) + "\"\nto = \"10.0.0.1:1\"\n";
  return text;
}
std::string a_forward(const std::string& to, const std::string& rest = "") {
  return "[[forward]]\nlisten = \"127.0.0.1:1\"\nto = \"" + to + "\"\n" + rest;
}
std::string path_of(std::size_t size) { return "/" + std::string(size - 1, 'a'); }
std::string image_pattern(std::size_t size) {
  return "[docker]\nimages = [\"r.example/" + std::string(size - 12, 'a') + ":1\"]";
}

struct Length {
  const char* name;
  std::size_t least;  // 0: it has none
  std::size_t most;
  std::string (*refusal)(std::size_t);  // of one of that length
  const char* words;
};
class ALength : public testing::TestWithParam<Length> {};
TEST_P(ALength, TakesItsLeastAndItsMostAndNothingBeyond) {
  const Length& length = GetParam();
  EXPECT_EQ(length.refusal(std::max<std::size_t>(length.least, 1)), "");
  EXPECT_EQ(length.refusal(length.most), "");
  if (length.least > 0) EXPECT_THAT(length.refusal(length.least - 1), testing::HasSubstr(length.words));
  EXPECT_THAT(length.refusal(length.most + 1), testing::HasSubstr(length.words));
}
const Length kLengths[] = {
    {"worker_command", 1, 1024, [](auto n) { return of_profile("[worker]\ncommand = [" + repeated("\"a\"", n) + "]"); },
     "key worker.command "},
    {"worker_environment_name", 1, 128,
     [](auto n) { return of_profile("[worker]\nenvironment = { \"" + std::string(n, 'A') + "\" = \"1\" }"); },
     "is not a name a variable can have"},
    {"worker_pass_environment_name", 1, 128,
     [](auto n) { return of_profile("[worker]\npass_environment = [\"" + std::string(n, 'A') + "\"]"); },
     "key worker.pass_environment names something that is not a variable"},
    {"worker_directory", 1, 4095,
     [](auto n) { return of_profile("[worker]\ndirectory = \"" + (n == 0 ? "" : path_of(n)) + "\""); },
     "key worker.directory must be an absolute path"},
    {"sandbox_root", 2, 4095, [](auto n) { return of_profile("[sandbox]\nroot = \"" + path_of(n) + "\""); },
     "key sandbox.root must be \"host\" or an absolute path"},
    {"sandbox_hostname", 1, 63,
     [](auto n) { return of_profile("[sandbox]\nhostname = \"" + std::string(n, 'a') + "\""); },
     "key sandbox.hostname must be 1 to 63 letters"},
    {"forwards", 0, 16, [](auto n) { return of_profile(forwards(n)); }, "there are more than 16 [[forward]] sections"},
    {"forward_group", 1, 32,
     [](auto n) { return of_profile(a_forward("10.0.0.1:1", "group = \"" + std::string(n, 'g') + "\"")); },
     "key forward.group must be a group's name"},
    {"forward_to_port", 1, 65535, [](auto n) { return of_profile(a_forward("10.0.0.1:" + std::to_string(n))); },
     "key forward.to must be"},
    {"forward_to_octet", 0, 255, [](auto n) { return of_profile(a_forward("10.0.0." + std::to_string(n) + ":1")); },
     "key forward.to must be"},
    {"forward_to_path", 2, 107, [](auto n) { return of_profile(a_forward("unix:" + path_of(n))); },
     "key forward.to must be"},
    {"docker_image_pattern", 0, 512, [](auto n) { return of_profile(image_pattern(std::max<std::size_t>(n, 13))); },
     "key docker.images names something that is no image or pattern"},
    {"profile_bytes", 0, 65536, [](auto n) { return of_profile(std::string(n, '\n')); }, "is larger than 64 KiB"},
    {"profile_dots_of_a_line", 0, 32,
     [](auto n) -> std::string { return of_profile(std::string(n, '.')).contains("more than 32 dots") ? "dots" : ""; },
     "dots"},
    {"config_bytes", 0, 65536, [](auto n) { return of_config(std::string(n, '\n')); }, "is larger than 64 KiB"},
    {"config_docker_version", 0, 32,
     [](auto n) {
       return of_config("docker_version = \"1.2.3+" + std::string(std::max<std::size_t>(n, 7) - 6, 'a') + "\"");
     },
     "docker_version must be MAJOR.MINOR.PATCH"},
    {"config_log_directory", 1, 4095,
     [](auto n) { return of_config("log_directory = \"" + (n == 0 ? "" : path_of(n)) + "\""); },
     "key log_directory must be an absolute path"},
};
INSTANTIATE_TEST_SUITE_P(Of, ALength, testing::ValuesIn(kLengths),
                         [](const auto& info) { return std::string(info.param.name); });

std::string span(const char* text) {
  const auto config = parse_config("uid_span = \"" + std::string(text) + "\"", "b.toml");
  return config ? "" : config.error().text();
}
TEST(UidSpan, TakesItsEdgesAndNothingBeyond) {
  EXPECT_EQ(span("65536-65551"), "");
  EXPECT_EQ(span("4294967278-4294967293"), "");
  for (const char* beyond : {"65535-65551", "65536-65550", "4294967278-4294967294"})
    EXPECT_THAT(span(beyond), testing::HasSubstr("must be FIRST-LAST, 65536 or above")) << beyond;
}

}  // namespace
}  // namespace sallyport
