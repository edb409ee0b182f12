// The small grammars of a profile's strings, each with what is nearly of the grammar and is refused.
#include "sallyport/profile/values.hpp"

#include <gtest/gtest.h>

#include "sallyport/limits.hpp"

namespace sallyport {
namespace {

TEST(Size, IsANumberWithABinaryUnit) {
  EXPECT_EQ(parse_size("4096B"), 4096U);
  EXPECT_EQ(parse_size("64KiB"), 64ULL << 10);
  EXPECT_EQ(parse_size("2GiB"), 2ULL << 30);
  for (const char* wrong : {"", "GiB", "2", "2GB", "2 GiB", "-2GiB", "+2GiB", "2gib", "0x2GiB", "1.5GiB", "8388608TiB",
                            "99999999999999999999B"})
    EXPECT_FALSE(parse_size(wrong)) << wrong;
}

TEST(Duration, IsANumberWithAUnitOfTime) {
  EXPECT_EQ(parse_duration("45s"), std::chrono::seconds(45));
  EXPECT_EQ(parse_duration("30min"), std::chrono::minutes(30));
  EXPECT_EQ(parse_duration("2d"), std::chrono::hours(48));
  for (const char* wrong : {"", "s", "5", "5m", "5 s", "-5s", "1h30min", "5S"})
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
}

TEST(Rate, IsANumberPerMinute) {
  EXPECT_EQ(parse_rate("60/min"), 60U);
  for (const char* wrong : {"", "/min", "60", "60/s", "60/min ", "4294967296/min"})
    EXPECT_FALSE(parse_rate(wrong)) << wrong;
}

TEST(TcpAddress, IsFourDecimalNumbersAndAPort) {
  EXPECT_EQ(parse_tcp_address("10.0.0.1:6379"), (TcpAddress{"10.0.0.1", 6379}));
  for (const char* wrong :
       {"", ":1", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0:1", "10.0.0.1.2:1", "10.0.0.256:1", "010.0.0.1:1",
        "10.0.0.0x1:1", "1..2.3:1", "localhost:1", "[::1]:1", "10.0.0.1:1 "})
    EXPECT_FALSE(parse_tcp_address(wrong)) << wrong;
}

TEST(UnixAddress, IsACleanAbsolutePathThatFitsASocketAddress) {
  EXPECT_EQ(parse_unix_address("unix:/run/a.sock"), (UnixAddress{"/run/a.sock"}));
  EXPECT_TRUE(parse_unix_address("unix:/" + std::string(106, 'a')));
  EXPECT_FALSE(parse_unix_address("unix:/" + std::string(107, 'a')));
  for (const char* wrong : {"", "unix:", "unix:/", "unix:run", "/run/a.sock", "unix:/run/../a", "unix://a", "unix:/a/"})
    EXPECT_FALSE(parse_unix_address(wrong)) << wrong;
}

TEST(Path, IsCleanWhereEachReaderOfItMeansTheSamePlace) {
  for (const char* clean : {"/", "/a", "/a/b", "/.a", "/a.", "/...", "/..a", "/a..", "/-", "/a b"})
    EXPECT_TRUE(is_clean_absolute_path(clean)) << clean;
  for (const char* wrong : {"", "a", "./a", "//", "/a/", "//a", "/a//b", "/.", "/a/.", "/./a", "/..", "/a/..", "/../a",
                            "/a/../b", "/a\nb", "/a\x7f", "/a\xc3\xa9"})
    EXPECT_FALSE(is_clean_absolute_path(wrong)) << wrong;
  EXPECT_TRUE(is_clean_absolute_path("/" + std::string(limits::kMaxPathBytes - 2, 'a')));
  EXPECT_FALSE(is_clean_absolute_path("/" + std::string(limits::kMaxPathBytes - 1, 'a'))) << "with its NUL";
}

struct NormalCase {
  const char* pattern;
  const char* normal;  // "" where it is refused
};
TEST(ImagePattern, IsReadAsDockerdReadsNames) {
  const NormalCase cases[] = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:*", "docker.io/library/busybox:*"},
      {"eval/runner:1", "docker.io/eval/runner:1"},
      {"docker.io/busybox:1", "docker.io/library/busybox:1"},
      {"index.docker.io/busybox:1", "docker.io/library/busybox:1"},
      {"registry.example/eval/*@sha256:*", "registry.example/eval/*@sha256:*"},
      {"registry.example:5000/eval", "registry.example:5000/eval:latest"},
      {"localhost/eval:1", "localhost/eval:1"},
      {"*", "docker.io/library/*:latest"},
      {"", ""},
      {"/a", ""},
      {"a/", ""},
      {"a//b", ""},
      {"a/../b", ""},
      {"a b", ""},
      {"a\nb", ""},
      {"a?", ""},
  };
  for (const NormalCase& one : cases)
    EXPECT_EQ(normal_image_pattern(one.pattern).value_or(""), one.normal) << one.pattern;
}

struct MatchCase {
  const char* pattern;
  const char* image;
  bool allowed;
};
TEST(ImageAllowList, StarMatchesAnyRunWithinOnePathComponent) {
  const MatchCase cases[] = {
      {"docker.io/library/busybox:*", "docker.io/library/busybox:latest", true},
      {"docker.io/library/busybox:*", "docker.io/library/busybox:", true},
      {"docker.io/library/busybox:*", "docker.io/library/busybox2:latest", false},
      {"docker.io/library/busybox:*", "docker.io/other/busybox:latest", false},
      {"docker.io/library/busybox:*", "evil.example/docker.io/library/busybox:latest", false},
      {"docker.io/library/busybox:latest", "docker.io/library/busybox:latest", true},
      {"docker.io/library/busybox:latest", "docker.io/library/busybox:latest2", false},
      {"docker.io/library/busybox:latest", "docker.io/library/busybox:lates", false},
      {"r.example/eval/*@sha256:*", "r.example/eval/a@sha256:00", true},
      {"r.example/eval/*@sha256:*", "r.example/eval/a/b@sha256:00", false},
      {"r.example/eval/*@sha256:*", "r.example/eval/a:latest", false},
      // A digest decides alone which image it is, whatever tag stands before it.
      {"r.example/eval:safe*", "r.example/eval:safe-1", true},
      {"r.example/eval:safe*", "r.example/eval:safe@sha256:00", false},
      {"docker.io/library/busybox:*", "docker.io/library/busybox:1@sha256:00", false},
      {"docker.io/library/busybox:*@sha256:*", "docker.io/library/busybox:1@sha256:00", true},
      {"docker.io/library/busybox@*", "docker.io/library/busybox@sha256:00", true},
      {"r.example/*/x*y*z:1", "r.example/team/xaaybbz:1", true},
      {"r.example/*/x*y*z:1", "r.example/team/xaaybb:1", false},
      {"*", "", true},
      {"", "", true},
      {"", "a", false},
  };
  for (const MatchCase& one : cases)
    EXPECT_EQ(image_is_allowed({one.pattern}, one.image), one.allowed) << one.pattern << " and " << one.image;
  EXPECT_FALSE(image_is_allowed({}, "docker.io/library/busybox:latest")) << "an empty list allows nothing";
}

TEST(ImageAllowList, AnswersAtOnceForAPatternMadeToBeSlow) {
  const std::string pattern = [] {
    std::string text;
    for (int i = 0; i < 250; ++i) text += "*a";
    return text + "b";
  }();
  EXPECT_FALSE(image_is_allowed({pattern}, std::string(512, 'a')));
}

}  // namespace
}  // namespace sallyport
