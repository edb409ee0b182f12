#include "broker/keeper/audit.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

#include "broker/engine/json_writer.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::uint64_t kCountedPerRecord = 10'000;
constexpr std::int64_t kMillisecondsPerHour = 3'600'000;

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

Result<UniqueFd> open_file(const std::string& path) {
  UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!file) return fail_errno("open the audit trail " + path);
  return file;
}

std::int64_t now_in_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
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
  AuditTrail trail;
  trail.directory_ = directory;
  trail.broker_ = std::move(broker);
  trail.bounds_ = bounds;
  UniqueFd file = TRY(open_file(trail.path()));
  TRY(trail.use(std::move(file)));
  return trail;
}

Result<> AuditTrail::use(UniqueFd file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("look at the audit trail " + path());
  if (!S_ISREG(status.st_mode)) return fail("open the audit trail " + path() + ": not a regular file");
  file_ = std::move(file);
  size_ = static_cast<std::uint64_t>(status.st_size);
  reserved_until_ = 0;
  torn_ = size_ > 0;  // a broker that died may have left half a line; an empty line does no harm
  return {};
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

// Space beyond the end of the file that nobody else can take. False where the disk has none left.
bool AuditTrail::take_reserve() {
  if (reserved_until_ >= size_ + bounds_.reserve_bytes / 2) return true;
  const auto from = static_cast<off_t>(size_);
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, from, static_cast<off_t>(bounds_.reserve_bytes)) == 0) {
    reserved_until_ = size_ + bounds_.reserve_bytes;
    return true;
  }
  return errno == EOPNOTSUPP;  // a filesystem without reserves: its own error will tell
}

Result<> AuditTrail::append(std::string line, Weight weight) {
  if (size_ + line.size() > bounds_.file_bytes && size_ > 0) TRY(rotate());
  if (!take_reserve()) {
    const std::uint64_t left = reserved_until_ > size_ ? reserved_until_ - size_ : 0;
    if (weight == Weight::Read) return fail_errno("write the audit trail", ENOSPC);
    if (weight == Weight::Change && left < bounds_.reserve_bytes / 4)
      return fail_errno("write the audit trail", ENOSPC);
  }
  if (torn_) line.insert(line.begin(), '\n');
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t size = ::write(file_.get(), line.data() + written, line.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      const int code = size < 0 ? errno : EIO;
      torn_ = torn_ || written > 0;
      size_ += written;
      return fail_errno("write the audit trail", code);
    }
    written += static_cast<std::size_t>(size);
  }
  torn_ = false;
  size_ += written;
  ++sequence_;
  return {};
}

Result<> AuditTrail::rotate() {
  // Made before anything moves: where the disk has no room for it the older files stay, however often this is tried.
  const std::string successor = path() + ".next";
  UniqueFd file = TRY(open_file(successor));
  for (int number = bounds_.files - 1; number >= 1; --number) {
    const std::string older = path() + "." + std::to_string(number);
    const std::string newer = number == 1 ? path() : path() + "." + std::to_string(number - 1);
    if (::rename(newer.c_str(), older.c_str()) != 0 && errno != ENOENT) return fail_errno("rotate the audit trail");
  }
  if (::rename(successor.c_str(), path().c_str()) != 0) return fail_errno("rotate the audit trail");
  // Gives back the reserve that lies beyond the end of the old file.
  if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) log::warning("the old audit file keeps its reserve");
  return use(std::move(file));
}

Result<> AuditTrail::write(const AuditRecord& record) { return append(line_of(record), record.weight); }

// Counts what is within it.
bool AuditTrail::is_beyond_share(const AuditRecord& record, std::size_t line_bytes, AuditQuota& quota) const {
  if (record.weight == Weight::Closing) return false;
  if (record.weight == Weight::Read) {
    quota.is_spent = quota.bytes + line_bytes > bounds_.session_bytes;
    if (!quota.is_spent) quota.bytes += line_bytes;
    return quota.is_spent;
  }
  const std::int64_t hour = now_in_milliseconds() / kMillisecondsPerHour;
  if (quota.hour != hour) quota.change_bytes = 0;
  quota.hour = hour;
  if (quota.change_bytes + line_bytes > bounds_.change_bytes_per_hour) return true;
  quota.change_bytes += line_bytes;
  return false;
}

Result<> AuditTrail::write(const AuditRecord& record, AuditQuota& quota) {
  const bool is_counted_only = quota.is_spent && record.weight == Weight::Read;
  std::string line = is_counted_only ? std::string() : line_of(record);
  if (is_counted_only || is_beyond_share(record, line.size(), quota)) {
    quota.counted += record.count;
    if (++quota.swallowed >= kCountedPerRecord) return write_counted(record.session, record.profile, quota);
    return {};
  }
  return append(std::move(line), record.weight);
}

Result<> AuditTrail::write_counted(std::string_view session, std::string_view profile, AuditQuota& quota) {
  if (quota.swallowed == 0) return {};
  AuditRecord record;
  record.weight = Weight::Change;
  record.session = session;
  record.profile = profile;
  record.rule = "audit.quota";
  record.reason = "beyond the session's share of the audit trail, counted only";
  record.count = quota.counted;
  TRY(append(line_of(record), record.weight));
  quota.counted = quota.swallowed = 0;
  return {};
}

}  // namespace sallyport::keeper
