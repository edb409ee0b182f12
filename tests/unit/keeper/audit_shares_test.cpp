// What of it a profile may fill in an hour, and on a full disk; what is beyond, or cannot be written, is counted and
// told.
#include "audit_under_test.hpp"

#include <sys/resource.h>

#include <csignal>
#include <ctime>

namespace sallyport::keeper {
namespace {

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

TEST_F(FullDisk, LeavesTheReserveToChangesRemovalsAndOpenings) {
  for (const Weight weight : {Weight::Read, Weight::Refusal, Weight::Forward}) {
    AuditQuota fresh;
    EXPECT_LE(granted(weight, fresh), weight == Weight::Read ? 1 : 0) << static_cast<int>(weight);
    EXPECT_EQ(fresh.reserve_changes + fresh.reserve_removals, 0U);
  }
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
