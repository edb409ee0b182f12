// A ledger's file on a disk that is full, or on which somebody else has written.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "broker/keeper/ledger_file.hpp"

namespace sallyport::keeper {
namespace {

class LedgerDisk : public testing::Test {
 protected:
  LedgerDisk() {
    char made[] = "/tmp/sallyport-ledger-XXXXXX";
    state = ::mkdtemp(made);
    head.session = *SessionId::parse("0123456789ab");
    head.profile = *ProfileName::parse("worker");
    ::getrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, SIG_IGN);
  }
  ~LedgerDisk() override {
    let_files_grow_to(old_.rlim_cur);
    ::signal(SIGXFSZ, SIG_DFL);
    std::filesystem::remove_all(state);
  }
  void SetUp() override { ASSERT_TRUE(make_ledger_directory(state)); }
  void let_files_grow_to(rlim_t bytes) const {
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  void let_files_grow() const { let_files_grow_to(old_.rlim_cur); }
  std::string path() const { return ledger_path(state, head.session); }
  std::string name(const std::string& text) const { return dockerd_name(head.session, *ContainerName::parse(text)); }

  std::string state;
  LedgerRecord head;
  rlimit old_{};
};

// Nor can the end of that line be written while the disk is full.
TEST_F(LedgerDisk, ThatTookHalfALineIsReadWithWhatFollowsIt) {
  auto file = LedgerFile::create(state, head);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->intent(name("aa")));
  for (const std::size_t fits : {1U, 10U}) {
    let_files_grow_to(std::filesystem::file_size(path()) + fits);
    EXPECT_FALSE(file->intent(name("half"))) << "a line that did not fit is an error";
    EXPECT_FALSE(file->intent(name("none"))) << "and so is the next";
    let_files_grow();
    ASSERT_TRUE(file->intent(name("b" + std::to_string(fits))));
  }
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left && left->size() == 1U);
  const auto& containers = left->front().record.containers;
  EXPECT_EQ(containers.size(), 3U);
  for (const char* written : {"aa", "b1", "b10"}) EXPECT_TRUE(containers.contains(name(written))) << written;
}

// A worker chooses names, and how many lines there are: so where the disk is full.
TEST_F(LedgerDisk, ThatTookHalfALineIsNotReadAsAnother) {
  auto file = LedgerFile::create(state, head);
  ASSERT_TRUE(file && file->intent(name("db")) && file->intent(name("db1")) && file->uid_base(300'000));
  const auto write_all_but = [&](std::size_t bytes, const std::string& line, auto&& write) {
    let_files_grow_to(std::filesystem::file_size(path()) + line.size() - bytes);
    EXPECT_FALSE(write());
    let_files_grow();
    ASSERT_TRUE(file->intent(name("next")));
  };
  write_all_but(1, "gone " + name("db1"), [&] { return file->gone(name("db1")); });
  write_all_but(0, "gone " + name("db"), [&] { return file->gone(name("db")); });  // all but its end
  write_all_but(2, "intent " + name("new"), [&] { return file->intent(name("new")); });
  write_all_but(1, "uid 3000000", [&] { return file->uid_base(3'000'000); });
  write_all_but(3, "ended 1700000000", [&] { return file->ended(1'700'000'000); });
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left && left->size() == 1U);
  const LedgerRecord& record = left->front().record;
  EXPECT_EQ(record.containers.size(), 3U);
  for (const char* written : {"db", "db1", "next"}) EXPECT_TRUE(record.containers.contains(name(written))) << written;
  EXPECT_EQ(record.uid_base, 300'000U);
  EXPECT_FALSE(record.ended);
}

TEST_F(LedgerDisk, OfABrokerThatDiedInALineTakesTheNext) {
  std::ofstream(path()) << "session 0123456789ab worker 300000 cgroupfs\nintent " + name("aa") + "\nmade " + name("aa");
  auto file = LedgerFile::open_left(path());
  ASSERT_TRUE(file && file->ended(1'700'000'000));
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left && left->size() == 1U);
  EXPECT_EQ(left->front().record.ended, 1'700'000'000);
}

TEST_F(LedgerDisk, IsItsOwnersAlone) {
  const mode_t old = ::umask(0);
  auto file = LedgerFile::create(state, head);
  ::umask(old);
  ASSERT_TRUE(file);
  EXPECT_EQ(std::filesystem::status(path()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(LedgerDisk, IsNoLink) {
  std::ofstream(state + "/elsewhere") << "session 0123456789ab worker 0 cgroupfs\n";
  std::filesystem::create_symlink(state + "/elsewhere", path());
  EXPECT_FALSE(LedgerFile::create(state, head));
  EXPECT_FALSE(LedgerFile::open_left(path()));
  EXPECT_FALSE(read_left_ledgers(state));
}

TEST_F(LedgerDisk, OfMoreThanIsReadIsAnErrorAndStays) {
  std::ofstream(path()) << "session 0123456789ab worker 300000 cgroupfs\n";
  std::filesystem::resize_file(path(), limits::kMaxLedgerBytes);
  EXPECT_TRUE(read_left_ledgers(state));
  std::filesystem::resize_file(path(), limits::kMaxLedgerBytes + 1);
  const auto left = read_left_ledgers(state);
  ASSERT_FALSE(left);
  EXPECT_THAT(left.error().text(), testing::HasSubstr("it is too large"));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(LedgerDisk, ThatNamesAnotherSessionIsNotReadAsItsOwn) {
  std::ofstream(path()) << "session ba9876543210 worker 300000 cgroupfs\nintent sp-ba9876543210-db\n";
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left);
  EXPECT_TRUE(left->empty());
}

// It has grown, and is written anew where there is no room for all of it: the old one stays, whole.
TEST_F(LedgerDisk, StaysWholeWhereItCannotBeWrittenAnew) {
  auto file = LedgerFile::create(state, head);
  ASSERT_TRUE(file);
  const ContainerId id = *ContainerId::parse(std::string(64, 'c'));
  std::size_t made = 0;
  const auto next = [&] { return name(std::string(100, 'n') + std::to_string(made)); };
  while (std::filesystem::file_size(path()) <= limits::kLedgerGrowsTo) {
    ASSERT_TRUE(file->intent(next()) && file->made(next(), id));
    ++made;
  }
  let_files_grow_to(limits::kLedgerGrowsTo / 2);
  EXPECT_FALSE(file->intent(name("full")));
  let_files_grow();
  ASSERT_TRUE(file->intent(name("later")));
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left && left->size() == 1U);
  const auto& containers = left->front().record.containers;
  EXPECT_EQ(std::ranges::count_if(containers, [&](const auto& entry) { return entry.second == id.text(); }), made);
  EXPECT_TRUE(containers.contains(name("later"))) << "what was written since is in the same file";
  EXPECT_FALSE(std::filesystem::exists(path() + ".next"));
}

TEST_F(LedgerDisk, RefusesALineBeforeItIsTooLargeToBeRead) {
  std::ofstream(path()) << "session 0123456789ab worker 300000 cgroupfs\nintent " + name("aa") + "\n";
  auto file = LedgerFile::open_left(path());
  ASSERT_TRUE(file);
  constexpr std::size_t kLine = 1024 * 1024;
  std::size_t written = 0;
  Result<> last;
  while (written <= limits::kMaxLedgerBytes && (last = file->gone(std::string(kLine, 'x')))) written += kLine;
  ASSERT_FALSE(last) << "it takes ever more";
  EXPECT_THAT(last.error().text(), testing::HasSubstr("it has grown too large"));
  EXPECT_GE(written, limits::kMaxLedgerBytes / 2);
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left && left->size() == 1U);
  EXPECT_TRUE(left->front().record.containers.contains(name("aa")));
}

}  // namespace
}  // namespace sallyport::keeper
