// A uid range belongs to one session at a time, for as long as any copy of its lock lives.
#include "sallyport/uid_range.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

namespace sallyport {
namespace {

class UidRangeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/uid-range-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(UidRangeTest, TwoSessionsNeverShareARange) {
  const auto first = take_uid_range(directory_, 1000, 1000 + 2 * limits::kUidsPerSession - 1);
  const auto second = take_uid_range(directory_, 1000, 1000 + 2 * limits::kUidsPerSession - 1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->base, 1000U);
  EXPECT_EQ(second->base, 1000U + limits::kUidsPerSession);
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
