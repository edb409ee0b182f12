// The files of the trail themselves: how they are opened, rotated and given back, and that a fault of one of these
// steps is an error before anything is lost.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <set>

#include "audit_under_test.hpp"

namespace sallyport::keeper {
namespace {

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) ++count;
  return count;
}

// No file of this process grows beyond so many bytes while it lives.
class FilesGrowTo {
 public:
  explicit FilesGrowTo(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit most{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &most);
  }
  ~FilesGrowTo() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit old_{};
};

class TrailFiles : public Audit {
 protected:
  std::string path(const std::string& suffix = "") const { return directory_ + "/audit.jsonl" + suffix; }
  std::string text_of(const std::string& suffix = "") const {
    std::ifstream file(path(suffix));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Of each descriptor of this process on a file in the directory: both kinds of its flags.
  std::vector<std::pair<int, int>> flags_of_descriptors() const {
    std::vector<std::pair<int, int>> all;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (!fs::read_symlink(entry, gone).string().starts_with(directory_)) continue;
      const int fd = std::stoi(entry.path().filename());
      all.emplace_back(::fcntl(fd, F_GETFD), ::fcntl(fd, F_GETFL));
    }
    return all;
  }
};

TEST_F(TrailFiles, AreAppendedToAndGoToNoOtherProgram) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(trail->write(weighing(i % 2 == 0 ? Weight::Read : Weight::Change), quota_));
    const auto flags = flags_of_descriptors();
    EXPECT_EQ(flags.size(), 2U) << "those that were rotated are closed";
    for (const auto& [of_descriptor, of_file] : flags) {
      EXPECT_NE(of_descriptor & FD_CLOEXEC, 0);
      EXPECT_NE(of_file & O_APPEND, 0);
      EXPECT_EQ(of_file & O_ACCMODE, O_WRONLY);
    }
  }
}

TEST_F(TrailFiles, AreFilesAndNothingElse) {
  fs::create_directory(path());
  EXPECT_FALSE(AuditTrail::open(directory_, "bb"));
  fs::remove(path());
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  const UniqueFd reader = UniqueFd::adopt(::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const auto opened = AuditTrail::open(directory_, "bb");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text(), testing::HasSubstr("not a regular file"));
}

TEST_F(TrailFiles, HoldEachRecordOnALineOfItsOwnAfterOneThatWasCut) {
  auto trail = AuditTrail::open(directory_, "bb");
  ASSERT_TRUE(trail->write(record(), quota_));
  for (int again = 0; again < 3; ++again) {
    {
      const FilesGrowTo cut(fs::file_size(path()) + 100);
      EXPECT_FALSE(trail->write(record(), quota_)) << "a line that did not fit is an error";
      EXPECT_FALSE(trail->write(record(), quota_));
    }
    ASSERT_TRUE(trail->write(record(), quota_));
    const std::string last = lines().back();
    EXPECT_EQ(count_of(last, "\"time\""), 1U) << last;
    EXPECT_THAT(last, testing::EndsWith("}"));
  }
}

TEST_F(TrailFiles, CountTheBytesOfLinesThatWereCutToTheirSize) {
  auto trail = AuditTrail::open(directory_, "bb", three_small_files());
  ASSERT_TRUE(trail->write(record(), quota_));
  const std::size_t each = fs::file_size(path());
  while (fs::file_size(path()) + each <= 1000) {
    const FilesGrowTo cut(fs::file_size(path()) + 50);
    ASSERT_FALSE(trail->write(record(), quota_));
  }
  ASSERT_TRUE(trail->write(record(), quota_));
  EXPECT_TRUE(fs::exists(path(".1"))) << "one more did not fit";
  EXPECT_LE(fs::file_size(path(".1")), 1000U);
}

TEST_F(TrailFiles, HoldALineThatIsLargerThanAFileWithoutPushingOutOthersForIt) {
  AuditTrail::Bounds bounds = three_small_files();
  bounds.file_bytes = 10;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  ASSERT_TRUE(trail->write(record(), quota_));
  EXPECT_FALSE(fs::exists(path(".1"))) << "there was nothing in it";
  ASSERT_TRUE(trail->write(record(), quota_));
  EXPECT_EQ(lines("audit.jsonl.1").size(), 1U);
  EXPECT_EQ(lines().size(), 1U);
}

TEST_F(TrailFiles, AreAsManyAsTheirBoundSaysOfEachSet) {
  AuditTrail::Bounds bounds = three_small_files();
  bounds.read_files = 2;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(trail->write(weighing(Weight::Read), quota_));
    ASSERT_TRUE(trail->write(weighing(Weight::Closing), quota_));
  }
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory_)) names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.reads",
                                          "audit.jsonl.reads.1"}));
  for (const std::string& name : names) EXPECT_LE(fs::file_size(directory_ + "/" + name), 1000U) << name;
}

// A directory in the place of an older file: no rename goes there.
TEST_F(TrailFiles, LoseNothingWhereAnOlderOneCannotBeMovedAndGrantNothingThen) {
  AuditTrail::Bounds bounds = three_small_files();
  bounds.files = 2;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  fs::create_directories(path(".1") + "/x");
  int written = 0;
  while (written < 100 && trail->write(record(), quota_)) ++written;
  ASSERT_LT(written, 100) << "a file holds no more than a few";
  const std::string before = text_of();
  EXPECT_EQ(count_of(before, "\n"), static_cast<std::size_t>(written));
  for (int again = 0; again < 5; ++again) EXPECT_FALSE(trail->write(record(), quota_));
  EXPECT_EQ(text_of(), before);
  fs::remove_all(path(".1"));
  EXPECT_TRUE(trail->write(record(), quota_)) << "and goes on as soon as it can";
}

TEST_F(TrailFiles, GrantNothingWhereTheNewOneDoesNotComeIntoItsPlace) {
  AuditTrail::Bounds bounds = three_small_files();
  bounds.files = 1;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  ASSERT_TRUE(trail->write(record(), quota_));
  fs::remove(path());
  fs::create_directories(path() + "/x");
  int written = 0;
  while (written < 100 && trail->write(record(), quota_)) ++written;
  EXPECT_LT(written, 10) << "no record goes into a file that nobody finds";
}

TEST_F(TrailFiles, GiveTheirReserveBackWhenTheyAreRotated) {
  AuditTrail::Bounds bounds = three_small_files();
  bounds.reserve_bytes = 1024 * 1024;
  auto trail = AuditTrail::open(directory_, "bb", bounds);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(trail->write(record(), quota_));
  for (const char* suffix : {".1", ".2"}) {
    struct stat status{};
    ASSERT_EQ(::stat(path(suffix).c_str(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 64 * 1024) << suffix;
  }
}

TEST_F(Audit, WritesAgainWhenTheHourIsOver) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(1200));
  AuditQuota quota;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Change), quota));
  for (int hours = 1; hours <= 3; ++hours) {
    quota.hour -= 1;  // an hour passes
    AuditRecord first = weighing(Weight::Change);
    first.object = "the first of hour " + std::to_string(hours);
    ASSERT_TRUE(trail->write(first, quota));
    EXPECT_THAT(lines().back(), testing::HasSubstr(first.object));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(trail->write(weighing(Weight::Change), quota));
    EXPECT_TRUE(quota.use(Share::Change).is_spent);
  }
}

TEST_F(Audit, ForgetsNoCountWhereItCannotBeTold) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  for (const Weight weight : kWeights) ASSERT_TRUE(trail->write(of_many(weight, 3), quota));
  quota.unwritten = 5;
  const std::uint64_t untold = quota.untold();
  EXPECT_EQ(untold, 5 + 3 * std::size(kWeights));
  int saved = 0;
  quota.save = [&] { ++saved; };
  {
    const FilesGrowTo none(0);
    EXPECT_FALSE(trail->write_counted(quota));
    EXPECT_EQ(quota.untold(), untold);
    EXPECT_EQ(saved, 0);
    AuditQuota of_another;
    of_another.unwritten = 4;
    EXPECT_FALSE(trail->write_counted(of_another));
    EXPECT_EQ(of_another.untold(), 4U);
  }
  ASSERT_TRUE(trail->write_counted(quota));
  EXPECT_EQ(quota.untold(), 0U);
  EXPECT_EQ(saved, 1) << "a broker that starts anew does not tell it again";
  EXPECT_EQ(told_in(lines(), "audit."), untold);
}

TEST_F(Audit, TellsCountsAtOnceWhereItToldThemLastByAClockThatWasSetBack) {
  auto trail = AuditTrail::open(directory_, "bb", with_shares_of(0));
  AuditQuota quota;
  quota.told = std::chrono::system_clock::now() + std::chrono::hours(24);
  ASSERT_TRUE(trail->write(record(), quota));
  ASSERT_TRUE(trail->write_counted_now_and_then(quota));
  EXPECT_EQ(quota.untold(), 0U);
}

// An account is kept as more used than it is before it is used further.
TEST_F(Audit, HasItsUseSavedAheadBeforeMoreIsUsedThanWasSaved) {
  auto trail = AuditTrail::open(directory_, "bb");
  AuditQuota quota;
  int saved = 0;
  quota.save_ahead = [&] {
    ++saved;
    for (AuditQuota::Use& use : quota.uses) use.saved_bytes = use.bytes + 1000;
  };
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(trail->write(record(), quota));
    EXPECT_LE(quota.use(Share::Change).bytes, quota.use(Share::Change).saved_bytes);
  }
  EXPECT_GE(saved, 4);
  EXPECT_LE(saved, 8) << "and not for each record";
}

}  // namespace
}  // namespace sallyport::keeper
