#include "broker/keeper/audit.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace sallyport::keeper {
namespace {

namespace fs = std::filesystem;

class Audit : public testing::Test {
 protected:
  Audit() {
    char made[] = "/tmp/sallyport-audit-XXXXXX";
    directory_ = ::mkdtemp(made);
  }
  ~Audit() override { fs::remove_all(directory_); }
  std::vector<std::string> lines(const std::string& name = "audit.jsonl") const {
    std::ifstream file(directory_ + "/" + name);
    std::vector<std::string> out;
    for (std::string line; std::getline(file, line);)
      if (!line.empty()) out.push_back(line);
    return out;
  }
  static AuditRecord record() {
    AuditRecord made;
    made.session = "0123456789ab";
    made.profile = "worker";
    made.method = "POST";
    made.endpoint = "/containers/create";
    made.object = "busybox";
    return made;
  }
  std::string directory_;
};

TEST_F(Audit, WritesOneEscapedLineARecord) {
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail);
  AuditRecord hostile = record();
  hostile.decision = Decision::Deny;
  hostile.rule = "Env";
  hostile.reason = "\x1b]0;owned\x07\n{\"decision\":\"ALLOW\"}\xff";
  ASSERT_TRUE(trail->write(hostile));
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

AuditTrail::Bounds three_small_files() {
  AuditTrail::Bounds bounds;
  bounds.file_bytes = 1000;
  bounds.files = 3;
  return bounds;
}

TEST_F(Audit, RotatesBySizeAndKeepsSoManyFiles) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(trail->write(record()));
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    ++files;
    EXPECT_LE(fs::file_size(entry), 1000U);
  }
  EXPECT_EQ(files, 3U);
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"seq\":40,"));
}

TEST_F(Audit, LosesNoOlderFileWhereNoNewOneCanBeMade) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(trail->write(record()));
  const auto whole = [this] {
    std::map<std::string, std::string> files;
    for (const char* name : {"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"}) {
      std::ifstream file(fs::path(directory_) / name);
      files[name] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return files;
  };
  fs::create_directory(fs::path(directory_) / "audit.jsonl.next");
  while (trail->write(record())) {
  }
  const auto before = whole();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(trail->write(record()));
  EXPECT_EQ(whole(), before);
  EXPECT_FALSE(before.at("audit.jsonl.2").empty());
  fs::remove(fs::path(directory_) / "audit.jsonl.next");
  EXPECT_TRUE(trail->write(record())) << "and goes on as soon as it can";
}

TEST_F(Audit, CountsReadsBeyondASessionsQuotaAndStillWritesChanges) {
  AuditTrail::Bounds bounds;
  bounds.session_bytes = 1000;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  ASSERT_TRUE(trail);
  AuditQuota quota;
  AuditQuota neighbour;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(trail->write(record(), quota));
  const std::size_t before = lines().size();
  EXPECT_LT(before, 5U);
  AuditRecord change = record();
  change.weight = Weight::Change;
  ASSERT_TRUE(trail->write(change, quota));
  ASSERT_TRUE(trail->write(record(), neighbour));
  EXPECT_EQ(lines().size(), before + 2);
  ASSERT_TRUE(trail->write_counted("0123456789ab", "worker", quota));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"rule\":\"audit.quota\""));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"count\":" + std::to_string(100 - before) + "}"));
  ASSERT_TRUE(trail->write_counted("0123456789ab", "worker", quota));
  EXPECT_EQ(lines().size(), before + 3) << "nothing more to tell";
}

TEST_F(Audit, CountsChangesBeyondASessionsShareOfAnHourAndStillWritesClosings) {
  AuditTrail::Bounds bounds;
  bounds.change_bytes_per_hour = 1000;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  ASSERT_TRUE(trail);
  AuditQuota quota;
  AuditQuota neighbour;
  AuditRecord change = record();
  change.weight = Weight::Change;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(trail->write(change, quota));
  const std::size_t before = lines().size();
  EXPECT_LT(before, 5U);
  ASSERT_TRUE(trail->write(change, neighbour));
  AuditRecord closing = record();
  closing.weight = Weight::Closing;
  ASSERT_TRUE(trail->write(closing, quota));
  ASSERT_TRUE(trail->write(record(), quota)) << "reads have a share of their own";
  EXPECT_EQ(lines().size(), before + 3);
  quota.hour -= 1;  // an hour passes
  ASSERT_TRUE(trail->write(change, quota));
  EXPECT_EQ(lines().size(), before + 4);
  ASSERT_TRUE(trail->write_counted("0123456789ab", "worker", quota));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"count\":" + std::to_string(100 - before) + "}"));
}

TEST_F(Audit, TellsOfAFloodWhileItGoesOn) {
  AuditTrail::Bounds bounds;
  bounds.session_bytes = 0;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  AuditQuota quota;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(trail->write(record(), quota));
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_THAT(lines()[0], testing::HasSubstr("\"count\":10000}"));
}

TEST_F(Audit, FailsWhereTheFileCannotGrowAndRecovers) {
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail->write(record()));
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(directory_ + "/audit.jsonl") + 100, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_FALSE(trail->write(record())) << "a line that did not fit is an error";
  ::setrlimit(RLIMIT_FSIZE, &old);
  ASSERT_TRUE(trail->write(record()));
  const auto written = lines();
  EXPECT_THAT(written.back(), testing::StartsWith("{\"time\""));
  EXPECT_THAT(written.back(), testing::EndsWith("}"));
  ::signal(SIGXFSZ, SIG_DFL);
}

TEST_F(Audit, BeginsANewLineAfterABrokerThatDied) {
  std::ofstream(directory_ + "/audit.jsonl") << "{\"time\":\"half";
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail->write(record()));
  EXPECT_THAT(lines(), testing::SizeIs(2));
}

TEST_F(Audit, DoesNotFollowALink) {
  std::ofstream(directory_ + "/elsewhere") << "";
  fs::create_symlink("elsewhere", directory_ + "/audit.jsonl");
  EXPECT_FALSE(AuditTrail::open(directory_, "bb"));
}

// A full disk, made of a small tmpfs; needs root.
TEST_F(Audit, KeepsAReserveForChangesAndClosingsOnAFullDisk) {
  if (::getuid() != 0 || std::system(("mount -t tmpfs -o size=256k none " + directory_).c_str()) != 0)
    GTEST_SKIP() << "cannot mount a tmpfs here";
  AuditTrail::Bounds bounds;
  bounds.reserve_bytes = 64 * 1024;
  {
    auto trail = AuditTrail::open(directory_, "bb", bounds);
    ASSERT_TRUE(trail->write(record()));
    {
      std::ofstream hog(directory_ + "/hog");
      for (int i = 0; i < 1000 && hog; ++i) hog << std::string(1024, 'x') << std::flush;
    }
    AuditRecord change = record();
    change.weight = Weight::Change;
    AuditRecord closing = record();
    closing.weight = Weight::Closing;
    int changes = 0;
    while (trail->write(change)) ASSERT_LT(++changes, 10'000);
    EXPECT_GT(changes, 20) << "changes are still granted from the reserve";
    EXPECT_FALSE(trail->write(record())) << "a read is not";
    int closings = 0;
    while (trail->write(closing) && closings < 30) ++closings;
    EXPECT_EQ(closings, 30) << "the last part of the reserve is for closings";
    fs::remove(directory_ + "/hog");
    EXPECT_TRUE(trail->write(record())) << "it recovers by itself";
  }
  (void)!std::system(("umount " + directory_).c_str());
}

}  // namespace
}  // namespace sallyport::keeper
