#include "broker/keeper/audit.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>

namespace sallyport::keeper {
namespace {

namespace fs = std::filesystem;

class Audit : public testing::Test {
 public:
  static AuditRecord record() {
    AuditRecord made;
    made.weight = Weight::Change;
    made.session = "0123456789ab";
    made.profile = "worker";
    made.method = "POST";
    made.endpoint = "/containers/create";
    made.object = "busybox";
    return made;
  }

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
  std::string directory_;
  AuditQuota quota_;
};

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

AuditTrail::Bounds three_small_files() {
  AuditTrail::Bounds bounds;
  bounds.file_bytes = 1000;
  bounds.files = 3;
  return bounds;
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

AuditTrail::Bounds with_shares_of(std::size_t bytes) {
  AuditTrail::Bounds bounds;
  bounds.share_bytes.fill(bytes);
  return bounds;
}
AuditRecord weighing(Weight weight) {
  AuditRecord made = Audit::record();
  made.weight = weight;
  return made;
}

constexpr Weight kWeights[] = {Weight::Read,    Weight::Refusal, Weight::Forward, Weight::Change,
                               Weight::Removal, Weight::Opening, Weight::Ending,  Weight::Closing};

AuditRecord of_many(Weight weight, std::uint64_t count) {
  AuditRecord made = weighing(weight);
  made.count = count;
  return made;
}

// What a profile has in the trail, as written and as counted: each record says of how many it tells.
std::uint64_t told_in(const std::vector<std::string>& lines, std::string_view part) {
  std::uint64_t sum = 0;
  for (const std::string& line : lines)
    if (line.contains(part)) sum += std::stoull(line.substr(line.rfind(':') + 1));
  return sum;
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

Weight of_the_same_share(Weight weight) {
  switch (weight) {
    case Weight::Change: return Weight::Removal;
    case Weight::Opening:
    case Weight::Closing: return Weight::Ending;
    default: return weight;
  }
}

TEST_F(Audit, CountsWhatIsBeyondAShareAndLeavesTheOthersAlone) {
  for (const auto& [weight, name] : {std::pair{Weight::Read, "audit.jsonl.reads"},
                                     {Weight::Refusal, "audit.jsonl"},
                                     {Weight::Forward, "audit.jsonl"},
                                     {Weight::Change, "audit.jsonl"},
                                     {Weight::Removal, "audit.jsonl"},
                                     {Weight::Opening, "audit.jsonl"},
                                     {Weight::Ending, "audit.jsonl"},
                                     {Weight::Closing, "audit.jsonl"}}) {
    for (const auto& entry : fs::directory_iterator(directory_)) fs::remove(entry);
    auto trail = AuditTrail::open(directory_, "bb", with_shares_of(1200));
    ASSERT_TRUE(trail);
    AuditQuota quota;
    AuditQuota neighbour;
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(trail->write(weighing(weight), quota));
    const std::size_t before = lines(name).size();
    EXPECT_GT(before, 2U);
    EXPECT_LT(before, 5U);
    ASSERT_TRUE(trail->write(weighing(weight), neighbour));
    for (const Weight other : {Weight::Read, Weight::Refusal, Weight::Forward, Weight::Removal, Weight::Ending})
      if (other != of_the_same_share(weight)) ASSERT_TRUE(trail->write(weighing(other), quota));
    EXPECT_EQ(lines().size() + lines("audit.jsonl.reads").size(), before + 5);
    ASSERT_TRUE(trail->write_counted(quota));
    EXPECT_THAT(lines().back(), testing::HasSubstr("\"rule\":\"audit.quota\"")) << "where no read pushes it out";
    EXPECT_THAT(lines().back(), testing::HasSubstr("\"count\":" + std::to_string(100 - before) + "}"));
    const std::size_t told = lines().size();
    ASSERT_TRUE(trail->write_counted(quota));
    EXPECT_EQ(lines().size(), told) << "nothing more to tell";
    quota.hour -= 1;  // an hour passes
    ASSERT_TRUE(trail->write(weighing(weight), quota));
    EXPECT_GT(lines(name).size(), before);
  }
}

TEST_F(Audit, HoldsOpeningsAndEndingsToAShareOfWhichTheLastPartIsForThoseThatTellMore) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(100'000));
  AuditQuota quota;
  quota.profile = "worker";
  const auto bytes_after = [&](std::initializer_list<Weight> weights) {
    for (int i = 0; i < 1000; ++i)
      for (const Weight weight : weights) EXPECT_TRUE(trail->write(weighing(weight), quota));
    return fs::file_size(directory_ + "/audit.jsonl");
  };
  const std::size_t plain = bytes_after({Weight::Opening, Weight::Ending});
  EXPECT_LE(plain, 75'000U);
  EXPECT_GT(plain, 74'000U);
  const std::size_t whole = bytes_after({Weight::Closing});
  EXPECT_LE(whole, 100'000U);
  EXPECT_GT(whole, 99'000U);
  EXPECT_EQ(bytes_after({Weight::Opening, Weight::Ending, Weight::Closing}), whole);
  const std::size_t written = lines().size();
  ASSERT_TRUE(trail->write_counted(quota));
  EXPECT_THAT(lines().back(), testing::HasSubstr("openings and endings beyond the profile's share of the audit trail "
                                                 "in an hour, counted only"));
  EXPECT_EQ(written + told_in(lines(), "audit.quota"), 6000U) << "each is written or counted";
}

TEST_F(Audit, TellsWhatWasCountedInSoManyBytes) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  quota.profile = std::string(32, 'p');
  for (std::size_t rule = 0; rule <= limits::kMaxCountedRules; ++rule) {
    AuditRecord hostile = of_many(Weight::Refusal, std::numeric_limits<std::uint32_t>::max());
    hostile.rule = std::string(100, '\x01');
    hostile.rule[0] = static_cast<char>(2 + rule);
    ASSERT_TRUE(trail->write(hostile, quota));
  }
  for (const Weight weight : kWeights) ASSERT_TRUE(trail->write(of_many(weight, UINT32_MAX), quota));
  quota.unwritten = UINT32_MAX;
  ASSERT_TRUE(trail->write_counted(quota));
  EXPECT_EQ(lines().size(), kShares + 1);
  EXPECT_LE(fs::file_size(directory_ + "/audit.jsonl"), limits::kAuditCountedBytes);
  EXPECT_GT(fs::file_size(directory_ + "/audit.jsonl"), limits::kAuditCountedBytes / 2);
}

TEST_F(Audit, SaysInTheLogOnceThatAShareIsUsedUp) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  quota.profile = "worker";
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Change), quota));
  const std::string said = testing::internal::GetCapturedStderr();
  const std::string words =
      "profile worker: its share of the audit trail for changes is used up: until the hour is over they are counted "
      "only";
  EXPECT_THAT(said, testing::HasSubstr(words));
  EXPECT_EQ(said.find(words, said.find(words) + 1), std::string::npos) << said;
}

TEST_F(Audit, NamesTheRulesOfRefusalsThatItOnlyCounts) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  AuditRecord refused = weighing(Weight::Refusal);
  for (int i = 0; i < 40; ++i) {
    refused.rule = "flood." + std::to_string(i < 20 ? 0 : i);
    ASSERT_TRUE(trail->write(refused, quota));
  }
  ASSERT_TRUE(trail->write_counted(quota));
  EXPECT_THAT(lines().back(), testing::HasSubstr("; flood.0 20; "));
  EXPECT_THAT(lines().back(), testing::HasSubstr("; others 5"));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"count\":40}"));
}

TEST_F(Audit, TellsOfAFloodWhileItGoesOn) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(trail->write(record(), quota));
  ASSERT_EQ(lines().size(), 0U);
  ASSERT_TRUE(trail->write(record(), quota));
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_THAT(lines()[0], testing::HasSubstr("\"count\":10000}"));
}

TEST_F(Audit, TellsSessionsThatEndAgainAndAgainOnceAMinute) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  for (int ending = 0; ending < 50; ++ending) {
    ASSERT_TRUE(trail->write(record(), quota));
    ASSERT_TRUE(trail->write_counted_now_and_then(quota));
  }
  EXPECT_EQ(lines().size(), 1U);
  quota.told -= limits::kAuditCountedEvery;
  ASSERT_TRUE(trail->write_counted_now_and_then(quota));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"rule\":\"audit.quota\""));
  EXPECT_THAT(lines().back(), testing::HasSubstr("\"count\":49}"));
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

// No file of this process grows while it lives.
class NoFileGrows {
 public:
  NoFileGrows() {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoFileGrows() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit old_{};
};

TEST_F(Audit, CountsWhatItCannotWriteOfEveryKindAndTellsItWithTheFirstRecordThatItCan) {
  for (const Weight weight : kWeights) {
    for (const bool spent : {false, true}) {
      for (const auto& entry : fs::directory_iterator(directory_)) fs::remove(entry);
      auto trail = AuditTrail::open(directory_, "bb", with_shares_of(spent ? 0 : 1000));
      ASSERT_TRUE(trail);
      AuditQuota quota;
      quota.profile = "worker";
      int failed = 0;
      {
        const NoFileGrows full;
        for (int i = 0; i < 3; ++i) failed += trail->write(of_many(weight, 7), quota) ? 0 : 1;
      }
      EXPECT_EQ(quota.untold(), 21U) << static_cast<int>(weight);
      ASSERT_TRUE(trail->write(weighing(weight == Weight::Closing ? Weight::Read : Weight::Closing), quota));
      ASSERT_TRUE(trail->write_counted(quota));
      EXPECT_EQ(quota.untold(), 0U);
      EXPECT_EQ(told_in(lines(), R"("rule":"audit.)"), spent ? 22U : 21U) << static_cast<int>(weight);
      EXPECT_EQ(told_in(lines(), R"("rule":"audit.unwritten")"), failed * 7U) << static_cast<int>(weight);
    }
  }
}

TEST_F(Audit, CountsOnceWhatIsCountedWhileWhatWasCountedCannotBeTold) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Refusal), quota));
  {
    const NoFileGrows full;
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(trail->write(weighing(Weight::Refusal), quota));
  }
  EXPECT_EQ(quota.untold(), 10'005U);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Refusal), quota));
  ASSERT_TRUE(trail->write_counted(quota));
  EXPECT_EQ(told_in(lines(), "audit."), 10'010U);
}

TEST_F(Audit, TellsWhatItCouldNotWriteOnceAMinuteWhereTheDiskFillsAgainAndAgain) {
  auto trail = AuditTrail::open(directory_, "bb");
  AuditQuota quota;
  for (int again = 0; again < 20; ++again) {
    {
      const NoFileGrows full;
      EXPECT_FALSE(trail->write(weighing(Weight::Read), quota));
    }
    ASSERT_TRUE(trail->write(weighing(Weight::Read), quota));
  }
  EXPECT_EQ(told_in(lines(), "audit.unwritten"), 1U);
  quota.told -= limits::kAuditCountedEvery;
  ASSERT_TRUE(trail->write(weighing(Weight::Read), quota));
  EXPECT_EQ(told_in(lines(), "audit.unwritten"), 20U);
}

TEST_F(Audit, SaysOfNoProfileWhatWasCountedOfRefusedOpenings) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota knocks;
  testing::internal::CaptureStderr();
  ASSERT_TRUE(trail->write(weighing(Weight::Refusal), knocks));  // of whichever profile was asked for
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("refused openings: its share"));
  knocks.hour -= 1;
  ASSERT_TRUE(trail->write(weighing(Weight::Refusal), knocks));
  EXPECT_THAT(lines().back(), testing::HasSubstr(R"("profile":"","event")"));
}

// A full disk, made of a small tmpfs; needs root.
class FullDisk : public Audit {
 protected:
  void SetUp() override {
    if (::getuid() != 0 || std::system(("mount -t tmpfs -o size=512k none " + directory_).c_str()) != 0)
      GTEST_SKIP() << "cannot mount a tmpfs here";
    AuditTrail::Bounds bounds;
    bounds.reserve_bytes = 256 * 1024;
    auto opened = AuditTrail::open(directory_, "bb", bounds);
    AuditQuota others;
    ASSERT_TRUE(opened && opened->write(weighing(Weight::Closing), others));
    trail_.emplace(std::move(*opened));
    std::ofstream hog(directory_ + "/hog");
    for (int i = 0; i < 1000 && hog; ++i) hog << std::string(1024, 'x') << std::flush;
    // The first half of the reserve is what makes it known that the disk is full.
    ASSERT_TRUE(ends_soon([&] { return trail_->write(weighing(Weight::Forward), others); }));
  }
  void TearDown() override {
    trail_.reset();
    (void)!std::system(("umount " + directory_).c_str());
  }
  // Whether writing comes to an end: far sooner than this, for the tmpfs holds 512 KiB.
  static bool ends_soon(const std::function<Result<>()>& write) {
    for (int times = 0; times < 10'000; ++times)
      if (!write()) return true;
    return false;
  }
  int granted(Weight weight, AuditQuota& quota) {
    int times = 0;
    while (trail_->write(weighing(weight), quota) && times < 10'000) ++times;
    return times;
  }
  std::optional<AuditTrail> trail_;
};

TEST_F(FullDisk, OneProfileSpendsItsPartOfTheReserveAndNotThatOfTheOthers) {
  AuditQuota hostile;
  AuditQuota neighbour;
  const int changes = granted(Weight::Change, hostile);
  EXPECT_GT(changes, 10) << "changes are still granted";
  EXPECT_LT(changes, 30);
  EXPECT_EQ(granted(Weight::Opening, hostile), 0) << "of the same part";
  const int removals = granted(Weight::Removal, hostile);
  EXPECT_GT(removals, 10) << "what only takes away has a part of its own";
  EXPECT_LT(removals, 30);
  EXPECT_EQ(granted(Weight::Refusal, hostile), 0);
  EXPECT_EQ(granted(Weight::Change, neighbour), changes) << "as if there had been nobody else";
  EXPECT_EQ(granted(Weight::Removal, neighbour), removals);
}

TEST_F(FullDisk, LeavesTheLastPartToClosings) {
  std::vector<AuditQuota> many(limits::kAuditReserveShares * 2);
  int granted_at_last = 0;
  for (AuditQuota& quota : many) granted_at_last = granted(Weight::Change, quota) + granted(Weight::Removal, quota);
  EXPECT_EQ(granted_at_last, 0) << "so many use up what is not for closings";
  int closings = 0;
  while (closings < 100 && trail_->write(weighing(Weight::Closing), quota_)) ++closings;
  EXPECT_EQ(closings, 100);
}

TEST_F(FullDisk, GrantsNothingOnACountThatItCouldNotTell) {
  AuditQuota spent;
  for (AuditQuota::Use& use : spent.uses) use.is_spent = true;
  spent.hour = std::time(nullptr) / 3600;
  EXPECT_FALSE(trail_->write(weighing(Weight::Change), spent));
  EXPECT_FALSE(trail_->write(weighing(Weight::Read), spent));
  EXPECT_EQ(spent.untold(), 2U) << "and what it refuses for that is counted";
}

TEST_F(FullDisk, CountsWhatItRefusesOfEveryKindAndTellsItAsSoonAsThereIsSpace) {
  for (const bool is_spent : {false, true}) {
    for (const Weight weight : kWeights) {
      TearDown();
      SetUp();
      AuditQuota quota;
      quota.hour = std::time(nullptr) / 3600;
      for (AuditQuota::Use& use : quota.uses) use.is_spent = is_spent;
      std::uint64_t refused = 0;
      for (int i = 0; i < 100; ++i) refused += trail_->write(of_many(weight, 3), quota) ? 0 : 3;
      EXPECT_EQ(quota.untold(), refused) << static_cast<int>(weight);
      const bool is_written = weight == Weight::Closing || (weight == Weight::Ending && !is_spent);
      EXPECT_EQ(refused > 0, !is_written) << static_cast<int>(weight);
      fs::remove(directory_ + "/hog");
      ASSERT_TRUE(trail_->write(weighing(Weight::Change), quota));
      EXPECT_EQ(told_in(lines(), "audit.unwritten"), refused) << static_cast<int>(weight);
    }
  }
}

TEST_F(FullDisk, RecoversByItselfAndTheSharesOfTheReserveWithIt) {
  AuditQuota quota;
  const int before = granted(Weight::Change, quota);
  fs::remove(directory_ + "/hog");
  EXPECT_TRUE(trail_->write(weighing(Weight::Read), quota));
  EXPECT_TRUE(trail_->write(weighing(Weight::Change), quota));
  std::ofstream hog(directory_ + "/hog");
  for (int i = 0; i < 1000 && hog; ++i) hog << std::string(1024, 'x') << std::flush;
  AuditQuota other;
  EXPECT_TRUE(ends_soon([&] { return trail_->write(weighing(Weight::Forward), other); })) << "the disk is full again";
  EXPECT_GE(granted(Weight::Change, quota), before - 2) << "of the next shortage";
}

}  // namespace
}  // namespace sallyport::keeper
