// TRUSTED SIDE. What a profile has left on this host: the rates of each of its workers, and its shares of the audit
// trail. They belong to the profile, not to a session: whoever ends and starts again finds them as they were, after a
// restart of the broker, too.
//
// A session takes an account when it opens and gives it back when its ending begins. The next session takes the account
// that was used last; a new one is made only where more sessions of the profile are open at once than ever before. So
// workers side by side have a budget each, and a worker that starts again has the one it had.
//
// What the file says never allows more than what is true, so a crash refills nothing: an account in use is saved as a
// little more spent than it is, and again before it is spent further than that.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/keeper/audit_quota.hpp"
#include "broker/keeper/budget.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/result.hpp"

namespace sallyport::keeper {

class ProfileAccounts;

// A token bucket of which a file knows.
class KeptBucket {
 public:
  KeptBucket(std::uint32_t per_minute, Clock::time_point now) : bucket_(per_minute, now), saved_at_(now) {}

  // As TokenBucket's.
  template <class... Cost>
  auto take(Clock::time_point now, Cost... cost) {
    auto taken = bucket_.take(now, cost...);
    if (bucket_.level(now) < level_of_file(now) && on_overdrawn) on_overdrawn();
    return taken;
  }
  std::uint32_t per_minute() const { return bucket_.per_minute(); }

  bool is_full(Clock::time_point now) const { return bucket_.is_full(now); }
  void set_rate(std::uint32_t per_minute, std::uint32_t burst) { bucket_.set_rate(per_minute, burst); }
  void resume(double tokens, Clock::time_point now);
  // What the file is to say now: of a bucket in use, less than there is.
  double save(Clock::time_point now, bool in_use);

  std::function<void()> on_overdrawn;  // below what the file says: to be saved before it counts

 private:
  double level_of_file(Clock::time_point now) const;
  TokenBucket bucket_;
  double saved_ = 0;
  Clock::time_point saved_at_;
};

// Of one worker of a profile.
struct Account {
  explicit Account(Clock::time_point now)
      : requests(1, now), creates(1, now), connections(1, now), untold(limits::kMaxUntoldPerMinute, now) {}
  KeptBucket requests;
  KeptBucket creates;
  KeptBucket connections;  // of its forwards
  KeptBucket untold;       // cancels and claims, which have no answer to hold back
  bool is_full(Clock::time_point now) const {
    return requests.is_full(now) && creates.is_full(now) && connections.is_full(now) && untold.is_full(now);
  }
};

// What a profile grants of them in a minute.
struct Rates {
  std::uint32_t requests = 1;
  std::uint32_t creates = 1;
  std::uint32_t connections = 1;
};
Rates rates_of(const Profile& profile);

// A session's hold on its account. What is still under way when it is given back spends from it all the same.
class AccountLease {
 public:
  AccountLease(ProfileAccounts& of, Account& account, AuditQuota& quota)
      : of_(&of), account_(&account), quota_(&quota) {}
  AccountLease(AccountLease&& other) noexcept
      : of_(std::exchange(other.of_, nullptr)), account_(other.account_), quota_(other.quota_) {}
  AccountLease& operator=(AccountLease&&) = delete;
  ~AccountLease() { give_back(); }
  void give_back();
  Account& account() const { return *account_; }
  AuditQuota& quota() const { return *quota_; }

 private:
  ProfileAccounts* of_;  // null: given back
  Account* account_;
  AuditQuota* quota_;
};

// What a file of accounts says. Tokens in thousandths.
struct SavedAccounts {
  struct Buckets {
    std::int64_t at = 0;        // milliseconds since the epoch: from then on they fill
    std::int64_t requests = 0;  // below zero: it owes
    std::int64_t creates = 0;
    std::int64_t connections = 0;
    std::int64_t untold = 0;
  };
  std::int64_t hour = 0;
  std::array<AuditQuota::Use, kShares> uses{};
  std::uint64_t unwritten = 0;
  std::vector<Buckets> accounts;  // in the order in which they are to be taken
  std::int64_t told = 0;          // milliseconds since the epoch: when counts were told last
};
std::string text_of(const SavedAccounts& saved);
// Pure. Total: any bytes are read, or are an error.
Result<SavedAccounts> parse_accounts(std::string_view text);

class ProfileAccounts {
 public:
  ProfileAccounts(std::string name, std::string path);
  ProfileAccounts(const ProfileAccounts&) = delete;
  ProfileAccounts& operator=(const ProfileAccounts&) = delete;

  AccountLease take(const Rates& rates);
  const std::string& name() const { return name_; }
  AuditQuota& quota() { return quota_; }
  std::size_t made() const { return accounts_.size() + loaded_.size(); }

 private:
  friend class AccountLease;
  void give_back(Account& account);
  Account& make(Clock::time_point now);
  Account& next(const Rates& rates, Clock::time_point now);
  void load();
  void save() { write(in_use_.empty() ? Shares::Exact : Shares::Ahead); }
  enum class Shares : bool { Exact, Ahead };
  void write(Shares shares);

  std::string name_;
  std::string path_;
  AuditQuota quota_;
  std::vector<std::unique_ptr<Account>> accounts_;
  std::vector<Account*> free_;                  // the last is the next to be taken
  std::vector<SavedAccounts::Buckets> loaded_;  // and then these, the first first: they are saved as they were read
  std::vector<Account*> in_use_;                // in the order in which they were taken
  bool starts_spent_ = false;                   // what its file said could not be read
  bool save_failed_ = false;
};

class Accounts {
 public:
  explicit Accounts(const std::string& state_directory);
  static Result<> make_directory(const std::string& state_directory);

  ProfileAccounts& of(const ProfileName& profile);
  AccountLease open(const Profile& profile);
  std::map<std::string, std::unique_ptr<ProfileAccounts>>& all() { return profiles_; }

 private:
  void tell_how_long_the_trail_lasts();
  std::string directory_;
  std::map<std::string, std::unique_ptr<ProfileAccounts>> profiles_;
  std::size_t told_hours_ = limits::kAuditKeptHours;
};

}  // namespace sallyport::keeper
