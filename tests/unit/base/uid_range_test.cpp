// A uid range belongs to one session at a time, for as long as any copy of its lock lives.
#include "sallyport/uid_range.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "unit/temporary_directory.hpp"

namespace sallyport {
namespace {

class UidRangeTest : public testing::Test {
 protected:
  const tests::TemporaryDirectory made_;
  const std::string directory_ = made_.path();
};

TEST_F(UidRangeTest, TwoSessionsNeverShareARange) {
  const auto first = take_uid_range(directory_, 1000, 1000 + 2 * limits::kUidsPerSession - 1);
  const auto second = take_uid_range(directory_, 1000, 1000 + 2 * limits::kUidsPerSession - 1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(std::min(first->base, second->base), 1000U);
  EXPECT_EQ(std::max(first->base, second->base), 1000U + limits::kUidsPerSession);
}

// From the first on, each would be tried again by everybody who comes later.
TEST_F(UidRangeTest, IsFoundWithoutTryingAllThatAreTaken) {
  constexpr std::uint32_t kLast = 1000 + 1000 * limits::kUidsPerSession - 1;
  std::vector<UidRange> taken;
  for (int i = 0; i < 250; ++i) taken.push_back(*take_uid_range(directory_, 1000, kLast));
  std::set<std::uint32_t> bases;
  for (const UidRange& range : taken) {
    EXPECT_EQ((range.base - 1000) % limits::kUidsPerSession, 0U);
    EXPECT_LE(range.base + limits::kUidsPerSession - 1, kLast);
    bases.insert(range.base);
  }
  EXPECT_EQ(bases.size(), 250U);
  // Each of 250 tries left a file, whether it locked it or not: with a quarter in use, 1.2 tries are expected.
  EXPECT_GT(*bases.rbegin(), 1000 + 500 * limits::kUidsPerSession) << "they are anywhere in the span";
}

// Each that was ever taken leaves the file of its lock in the host's /run.
TEST_F(UidRangeTest, OfALargeSpanLeavesNoMoreFilesThanRangesInTurn) {
  for (int i = 0; i < 300; ++i) {
    const auto range = take_uid_range(directory_, 1000, 4'000'000'000);
    ASSERT_TRUE(range);
    EXPECT_LT(range->base, 1000 + limits::kRangesInTurn * limits::kUidsPerSession);
  }
}

TEST_F(UidRangeTest, OfASpanIsFoundUntilTheLastIsTaken) {
  std::vector<UidRange> taken;
  for (int i = 0; i < 20; ++i) {
    auto range = take_uid_range(directory_, 1000, 1000 + 20 * limits::kUidsPerSession - 1);
    ASSERT_TRUE(range) << i;
    taken.push_back(std::move(*range));
  }
  EXPECT_FALSE(take_uid_range(directory_, 1000, 1000 + 20 * limits::kUidsPerSession - 1));
}

TEST_F(UidRangeTest, AFullSpanRefusesAndSaysWhatToDo) {
  const auto taken = take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1);
  ASSERT_TRUE(taken);
  const auto refused = take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().doing.find("uid_span"), std::string::npos) << refused.error().doing;
}

TEST_F(UidRangeTest, ARangeIsFreeOnlyWhenTheLastCopyOfItsLockIsClosed) {
  auto launcher = take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1);
  ASSERT_TRUE(launcher);
  UniqueFd keeper = UniqueFd::adopt(::dup(launcher->lock.get()));
  launcher->lock.reset();
  EXPECT_FALSE(take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1)) << "the keeper still cleans up";
  keeper.reset();
  EXPECT_TRUE(take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1));
}

TEST_F(UidRangeTest, ARangeThatDoesNotFitIntoTheSpanIsNotTaken) {
  EXPECT_FALSE(take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 2));
}

TEST(UidRanges, OverlapWhereTheyShareAUid) {
  for (const std::uint32_t other : {1000U - limits::kUidsPerSession + 1, 1000U, 1000U + limits::kUidsPerSession - 1})
    EXPECT_TRUE(uid_ranges_overlap(1000, other)) << other;
  for (const std::uint32_t other : {1000U - limits::kUidsPerSession, 1000U + limits::kUidsPerSession})
    EXPECT_FALSE(uid_ranges_overlap(1000, other)) << other;
}

TEST_F(UidRangeTest, AFullSpanIsWaitedForWhileThereIsPatience) {
  auto taken = take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1);
  ASSERT_TRUE(taken);
  std::thread ending([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    taken->lock.reset();
  });
  EXPECT_TRUE(take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1, std::chrono::seconds(5)));
  ending.join();
}

TEST_F(UidRangeTest, ALockThatIsASymlinkIsRefused) {
  std::filesystem::create_directory(directory_ + "/uids");
  std::filesystem::create_symlink("/dev/null", uid_lock_path(directory_, 1000));
  EXPECT_FALSE(take_uid_range(directory_, 1000, 1000 + limits::kUidsPerSession - 1));
}

}  // namespace
}  // namespace sallyport
