// The file of a profile's accounts: what may stand in it, how it is replaced, and that no rate or share of what it says
// is lost on the way through it.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "broker/keeper/account.hpp"
#include "broker/keeper/audit.hpp"

namespace sallyport::keeper {
namespace {

namespace fs = std::filesystem;

std::int64_t now_in_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

class AccountsInAFile : public testing::Test {
 protected:
  AccountsInAFile() {
    char made[] = "/tmp/sallyport-accounts-XXXXXX";
    directory_ = ::mkdtemp(made);
    restart();
  }
  ~AccountsInAFile() override { fs::remove_all(directory_); }
  void restart() {
    brokers_.push_back(std::make_unique<ProfileAccounts>("worker", file()));
    profile_ = brokers_.back().get();
  }
  std::string file() const { return directory_ + "/worker"; }
  void write(const std::string& text) const { std::ofstream(file()) << text; }
  static std::string text_in(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool begins_spent() {
    restart();
    return profile_->quota().use(Share::Change).is_spent;
  }
  std::string directory_;
  std::vector<std::unique_ptr<ProfileAccounts>> brokers_;
  ProfileAccounts* profile_ = nullptr;
};

using Bucket = KeptBucket Account::*;
constexpr Bucket kBuckets[] = {&Account::requests, &Account::creates, &Account::connections, &Account::untold};

// How many it gives at once.
std::uint32_t spend(const AccountLease& lease, Bucket bucket, std::uint32_t most = 100'000) {
  std::uint32_t taken = 0;
  while (taken < most && !(lease.account().*bucket).take(Clock::now())) ++taken;
  return taken;
}

TEST_F(AccountsInAFile, AreFoundAsTheyWereOfEveryRate) {
  for (const Bucket bucket : kBuckets) {
    fs::remove(file());
    restart();
    {
      const AccountLease lease = profile_->take({60, 6, 60});
      EXPECT_GE(spend(lease, bucket), 6U);
    }
    restart();
    EXPECT_LE(spend(profile_->take({60, 6, 60}), bucket), bucket == &Account::untold ? 3000U : 1U)
        << "what seconds give";
  }
}

TEST_F(AccountsInAFile, OfEveryRateAreNotRefilledByACrashAtAnyMoment) {
  for (const Bucket bucket : kBuckets) {
    const std::uint32_t all = bucket == &Account::untold        ? limits::kMaxUntoldPerMinute
                              : bucket == &Account::requests    ? burst_of_requests(60)
                              : bucket == &Account::connections ? 60
                                                                : 6;
    for (const std::uint32_t part : {4U, 2U, 1U}) {
      fs::remove(file());
      restart();
      const AccountLease before = profile_->take({60, 6, 60});
      const std::uint32_t spent = spend(before, bucket, all / part);
      restart();
      const std::uint32_t after = spend(profile_->take({60, 6, 60}), bucket);
      EXPECT_LE(spent + after, all + all / 4) << "and what a few seconds give";
    }
  }
}

TEST_F(AccountsInAFile, InUseFillFromASecondLaterOnThanTheyWereWritten) {
  const std::int64_t before = now_in_milliseconds();
  AccountLease lease = profile_->take({60, 6, 60});
  const auto in_use = parse_accounts(text_in(file()));
  ASSERT_TRUE(in_use && in_use->accounts.size() == 1);
  EXPECT_GE(in_use->accounts[0].at, before + 1000);
  (void)spend(lease, &Account::creates);
  lease.give_back();
  const auto given_back = parse_accounts(text_in(file()));
  ASSERT_TRUE(given_back && given_back->accounts.size() == 1);
  EXPECT_LE(given_back->accounts[0].at, now_in_milliseconds());
}

TEST_F(AccountsInAFile, ThatWereWrittenByAClockThatWasSetBackSinceAreNotRefilled) {
  const std::int64_t tomorrow = now_in_milliseconds() + 24LL * 3'600'000;
  write(text_of({.accounts = {{tomorrow, 0, 0, 0, 0}}}));
  restart();
  const AccountLease lease = profile_->take({60, 6, 60});
  for (const Bucket bucket : {&Account::requests, &Account::creates, &Account::connections})
    EXPECT_EQ(spend(lease, bucket), 0U);
}

TEST_F(AccountsInAFile, KeepWhatTheTrailCouldNotTakeAndWhenCountsWereTold) {
  profile_->quota().unwritten = 5;
  const auto told = std::chrono::system_clock::now() - std::chrono::seconds(7);
  profile_->quota().told = told;
  profile_->quota().save();
  restart();
  EXPECT_EQ(profile_->quota().unwritten, 5U);
  EXPECT_LT(std::chrono::abs(profile_->quota().told - told), std::chrono::milliseconds(2));
}

TEST_F(AccountsInAFile, TellCountsNoLaterForAClockThatWasSetBack) {
  SavedAccounts saved;
  saved.told = now_in_milliseconds() + 24LL * 3'600'000;
  write(text_of(saved));
  restart();
  EXPECT_LE(profile_->quota().told, std::chrono::system_clock::now());
}

TEST_F(AccountsInAFile, HaveTheRatesThatTheProfileHasNow) {
  {
    const AccountLease before = profile_->take({600, 60, 600});
  }
  const AccountLease after = profile_->take({60, 6, 60});
  EXPECT_EQ(after.account().requests.per_minute(), 60U);
  EXPECT_LE(spend(after, &Account::requests), burst_of_requests(60) + 1);
  EXPECT_EQ(spend(after, &Account::creates), 6U);
  EXPECT_EQ(spend(after, &Account::connections), 60U);
}

TEST_F(AccountsInAFile, OfASessionHaveTheRatesOfItsProfile) {
  ASSERT_TRUE(Accounts::make_directory(directory_));
  Accounts accounts(directory_);
  Profile profile;
  profile.name = *ProfileName::parse("worker");
  profile.docker.emplace();
  profile.docker->budget.requests_per_minute = 77;
  profile.docker->budget.creates_per_minute = 7;
  AccountLease lease = accounts.open(profile);
  EXPECT_EQ(lease.account().requests.per_minute(), 77U);
  EXPECT_EQ(spend(lease, &Account::creates), 7U);
  lease.give_back();
  profile.docker.reset();
  const AccountLease without = accounts.open(profile);
  EXPECT_EQ(without.account().requests.per_minute(), 1U);
  EXPECT_EQ(without.account().creates.per_minute(), 1U);
}

TEST_F(AccountsInAFile, LieInADirectoryOfTheKeepersAlone) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(Accounts::make_directory(directory_));
  ::umask(before);
  EXPECT_EQ(fs::status(directory_ + "/accounts").permissions(), fs::perms::owner_all);
  EXPECT_TRUE(Accounts::make_directory(directory_)) << "and it may be there";
  EXPECT_FALSE(Accounts::make_directory(directory_ + "/nowhere"));
}

TEST_F(AccountsInAFile, AreReadableByTheirOwnerOnlyWhateverTheUmask) {
  const mode_t before = ::umask(0);
  (void)profile_->take({60, 6, 60});
  ::umask(before);
  EXPECT_EQ(fs::status(file()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

// --- a file that is not what was written ---

TEST_F(AccountsInAFile, ThatIsALinkAreNotReadAndBeginSpent) {
  std::ofstream(directory_ + "/elsewhere") << text_of({});
  fs::create_symlink("elsewhere", file());
  EXPECT_TRUE(begins_spent());
}

TEST_F(AccountsInAFile, AreReplacedThroughNoLink) {
  std::ofstream(directory_ + "/elsewhere") << "of somebody";
  fs::create_symlink("elsewhere", file() + ".next");
  (void)profile_->take({60, 6, 60});
  EXPECT_EQ(text_in(directory_ + "/elsewhere"), "of somebody");
}

TEST_F(AccountsInAFile, AreReplacedAsAWholeOverWhatACrashHasLeft) {
  std::ofstream(file() + ".next") << std::string(10'000, 'x');
  const AccountLease lease = profile_->take({60, 6, 60});
  EXPECT_TRUE(parse_accounts(text_in(file()))) << text_in(file()).substr(0, 300);
}

TEST_F(AccountsInAFile, StayAsTheyWereWhereTheDiskHasNoRoomForMore) {
  AccountLease lease = profile_->take({60, 6, 60});
  const std::string before = text_in(file());
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{10}}) {  // nothing, and half of it
    const rlimit full{bytes, old.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &full);
    lease.quota().save();
    ::setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_EQ(text_in(file()), before) << bytes;
  }
  ::signal(SIGXFSZ, SIG_DFL);
  EXPECT_FALSE(begins_spent());
}

TEST_F(AccountsInAFile, ThatCannotBeWrittenAreSaidOnceInTheLogAndOnceMoreTheNextTime) {
  for (int again = 0; again < 2; ++again) {
    fs::create_directory(file() + ".next");
    testing::internal::CaptureStderr();
    profile_->quota().save();
    profile_->quota().save();
    const std::string said = testing::internal::GetCapturedStderr();
    const std::string words = "a restart of the broker would refill the rates of profile worker";
    EXPECT_THAT(said, testing::HasSubstr(words));
    EXPECT_EQ(said.find(words, said.find(words) + 1), std::string::npos) << said;
    fs::remove(file() + ".next");
    profile_->quota().save();
  }
  EXPECT_TRUE(parse_accounts(text_in(file())));
}

TEST_F(AccountsInAFile, OfTheMostBytesAreReadAndOfOneMoreBeginSpent) {
  const auto of_size = [](std::size_t size) {
    std::string text = text_of({});
    while (size - text.size() >= 40) text += "hour 0000000001\n";
    return text + "hour " + std::string(size - text.size() - 7, '0') + "1\n";
  };
  write(of_size(limits::kMaxAccountsBytes));
  EXPECT_FALSE(begins_spent());
  write(of_size(limits::kMaxAccountsBytes + 1));
  testing::internal::CaptureStderr();
  EXPECT_TRUE(begins_spent());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("it is too large"));
}

TEST_F(AccountsInAFile, ThatCannotBeReadBeginSpentOfEveryRateAndShare) {
  write("nonsense\n");
  restart();
  const AccountLease lease = profile_->take({60, 6, 60});
  EXPECT_EQ(spend(lease, &Account::requests), 0U);
  EXPECT_EQ(spend(lease, &Account::creates), 0U);
  EXPECT_EQ(spend(lease, &Account::connections), 0U);
  EXPECT_LE(spend(lease, &Account::untold), 3000U) << "what a few seconds give";
  auto trail = *AuditTrail::open(directory_, "b0");
  AuditRecord record;
  for (const Weight weight : {Weight::Read, Weight::Refusal, Weight::Forward, Weight::Change, Weight::Removal,
                              Weight::Opening, Weight::Ending}) {
    record.weight = weight;
    ASSERT_TRUE(trail.write(record, profile_->quota()));
  }
  EXPECT_EQ(profile_->quota().untold(), 7U);
  EXPECT_EQ(text_in(directory_ + "/audit.jsonl") + text_in(directory_ + "/audit.jsonl.reads"), "")
      << "counted only, until the hour is over";
}

TEST_F(AccountsInAFile, ThatHaveFilledUpNeedNoLine) {
  const auto lines = [this] { return parse_accounts(text_in(file()))->accounts.size(); };
  std::vector<AccountLease> at_once;
  for (int i = 0; i < 100; ++i) at_once.push_back(profile_->take({60, 6, 60}));
  EXPECT_EQ(lines(), 100U);
  (void)spend(at_once.back(), &Account::creates);
  at_once.clear();
  EXPECT_EQ(lines(), 1U) << "the one that has spent";
  const std::int64_t now = now_in_milliseconds(), long_ago = now - 2LL * 3'600'000;
  write(text_of({.accounts = {{now, 0, 0, 0, 0}, {long_ago, 0, 0, 0, 0}, {long_ago, 0, -1000, 0, 0}}}));
  restart();
  const AccountLease first = profile_->take({60, 6, 60});
  EXPECT_EQ(lines(), 2U) << "the first, which is in use, and the one that owed";
}

// As written by a broker whose forwards had no rate of their profile's.
TEST(AccountsFile, OfTheVersionBeforeIsReadWithItsConnectionsSpent) {
  std::string text = text_of({1, {}, 0, {{1, 2, 3, 4, 5}}});
  const auto replace = [&](std::string_view from, std::string_view to) {
    text.replace(text.find(from), from.size(), to);
  };
  replace("accounts 3", "accounts 2");
  EXPECT_FALSE(parse_accounts(text)) << "it has no fifth number";
  replace("account 1 2 3 4 5", "account 1 2 3 5");
  const auto saved = parse_accounts(text);
  ASSERT_TRUE(saved && saved->accounts.size() == 1);
  EXPECT_EQ(saved->accounts[0].creates, 3);
  EXPECT_EQ(saved->accounts[0].connections, 0);
  EXPECT_EQ(saved->accounts[0].untold, 5);
}

TEST(AccountsFile, IsOfNoOtherFormThanItsOwn) {
  const std::string whole = text_of({1, {}, 0, {{1, 2, 3, 4, 5}}});
  ASSERT_TRUE(parse_accounts(whole));
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  for (const std::string& text : {with("accounts 3", "accounts 2"),
                                  with("sallyport", "Sallyport"),
                                  with("told 0", "told -1"),
                                  with("unwritten 0", "unwritten -1"),
                                  with("share 0 0 0", "share -1 0 0"),
                                  with("share 0 0 0", "share 0 -1 0"),
                                  with("share 0 0 0", "share 0 0 -1"),
                                  with("share 0 0 0", "share 0 0"),
                                  with("share 0 0 0", "share 0 0 0 0"),
                                  with("share 0 0 0\n", ""),
                                  with("share 0 0 0\n", "share 0 0 0\nshare 0 0 0\n"),
                                  with("hour 1", "hour x"),
                                  with("hour 1", "hour"),
                                  with("hour 1", "hour 1 2"),
                                  with("hour 1", "hour  1"),
                                  with("hour 1", "hour 1x"),
                                  with("hour 1", "hour 99999999999999999999"),
                                  with("account 1", "account 99999999999999999999"),
                                  with("account 1 2 3 4 5", "account 1 2 3 4"),
                                  with("account 1 2 3 4 5", "account 1 2 3 4 5 6"),
                                  with("account 1 2 3 4 5", "account 1 2 3 4 5 6 7 8 9"),
                                  with("account", "other"),
                                  with("hour 1\n", "\nhour 1\n")})
    EXPECT_FALSE(parse_accounts(text)) << text;
}

}  // namespace
}  // namespace sallyport::keeper
