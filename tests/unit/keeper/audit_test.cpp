// What the trail writes, where, and that it is lost by no fault.
#include "audit_under_test.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

namespace sallyport::keeper {
namespace {

TEST_F(Audit, WritesOneEscapedLineARecord) {
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail);
  AuditRecord hostile = record();
  hostile.decision = Decision::Deny;
  hostile.rule = "Env";
  hostile.reason = "\x1b]0;owned\x07\n{\"decision\":\"ALLOW\"}\xff";
  ASSERT_TRUE(trail->write(hostile, quota_));
  const auto written = lines();
  ASSERT_EQ(written.size(), 1U);
  EXPECT_THAT(
      written[0],
      testing::HasSubstr(
          R"("seq":1,"broker":"bb","session":"0123456789ab","profile":"worker","event":"request","decision":"DENY","source":"keeper","method":"POST","endpoint":"/containers/create","object":"busybox","rule":"Env","reason":"\u001b]0;owned\u0007\u000a{\"decision\":\"ALLOW\"}\ufffd","count":1})"));
  EXPECT_THAT(written[0], testing::MatchesRegex("\\{\"time\":\"20[0-9-]+T[0-9:]+\\.[0-9]+Z\".*"));
}

TEST(Timestamp, IsUtcWithMilliseconds) {
  EXPECT_EQ(utc_timestamp(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(utc_timestamp(1'773'483'825'123), "2026-03-14T10:23:45.123Z");
}

TEST_F(Audit, RotatesBySizeAndKeepsSoManyFiles) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(trail->write(record(), quota_));
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().filename().string().find("reads") == std::string::npos) ++files;
    EXPECT_LE(fs::file_size(entry), 1000U);
  }
  EXPECT_EQ(files, 3U);
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"seq\":40,"));
}

TEST_F(Audit, LosesNoOlderFileWhereNoNewOneCanBeMade) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(trail->write(record(), quota_));
  const auto whole = [this] {
    std::map<std::string, std::string> files;
    for (const char* name : {"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"}) {
      std::ifstream file(fs::path(directory_) / name);
      files[name] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return files;
  };
  fs::create_directory(fs::path(directory_) / "audit.jsonl.next");
  int written = 0;
  while (written < 100 && trail->write(record(), quota_)) ++written;
  ASSERT_LT(written, 100) << "a file holds no more than a few";
  const auto before = whole();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(trail->write(record(), quota_));
  EXPECT_EQ(whole(), before);
  EXPECT_FALSE(before.at("audit.jsonl.2").empty());
  fs::remove(fs::path(directory_) / "audit.jsonl.next");
  EXPECT_TRUE(trail->write(record(), quota_)) << "and goes on as soon as it can";
}

TEST_F(Audit, KeepsReadsInFilesOfTheirOwnSoThatNoneOfThemPushesOutAnythingElse) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail);
  AuditRecord ending = weighing(Weight::Closing);
  ending.object = "the ending";
  ASSERT_TRUE(trail->write(ending, quota_));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Read), quota_));
  EXPECT_THAT(lines(), testing::ElementsAre(testing::HasSubstr("the ending")));
  EXPECT_THAT(lines("audit.jsonl.reads").back(), testing::HasSubstr("\"seq\":201,")) << "one count over both";
  EXPECT_TRUE(fs::exists(directory_ + "/audit.jsonl.reads.1"));
  for (const Weight weight : {Weight::Refusal, Weight::Forward, Weight::Change, Weight::Removal, Weight::Opening,
                              Weight::Ending, Weight::Closing}) {
    const std::size_t before = lines().size();
    ASSERT_TRUE(trail->write(weighing(weight), quota_));
    EXPECT_NE(lines().size(), before) << static_cast<int>(weight);
  }
}

TEST_F(Audit, IsReadableByItsOwnerOnly) {
  ::umask(0);
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(trail->write(record(), quota_));
  ASSERT_TRUE(trail->write(weighing(Weight::Closing), quota_));
  std::size_t seen = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    ++seen;
    EXPECT_EQ(entry.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << entry.path();
  }
  EXPECT_GE(seen, 3U);
  ::umask(0022);
}

TEST_F(Audit, FailsWhereTheFileCannotGrowAndRecovers) {
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail->write(record(), quota_));
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(directory_ + "/audit.jsonl") + 100, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_FALSE(trail->write(record(), quota_)) << "a line that did not fit is an error";
  ::setrlimit(RLIMIT_FSIZE, &old);
  ASSERT_TRUE(trail->write(record(), quota_));
  const auto written = lines();
  EXPECT_THAT(written.back(), testing::StartsWith("{\"time\""));
  EXPECT_THAT(written.back(), testing::EndsWith("}"));
  ::signal(SIGXFSZ, SIG_DFL);
}

TEST_F(Audit, BeginsANewLineAfterABrokerThatDied) {
  std::ofstream(directory_ + "/audit.jsonl") << "{\"time\":\"half";
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail->write(record(), quota_));
  EXPECT_THAT(lines(), testing::SizeIs(2));
}

TEST_F(Audit, DoesNotFollowALink) {
  std::ofstream(directory_ + "/elsewhere") << "";
  fs::create_symlink("elsewhere", directory_ + "/audit.jsonl");
  EXPECT_FALSE(AuditTrail::open(directory_, "bb"));
}

}  // namespace
}  // namespace sallyport::keeper
