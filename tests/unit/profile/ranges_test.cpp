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

constexpr const char* kDuration = "must be a duration above zero and of at most a year";
constexpr const char* kRate = "must be a rate above zero";
constexpr const char* kCpus = "must be a number of CPUs";
constexpr const char* kTiB1024 = "1125899906842624";
constexpr const char* kTiB1024More = "1125899906842625";
constexpr const char* kTiB = "1099511627776";
constexpr const char* kTiBMore = "1099511627777";
const RangeOfAKey kRanges[] = {
    {"sandbox", "tmp", "65535", "65536", kTiB, kTiBMore, "the least is 64KiB", "the most is 1TiB"},
    {"limits", "memory", "1048575", "1048576", kTiB1024, kTiB1024More, "the least is 1MiB", "the most is 1024TiB"},
    {"limits", "cpus", "0", "0.01", "4096", "4096.1", kCpus, kCpus},
    {"limits", "pids", "0", "1", "4194304", "4194305", "the least is 1", "the most is 4194304"},
    {"limits", "time", "\"0s\"", "\"1s\"", "\"366d\"", "\"31622401s\"", kDuration, kDuration},
    {"limits", "open_files", "15", "16", "1048576", "1048577", "the least is 16", "the most is 1048576"},
    {"limits", "output", "0", "1", kTiB1024, kTiB1024More, "the least is 1", "the most is 1024TiB"},
    {"docker.container", "memory", "6291455", "6291456", kTiB1024, kTiB1024More, "the least is 6MiB",
     "the most is 1024TiB"},
    {"docker.container", "cpus", "0", "0.01", "4096", "4096.1", kCpus, kCpus},
    {"docker.container", "pids", "0", "1", "4194304", "4194305", "the least is 1", "the most is 4194304"},
    {"docker.container", "shm", "65535", "65536", kTiB, kTiBMore, "the least is 64KiB", "the most is 1TiB"},
    {"docker.container", "tmp", "65535", "65536", kTiB, kTiBMore, "the least is 64KiB", "the most is 1TiB"},
    {"docker.container", "log", "65535", "65536", kTiB, kTiBMore, "the least is 64KiB", "the most is 1TiB"},
    {"docker.budget", "containers", "0", "1", "4096", "4097", "the least is 1", "the most is 4096"},
    {"docker.budget", "memory", "6291455", "6291456", kTiB1024, kTiB1024More, "the least is 6MiB",
     "the most is 1024TiB"},
    {"docker.budget", "creates", "\"0/min\"", "\"1/min\"", "\"10000000/min\"", "\"10000001/min\"", kRate, kRate},
    {"docker.budget", "requests", "\"0/min\"", "\"1/min\"", "\"10000000/min\"", "\"10000001/min\"", kRate, kRate},
    {"docker.budget", "lifetime", "\"0s\"", "\"1s\"", "\"366d\"", "\"31622401s\"", kDuration, kDuration},
    {"", "max_sessions", "0", "1", "256", "257", "the least is 1", "the most is 256"},
};
INSTANTIATE_TEST_SUITE_P(Of, ARange, testing::ValuesIn(kRanges), [](const auto& info) {
  std::string name = std::string(info.param.section) + "_" + info.param.key;
  for (char& c : name)
    if (c == '.') c = '_';
  return name.front() == '_' ? "broker" + name : name;
});

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
