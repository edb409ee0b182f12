// Rates and shares belong to the profile on this host: neither a session that starts again nor a broker that does, or
// dies, finds them refilled.
#include "broker/keeper/account.hpp"

#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "broker/keeper/audit.hpp"

namespace sallyport::keeper {
namespace {

namespace fs = std::filesystem;

class AccountOfAProfile : public testing::Test {
 protected:
  AccountOfAProfile() {
    char made[] = "/tmp/sallyport-accounts-XXXXXX";
    directory_ = ::mkdtemp(made);
    restart();
  }
  ~AccountOfAProfile() override { fs::remove_all(directory_); }
  // The next broker reads what the file says at this moment: after a crash, where a session still has its account.
  void restart() {
    brokers_.push_back(std::make_unique<ProfileAccounts>("worker", directory_ + "/worker"));
    profile_ = brokers_.back().get();
  }
  AccountLease take() { return profile_->take({60, 6, 60}); }
  static int creates_at_once(const AccountLease& lease) {
    int taken = 0;
    while (taken < 100 && !lease.account().creates.take(Clock::now())) ++taken;
    return taken;
  }
  std::string text_of_file() const {
    std::ifstream file(directory_ + "/worker");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  ino_t written() const {  // another one each time, for the file is replaced
    struct stat status{};
    ::stat((directory_ + "/worker").c_str(), &status);
    return status.st_ino;
  }
  std::string directory_;
  std::vector<std::unique_ptr<ProfileAccounts>> brokers_;
  ProfileAccounts* profile_ = nullptr;
};

TEST_F(AccountOfAProfile, IsFoundAsItWasByTheSessionThatStartsAgain) {
  {
    const AccountLease first = take();
    EXPECT_EQ(creates_at_once(first), 6);
  }
  for (int again = 0; again < 5; ++again) EXPECT_EQ(creates_at_once(take()), 0);
}

TEST_F(AccountOfAProfile, IsEachSessionsOwnWhereTheyRunSideBySide) {
  const AccountLease first = take();
  const AccountLease second = take();
  EXPECT_EQ(creates_at_once(first), 6);
  EXPECT_EQ(creates_at_once(second), 6);
}

TEST_F(AccountOfAProfile, ThatWasUsedLastIsTakenFirst) {
  AccountLease spent = take();
  AccountLease fresh = take();
  EXPECT_EQ(creates_at_once(spent), 6);
  fresh.give_back();
  spent.give_back();
  const AccountLease next = take();
  EXPECT_EQ(creates_at_once(next), 0) << "and not the one that is full";
  const AccountLease beside = take();
  EXPECT_EQ(creates_at_once(beside), 6);
  EXPECT_EQ(profile_->made(), 2U) << "as many as were open at once, and no more";
}

TEST_F(AccountOfAProfile, IsFoundAsItWasByTheNextBroker) {
  {
    AccountLease one = take();
    AccountLease other = take();
    EXPECT_EQ(creates_at_once(other), 6);
    one.give_back();
    other.give_back();
    profile_->quota().use(Share::Change).bytes = 1000;
    profile_->quota().use(Share::Refusal).counted = 7;
    profile_->quota().use(Share::Refusal).swallowed = 7;
    profile_->quota().save();
  }
  restart();
  EXPECT_EQ(profile_->made(), 1U) << "the one that has spent nothing is as good as a new one";
  EXPECT_EQ(profile_->quota().use(Share::Change).bytes, 1000U);
  EXPECT_EQ(profile_->quota().use(Share::Refusal).counted, 7U) << "what is to be told is told by the next broker";
  const AccountLease next = take();
  EXPECT_EQ(creates_at_once(next), 0);
  const AccountLease beside = take();
  EXPECT_EQ(creates_at_once(beside), 6);
}

TEST_F(AccountOfAProfile, HasWhatWasCountedToldNoSoonerForARestart) {
  auto trail = *AuditTrail::open(directory_, "b0");
  AuditRecord record;
  record.weight = Weight::Change;
  const auto count_and_tell = [&] {
    AuditQuota& quota = profile_->quota();
    quota.hour = std::time(nullptr) / 3600;
    quota.use(Share::Change).is_spent = true;
    ASSERT_TRUE(trail.write(record, quota));
    ASSERT_TRUE(trail.write_counted_now_and_then(quota));
    quota.save();
  };
  for (std::uint64_t again = 0; again < 5; ++again) {
    count_and_tell();
    EXPECT_EQ(profile_->quota().untold(), again) << "the first was told, the rest wait";
    restart();
  }
  profile_->quota().told -= limits::kAuditCountedEvery;
  count_and_tell();
  EXPECT_EQ(profile_->quota().untold(), 0U);
}

// The accounts that a broker has loaded and nobody has taken yet wait as the file says they are.
TEST_F(AccountOfAProfile, IsFoundAsItWasAlsoWhereABrokerBetweenHasNotTakenIt) {
  {
    const AccountLease one = take();
    const AccountLease other = take();
    EXPECT_EQ(creates_at_once(one), 6);
    EXPECT_FALSE(other.account().creates.take(Clock::now(), 3));
  }
  const auto before = parse_accounts(text_of_file());
  ASSERT_TRUE(before && before->accounts.size() == 2);
  restart();
  const AccountLease taken = take();
  restart();  // a crash
  const auto after = parse_accounts(text_of_file());
  ASSERT_TRUE(after && after->accounts.size() == 2);
  const auto& kept = before->accounts.back();
  EXPECT_EQ(text_of({.accounts = {after->accounts.back()}}), text_of({.accounts = {kept}}));
  EXPECT_EQ(profile_->made(), 2U);
  const AccountLease first = take();
  const AccountLease second = take();
  EXPECT_EQ(creates_at_once(first), 0);
  EXPECT_EQ(creates_at_once(second), 3);
}

TEST_F(AccountOfAProfile, ThatNobodyHasTakenSinceTheRestartIsTakenBeforeANewOneIsMade) {
  {
    const AccountLease one = take();
    const AccountLease other = take();
    EXPECT_EQ(creates_at_once(one) + creates_at_once(other), 12);
  }
  restart();
  AccountLease first = take();
  first.give_back();
  const AccountLease again = take();
  const AccountLease beside = take();
  EXPECT_EQ(creates_at_once(again) + creates_at_once(beside), 0);
  EXPECT_EQ(profile_->made(), 2U);
}

TEST_F(AccountOfAProfile, IsRefilledByTheTimeThatPassesAndNotByTheRestart) {
  std::ofstream(directory_ + "/worker") << text_of({0, {}, 0, {{0, 0, 0, 0}}});
  restart();
  EXPECT_EQ(creates_at_once(take()), 6) << "spent in 1970";
}

TEST_F(AccountOfAProfile, IsNotRefilledByACrashAtAnyMoment) {
  for (int spent = 1; spent <= 6; ++spent) {
    fs::remove(directory_ + "/worker");
    restart();
    int before = 0;
    AccountLease lease = take();
    while (before < spent && !lease.account().creates.take(Clock::now())) ++before;
    restart();  // a crash
    const int after = creates_at_once(take());
    EXPECT_LE(before + after, 6) << "spent " << spent << " before the crash";
  }
}

TEST_F(AccountOfAProfile, LosesLittleByACrash) {
  const AccountLease before = profile_->take({6000, 6000, 6000});
  restart();
  const AccountLease after = profile_->take({6000, 6000, 6000});
  EXPECT_GT(after.account().creates.save(Clock::now(), false), 6000 * 0.85);
}

TEST_F(AccountOfAProfile, IsWrittenAboutOnceASecondHoweverMuchIsAsked) {
  const AccountLease lease = profile_->take({60'000, 6, 60});
  std::size_t writes = 0;
  ino_t last = 0;
  const auto end = Clock::now() + std::chrono::seconds(2);
  while (Clock::now() < end) {
    (void)lease.account().requests.take(Clock::now());
    if (const ino_t now = written(); std::exchange(last, now) != now) ++writes;
  }
  EXPECT_LE(writes, 25U) << "ten for the burst, and one a second";
}

// A gate that has been taken over makes the keeper write thousands of records after its session has given back.
TEST_F(AccountOfAProfile, IsNotWrittenForEachRecordThatComesAfterItWasGivenBack) {
  {
    const AccountLease lease = take();
  }
  auto trail = *AuditTrail::open(directory_, "b0");
  AuditRecord record;
  record.weight = Weight::Refusal;
  record.profile = "worker";
  std::size_t writes = 0;
  ino_t last = written();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(trail.write(record, profile_->quota()));
    if (const ino_t now = written(); std::exchange(last, now) != now) ++writes;
  }
  EXPECT_GT(profile_->quota().use(Share::Refusal).bytes, 300'000U);
  EXPECT_LE(writes, 3U) << "one in 256 KiB";
  const auto said = parse_accounts(text_of_file());
  ASSERT_TRUE(said);
  EXPECT_GE(said->uses[static_cast<std::size_t>(Share::Refusal)].bytes, profile_->quota().use(Share::Refusal).bytes);
  {
    const AccountLease lease = take();
  }
  EXPECT_EQ(parse_accounts(text_of_file())->uses[static_cast<std::size_t>(Share::Refusal)].bytes,
            profile_->quota().use(Share::Refusal).bytes)
      << "given back, the file is exact again: a restart costs nothing";
}

TEST_F(AccountOfAProfile, BeginsSpentWhereItsFileCannotBeRead) {
  for (const char* text : {"", "nonsense\n", "sallyport-accounts 3\nhour 1\n", "sallyport-accounts 1\n"}) {
    std::ofstream(directory_ + "/worker") << text;
    restart();
    EXPECT_EQ(creates_at_once(take()), 0) << text;
    EXPECT_TRUE(profile_->quota().use(Share::Change).is_spent);
  }
}

TEST_F(AccountOfAProfile, IsReadableByItsOwnerOnly) {
  (void)take();
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/worker").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

// Accounts of so many workers of so many profiles, side by side, and what the log says of them.
class AccountsOfMany : public AccountOfAProfile {
 protected:
  AccountsOfMany() { (void)Accounts::make_directory(directory_); }
  void open_one_more_of(const char* name) {
    Profile profile;
    profile.name = *ProfileName::parse(name);
    testing::internal::CaptureStderr();
    leases_.push_back(accounts_.open(profile));
    log_ = testing::internal::GetCapturedStderr();
  }
  const std::string& log() const { return log_; }  // of the last
  Accounts accounts_{directory_};
  std::vector<AccountLease> leases_;
  std::string log_;
};

TEST_F(AccountsOfMany, ProfilesBeyondWhatTheTrailIsMadeForAreSaidInTheLog) {
  for (const char* name : {"a", "b", "c", "d"}) {
    open_one_more_of(name);
    EXPECT_EQ(log(), "");
  }
  open_one_more_of("e");
  EXPECT_THAT(log(), testing::HasSubstr("5 profiles are in use: if all wrote as much as they may, the trail would "
                                        "keep 6 hours"));
}

TEST_F(AccountsOfMany, ProfilesAreSaidInTheLogWhereTheTrailWouldNotKeepAnHour) {
  std::string said;
  for (int number = 0; number < 64; ++number) {
    open_one_more_of(("p" + std::to_string(number)).c_str());
    said += log();
  }
  EXPECT_THAT(said, testing::HasSubstr("the trail would keep less than an hour"));
}

TEST_F(AccountsOfMany, WorkersOfOneProfileHaveItsSharesTogetherAndNeedNotBeSaid) {
  while (leases_.size() < limits::kMaxSessions) {
    open_one_more_of("worker");
    EXPECT_EQ(log(), "");
  }
  for (const AccountLease& lease : leases_) EXPECT_EQ(&lease.quota(), &leases_.front().quota());
}

TEST(AccountsFile, IsReadAsItWasWritten) {
  SavedAccounts saved;
  saved.hour = 493'827;
  saved.uses[1].bytes = 1000;
  saved.uses[2].counted = 5;
  saved.uses[2].swallowed = 4;
  saved.unwritten = 3;
  saved.told = 1'777'777'777'777;
  saved.accounts = {{1, 2000, -3000, 4, 9}, {5, 6, 7, 8, 10}};
  const auto read = parse_accounts(text_of(saved));
  ASSERT_TRUE(read);
  EXPECT_EQ(text_of(*read), text_of(saved));
}

TEST(AccountsFile, HoldsAsManyAccountsAsThereAreSessionsAndNoMore) {
  SavedAccounts saved;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  saved.accounts.assign(limits::kMaxSessions, {most, most, most, most, most});
  EXPECT_TRUE(parse_accounts(text_of(saved)));
  EXPECT_LE(text_of(saved).size(), limits::kMaxAccountsBytes);
  const std::size_t without = text_of(SavedAccounts()).size();
  EXPECT_LE(text_of(saved).size() - without, limits::kMaxSessions * 128) << "as limits.hpp has it";
  saved.accounts.emplace_back();
  EXPECT_FALSE(parse_accounts(text_of(saved)));
}

TEST(AccountsFile, ThatIsCutAnywhereIsRefusedOrStillWhole) {
  const std::string text = text_of({1, {}, 0, {{1, 2, 3, 4, 5}}});
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto read = parse_accounts(std::string_view(text).substr(0, size));
    if (read) EXPECT_TRUE(text[size - 1] == '\n') << "a whole line at least";
  }
  EXPECT_FALSE(parse_accounts(text.substr(0, text.size() - 1)));
}

}  // namespace
}  // namespace sallyport::keeper
