#include "broker/keeper/account.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>

#include "sallyport/log.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::string_view kFirstLine = "sallyport-accounts 3";
constexpr std::string_view kFirstLineBefore = "sallyport-accounts 2";  // without connections
// How far the file is ahead of an account in use: so often, at most, is it written anew.
constexpr std::chrono::seconds kSavedAhead{1};
constexpr double kPartAhead = 10;                  // of what a minute gives
constexpr std::uint64_t kBytesAhead = 256 * 1024;  // of a share of the trail
constexpr double kThousandths = 1000;
constexpr std::int64_t kMillisecondsPerHour = 3'600'000;

std::int64_t now_in_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::int64_t thousandths(double tokens) { return static_cast<std::int64_t>(std::floor(tokens * kThousandths)); }

// Empty where there is none.
Result<std::string> read_file(const std::string& path) {
  const UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file && errno == ENOENT) return std::string();
  if (!file) return fail_errno("open " + path);
  std::string text(limits::kMaxAccountsBytes + 1, '\0');
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read " + path);
    size += static_cast<std::size_t>(got);
    if (got == 0) break;
    if (size == text.size()) return fail("read " + path + ": it is too large");
  }
  text.resize(size);
  if (text.empty()) return fail("read " + path + ": it is empty");
  return text;
}

// In place of the old one, at once: a broker that dies here leaves one of the two.
Result<> replace_file(const std::string& path, std::string_view text) {
  const std::string next = path + ".next";
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const UniqueFd file = UniqueFd::adopt(::open(next.c_str(), flags, 0600));
  if (!file) return fail_errno("open " + next);
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written < 0) return fail_errno("write " + next);
  if (static_cast<std::size_t>(written) != text.size()) return fail_errno("write " + next, ENOSPC);
  if (::rename(next.c_str(), path.c_str()) != 0) return fail_errno("replace " + path);
  return {};
}

// "word 1 2 3": its numbers; empty where the line is not of that form.
std::vector<std::int64_t> numbers_after(std::string_view word, std::string_view line) {
  std::vector<std::int64_t> numbers;
  if (!line.starts_with(word)) return numbers;
  line.remove_prefix(word.size());
  while (!line.empty()) {
    if (line.front() != ' ' || numbers.size() >= 8) return {};
    line.remove_prefix(1);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error != std::errc{}) return {};
    numbers.push_back(number);
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  }
  return numbers;
}

bool read_account(std::vector<std::int64_t> numbers, bool has_connections, SavedAccounts& into) {
  if (numbers.size() != (has_connections ? 5 : 4) || into.accounts.size() >= limits::kMaxSessions) return false;
  if (!has_connections) numbers.insert(numbers.begin() + 3, 0);
  into.accounts.push_back({numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]});
  return true;
}

bool read_line(std::string_view line, bool has_connections, SavedAccounts& into, std::size_t& shares) {
  const auto is_count = [](std::int64_t number) { return number >= 0; };
  if (const auto hour = numbers_after("hour", line); hour.size() == 1) return into.hour = hour[0], true;
  if (const auto told = numbers_after("told", line); told.size() == 1 && is_count(told[0]))
    return into.told = told[0], true;
  if (const auto unwritten = numbers_after("unwritten", line); unwritten.size() == 1 && is_count(unwritten[0]))
    return into.unwritten = static_cast<std::uint64_t>(unwritten[0]), true;
  if (const auto share = numbers_after("share", line);
      share.size() == 3 && shares < kShares && std::ranges::all_of(share, is_count)) {
    AuditQuota::Use& use = into.uses[shares++];
    use.bytes = static_cast<std::uint64_t>(share[0]);
    use.counted = static_cast<std::uint64_t>(share[1]);
    use.swallowed = static_cast<std::uint64_t>(share[2]);
    return true;
  }
  return read_account(numbers_after("account", line), has_connections, into);
}

// What a bucket holds is what a minute gives, or kLeastRequestBurst where that is more: an hour fills any.
static_assert(limits::kLeastRequestBurst <= 60);
bool has_filled_up(const SavedAccounts::Buckets& one, std::int64_t wall) {
  return wall - one.at > kMillisecondsPerHour &&
         std::min({one.requests, one.creates, one.connections, one.untold}) >= 0;
}

}  // namespace

// --- a bucket ---

double KeptBucket::level_of_file(Clock::time_point now) const {
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - saved_at_).count());
  return saved_ + seconds * bucket_.per_minute() / 60.0;
}

void KeptBucket::resume(double tokens, Clock::time_point now) {
  bucket_.resume(tokens, now);
  saved_ = 0;
  saved_at_ = now;
}

double KeptBucket::save(Clock::time_point now, bool in_use) {
  const double level = bucket_.level(now);
  saved_ = in_use ? level - std::max(1.0, bucket_.per_minute() / kPartAhead) : level;
  saved_at_ = in_use ? now + kSavedAhead : now;
  return saved_;
}

// --- the file ---

std::string text_of(const SavedAccounts& saved) {
  std::string text(kFirstLine);
  const auto line = [&text](std::string_view word, std::initializer_list<std::int64_t> numbers) {
    text.append("\n").append(word);
    for (const std::int64_t number : numbers) text.append(" ").append(std::to_string(number));
  };
  line("hour", {saved.hour});
  for (const AuditQuota::Use& use : saved.uses)
    line("share", {static_cast<std::int64_t>(use.bytes), static_cast<std::int64_t>(use.counted),
                   static_cast<std::int64_t>(use.swallowed)});
  line("unwritten", {static_cast<std::int64_t>(saved.unwritten)});
  line("told", {saved.told});
  for (const SavedAccounts::Buckets& one : saved.accounts)
    line("account", {one.at, one.requests, one.creates, one.connections, one.untold});
  return text + "\n";
}

Result<SavedAccounts> parse_accounts(std::string_view text) {
  SavedAccounts saved;
  std::size_t shares = 0;
  bool has_connections = true;
  for (bool first = true; !text.empty(); first = false) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return fail("its last line is torn");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (first && line == kFirstLineBefore) has_connections = false;
    else if (first ? line != kFirstLine : !read_line(line, has_connections, saved, shares))
      return fail("it is malformed");
  }
  if (shares != kShares) return fail("it is malformed");
  return saved;
}

// --- a profile ---

Rates rates_of(const Profile& profile) {
  Rates rates{.connections = profile.limits.connections_per_minute};
  if (!profile.docker) return rates;
  rates.requests = profile.docker->budget.requests_per_minute;
  rates.creates = profile.docker->budget.creates_per_minute;
  return rates;
}

ProfileAccounts::ProfileAccounts(std::string name, std::string path) : name_(std::move(name)), path_(std::move(path)) {
  load();
  quota_.profile = name_;
  quota_.save = [this] { save(); };
  quota_.save_ahead = [this] { write(Shares::Ahead); };
}

Account& ProfileAccounts::make(Clock::time_point now) {
  Account& made = *accounts_.emplace_back(std::make_unique<Account>(now));
  for (KeptBucket* bucket : {&made.requests, &made.creates, &made.connections, &made.untold})
    bucket->on_overdrawn = [this] { save(); };
  return made;
}

void ProfileAccounts::load() {
  const auto text = read_file(path_);
  auto saved = text ? parse_accounts(*text) : std::unexpected(text.error());
  if (text && text->empty()) return;  // never used on this host
  if (!saved) {
    log::error("the accounts of profile " + name_ + " cannot be read, so its rates and shares begin spent: " + path_ +
               ": " + saved.error().text());
    starts_spent_ = true;
    quota_.hour = now_in_milliseconds() / kMillisecondsPerHour;
    for (AuditQuota::Use& use : quota_.uses) use.is_spent = true;
    return;
  }
  quota_.hour = saved->hour;
  quota_.uses = saved->uses;
  quota_.unwritten = saved->unwritten;
  quota_.told =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(std::min(saved->told, now_in_milliseconds())));
  loaded_ = std::move(saved->accounts);
}

void ProfileAccounts::write(Shares shares) {
  const Clock::time_point now = Clock::now();
  const std::int64_t wall = now_in_milliseconds();
  SavedAccounts saved;
  saved.hour = quota_.hour;
  saved.unwritten = quota_.unwritten;
  saved.told = std::chrono::duration_cast<std::chrono::milliseconds>(quota_.told.time_since_epoch()).count();
  for (std::size_t share = 0; share < kShares; ++share) {
    AuditQuota::Use& use = quota_.uses[share];
    use.saved_bytes = use.bytes + (shares == Shares::Ahead ? kBytesAhead : 0);
    saved.uses[share].bytes = use.saved_bytes;
    saved.uses[share].counted = use.counted;
    saved.uses[share].swallowed = use.swallowed;
  }
  const auto add = [&](Account& account, bool in_use) {
    saved.accounts.push_back(
        {wall + (in_use ? std::chrono::milliseconds(kSavedAhead).count() : 0),
         thousandths(account.requests.save(now, in_use)), thousandths(account.creates.save(now, in_use)),
         thousandths(account.connections.save(now, in_use)), thousandths(account.untold.save(now, in_use))});
  };
  for (auto one = in_use_.rbegin(); one != in_use_.rend(); ++one) add(**one, true);
  // What has filled up is as good as one that is made anew, and needs no line: or the file would for ever be as long as
  // when most sessions were open.
  for (auto one = free_.rbegin(); one != free_.rend(); ++one)
    if (!(*one)->is_full(now)) add(**one, false);
  std::erase_if(loaded_, [wall](const auto& one) { return has_filled_up(one, wall); });
  saved.accounts.insert(saved.accounts.end(), loaded_.begin(), loaded_.end());
  const auto written = replace_file(path_, text_of(saved));
  if (!written && !save_failed_)
    log::error("a restart of the broker would refill the rates of profile " + name_ + ": " + written.error().text());
  save_failed_ = !written;
}

Account& ProfileAccounts::next(const Rates& rates, Clock::time_point now) {
  const bool is_made = !free_.empty();
  Account& account = is_made ? *free_.back() : make(now);
  account.requests.set_rate(rates.requests, burst_of_requests(rates.requests));
  account.creates.set_rate(rates.creates, rates.creates);
  account.connections.set_rate(rates.connections, rates.connections);
  if (is_made) {
    free_.pop_back();
  } else if (!loaded_.empty()) {
    const SavedAccounts::Buckets saved = loaded_.front();
    loaded_.erase(loaded_.begin());
    // It has filled since then.
    const auto since = std::clamp<std::int64_t>(now_in_milliseconds() - saved.at, 0, kMillisecondsPerHour);
    const Clock::time_point then = now - std::chrono::milliseconds(since);
    account.requests.resume(static_cast<double>(saved.requests) / kThousandths, then);
    account.creates.resume(static_cast<double>(saved.creates) / kThousandths, then);
    account.connections.resume(static_cast<double>(saved.connections) / kThousandths, then);
    account.untold.resume(static_cast<double>(saved.untold) / kThousandths, then);
  } else {
    account.requests.resume(starts_spent_ ? 0 : burst_of_requests(rates.requests), now);
    account.creates.resume(starts_spent_ ? 0 : rates.creates, now);
    account.connections.resume(starts_spent_ ? 0 : rates.connections, now);
    account.untold.resume(starts_spent_ ? 0 : limits::kMaxUntoldPerMinute, now);
  }
  return account;
}

AccountLease ProfileAccounts::take(const Rates& rates) {
  Account& account = next(rates, Clock::now());
  in_use_.push_back(&account);
  save();
  return AccountLease(*this, account, quota_);
}

void ProfileAccounts::give_back(Account& account) {
  std::erase(in_use_, &account);
  free_.push_back(&account);
  save();
}

void AccountLease::give_back() {
  if (ProfileAccounts* of = std::exchange(of_, nullptr)) of->give_back(*account_);
}

// --- all ---

namespace {
std::string directory_in(const std::string& state_directory) { return state_directory + "/accounts"; }
}  // namespace

Accounts::Accounts(const std::string& state_directory) : directory_(directory_in(state_directory)) {}

Result<> Accounts::make_directory(const std::string& state_directory) {
  const std::string directory = directory_in(state_directory);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + directory);
  return {};
}

ProfileAccounts& Accounts::of(const ProfileName& profile) {
  auto& known = profiles_[profile.text()];
  if (known) return *known;
  known = std::make_unique<ProfileAccounts>(profile.text(), directory_ + "/" + profile.text());
  return *known;
}

// What all of them may write grows with their number; the trail does not.
void Accounts::tell_how_long_the_trail_lasts() {
  const std::size_t hours = limits::audit_hours_kept(profiles_.size());
  if (hours >= told_hours_) return;
  told_hours_ = hours;
  log::info(std::to_string(profiles_.size()) +
            " profiles are in use: if all wrote as much as they may, the trail would keep " +
            (hours == 0 ? "less than an hour" : std::to_string(hours) + " hours"));
}

AccountLease Accounts::open(const Profile& profile) {
  AccountLease lease = of(profile.name).take(rates_of(profile));
  tell_how_long_the_trail_lasts();
  return lease;
}

}  // namespace sallyport::keeper
