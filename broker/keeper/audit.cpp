#include "broker/keeper/audit.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "broker/engine/json_writer.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::uint64_t kCountedPerRecord = 10'000;
constexpr std::int64_t kMillisecondsPerHour = 3'600'000;
constexpr std::size_t kMaxCountedRuleBytes = 48;

std::string_view name_of(Event event) {
  switch (event) {
    case Event::Request: return "request";
    case Event::SessionOpen: return "session-open";
    case Event::SessionEnd: return "session-end";
    case Event::Forward: return "forward";
    case Event::Reap: return "reap";
  }
  return "request";
}

std::int64_t now_in_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

Share share_of(Weight weight) {
  switch (weight) {
    case Weight::Read: return Share::Read;
    case Weight::Refusal: return Share::Refusal;
    case Weight::Forward: return Share::Forward;
    case Weight::Change:
    case Weight::Removal: return Share::Change;
    case Weight::Opening:
    case Weight::Ending:
    case Weight::Closing: return Share::Restart;
  }
  return Share::Restart;
}

std::string_view name_of(Share share) {
  constexpr std::string_view kNames[kShares] = {"reads", "changes", "refused changes", "forwards",
                                                "openings and endings"};
  return kNames[static_cast<std::size_t>(share)];
}

// So that what a flood hides is at least named.
void count_rule(const AuditRecord& record, AuditQuota& quota) {
  std::string rule = record.rule.substr(0, kMaxCountedRuleBytes);
  if (!quota.counted_rules.contains(rule) && quota.counted_rules.size() >= limits::kMaxCountedRules) rule = "others";
  quota.counted_rules[rule] += record.count;
}

}  // namespace

std::string utc_timestamp(std::int64_t milliseconds_since_epoch) {
  using namespace std::chrono;
  const sys_time<milliseconds> instant{milliseconds(milliseconds_since_epoch)};
  const auto day = floor<days>(instant);
  const year_month_day date(day);
  const hh_mm_ss time(instant - day);
  // Not snprintf: a record is written for every request, and this would be the dearest part of it.
  std::string text = "0000-00-00T00:00:00.000Z";
  const auto put = [&text](std::size_t last, std::size_t digits, std::uint64_t number) {
    for (; digits > 0; --digits, number /= 10) text[last--] = static_cast<char>('0' + number % 10);
  };
  put(3, 4, static_cast<std::uint64_t>(static_cast<int>(date.year())));
  put(6, 2, static_cast<unsigned>(date.month()));
  put(9, 2, static_cast<unsigned>(date.day()));
  put(12, 2, static_cast<std::uint64_t>(time.hours().count()));
  put(15, 2, static_cast<std::uint64_t>(time.minutes().count()));
  put(18, 2, static_cast<std::uint64_t>(time.seconds().count()));
  put(22, 3, static_cast<std::uint64_t>(time.subseconds().count()));
  return text;
}

Result<AuditTrail> AuditTrail::open(const std::string& directory, std::string broker, const Bounds& bounds) {
  const std::string path = directory + "/audit.jsonl";
  auto changes = TRY(TrailFile::open(path, {bounds.file_bytes, bounds.files, bounds.reserve_bytes}));
  auto reads = TRY(TrailFile::open(path + ".reads", {bounds.file_bytes, bounds.read_files, 0}));
  return AuditTrail(std::move(changes), std::move(reads), std::move(broker), bounds);
}

std::string AuditTrail::line_of(const AuditRecord& record) const {
  engine::JsonWriter json;
  json.begin_object();
  json.text("time", utc_timestamp(now_in_milliseconds())).number("seq", static_cast<std::int64_t>(sequence_ + 1));
  json.text("broker", broker_).text("session", record.session).text("profile", record.profile);
  json.text("event", name_of(record.event)).text("decision", record.decision == Decision::Allow ? "ALLOW" : "DENY");
  json.text("source", record.source == Source::Keeper ? "keeper" : "gate");
  json.text("method", record.method).text("endpoint", record.endpoint).text("object", record.object);
  json.text("rule", record.rule).text("reason", record.reason);
  json.number("count", static_cast<std::int64_t>(record.count)).end_object();
  return json.take() + "\n";
}

Result<> AuditTrail::reopen() {
  UniqueFd changes = TRY(changes_.open_anew());
  UniqueFd reads = TRY(reads_.open_anew());
  if (changes) TRY(changes_.use(std::move(changes)));
  if (reads) TRY(reads_.use(std::move(reads)));
  return {};
}

// The half that is left when the disk is full: its first half is for changes, the next quarter for removals as well,
// and no profile takes more of it than its share.
bool AuditTrail::may_use_reserve(std::size_t bytes, Weight weight, AuditQuota* quota) const {
  const std::uint64_t half = bounds_.reserve_bytes / 2;
  const std::uint64_t left = changes_.reserve_left();
  if (weight == Weight::Ending || weight == Weight::Closing) return true;
  if (quota == nullptr) return false;
  if (std::exchange(quota->shortage, changes_.shortage()) != changes_.shortage())
    quota->reserve_changes = quota->reserve_removals = 0;
  const bool removal = weight == Weight::Removal;
  if (!removal && weight != Weight::Change && weight != Weight::Opening) return false;
  std::uint64_t& used = removal ? quota->reserve_removals : quota->reserve_changes;
  if (left < (removal ? half / 4 : half / 2) + bytes) return false;
  if (used + bytes > half / limits::kAuditReserveShares) return false;
  used += bytes;
  return true;
}

Result<> AuditTrail::append(std::string line, Weight weight, AuditQuota* quota) {
  TrailFile& file = weight == Weight::Read ? reads_ : changes_;
  TRY(file.rotate_for(line.size()));
  if (!file.has_reserve() && !may_use_reserve(line.size(), weight, quota))
    return fail_errno("write the audit trail", ENOSPC);
  TRY(file.append(std::move(line)));
  ++sequence_;
  return {};
}

void AuditTrail::begin_hour(AuditQuota& quota) {
  const std::int64_t hour = now_in_milliseconds() / kMillisecondsPerHour;
  if (quota.hour == hour) return;
  (void)write_counted(quota);  // what cannot be told now is told later
  quota.hour = hour;
  for (AuditQuota::Use& use : quota.uses) {
    use.bytes = use.saved_bytes = 0;
    use.is_spent = false;
  }
}

std::uint64_t AuditTrail::most_bytes(Weight weight) const {
  const std::uint64_t share = bounds_.share_bytes[static_cast<std::size_t>(share_of(weight))];
  const bool is_plain = weight == Weight::Opening || weight == Weight::Ending;
  return is_plain ? share - share / limits::kAuditEndingsPart : share;
}

Result<> AuditTrail::count_only(const AuditRecord& record, Share share, AuditQuota& quota) {
  // Nothing is granted on a count that could not be told.
  if (!changes_.has_reserve()) return fail_errno("write the audit trail", ENOSPC);
  AuditQuota::Use& use = quota.use(share);
  if (use.swallowed >= kCountedPerRecord) TRY(write_counted(share, quota));
  if (!std::exchange(use.is_spent, true))
    log::warning((quota.profile.empty() ? "refused openings" : "profile " + quota.profile) +
                 ": its share of the audit trail for " + std::string(name_of(share)) +
                 " is used up: until the hour is over they are counted only");
  use.counted += record.count;
  if (share == Share::Refusal) count_rule(record, quota);
  ++use.swallowed;
  return {};
}

Result<> AuditTrail::write(const AuditRecord& record, AuditQuota& quota) {
  begin_hour(quota);
  const Result<> written = write_or_count(record, quota);
  if (!written) quota.unwritten += record.count;
  else if (quota.unwritten > 0 && changes_.has_reserve()) (void)write_counted_now_and_then(quota);
  return written;
}

Result<> AuditTrail::write_or_count(const AuditRecord& record, AuditQuota& quota) {
  const Share share = share_of(record.weight);
  AuditQuota::Use& use = quota.use(share);
  if (use.is_spent && record.weight != Weight::Closing) return count_only(record, share, quota);
  std::string line = line_of(record);
  const std::size_t bytes = line.size();
  if (use.bytes + bytes > most_bytes(record.weight)) return count_only(record, share, quota);
  TRY(append(std::move(line), record.weight, &quota));
  use.bytes += bytes;
  if (use.bytes > use.saved_bytes && quota.save_ahead) quota.save_ahead();
  return {};
}

Result<> AuditTrail::write_counted(Share share, AuditQuota& quota) {
  AuditQuota::Use& use = quota.use(share);
  if (use.swallowed == 0) return {};
  AuditRecord record;
  record.weight = Weight::Closing;
  record.decision = share == Share::Refusal ? Decision::Deny : Decision::Allow;
  record.profile = quota.profile;
  record.rule = "audit.quota";
  record.reason =
      std::string(name_of(share)) + " beyond the profile's share of the audit trail in an hour, counted only";
  if (share == Share::Refusal)
    for (const auto& [rule, count] : quota.counted_rules) record.reason += "; " + rule + " " + std::to_string(count);
  record.count = use.counted;
  TRY(append(line_of(record), record.weight, nullptr));
  use.counted = use.swallowed = 0;
  if (share == Share::Refusal) quota.counted_rules.clear();
  return {};
}

Result<> AuditTrail::write_counted(AuditQuota& quota) {
  if (quota.untold() == 0) return {};
  for (std::size_t share = 0; share < kShares; ++share) TRY(write_counted(static_cast<Share>(share), quota));
  if (quota.unwritten > 0) {
    AuditRecord record;
    record.weight = Weight::Closing;
    record.decision = Decision::Deny;
    record.profile = quota.profile;
    record.rule = "audit.unwritten";
    record.reason =
        "the trail could not be written: requests and openings refused for that, what gates and relays said then, and "
        "endings";
    record.count = quota.unwritten;
    TRY(append(line_of(record), record.weight, nullptr));
    quota.unwritten = 0;
  }
  quota.told = std::chrono::system_clock::now();
  if (quota.save) quota.save();
  return {};
}

Result<> AuditTrail::write_counted_now_and_then(AuditQuota& quota) {
  const auto now = std::chrono::system_clock::now();
  if (quota.told <= now && now - quota.told < limits::kAuditCountedEvery) return {};
  return write_counted(quota);
}

}  // namespace sallyport::keeper
