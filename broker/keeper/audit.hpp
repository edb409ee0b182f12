// TRUSTED SIDE. The audit trail: typed records, one JSON line each, appended before what they tell of takes effect.
// write() has returned means write(2) has. A record that cannot be written is an error, and then nothing is granted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

enum class Event : std::uint8_t { Request, SessionOpen, SessionEnd, Forward, Reap };
enum class Decision : std::uint8_t { Allow, Deny };
enum class Source : std::uint8_t { Keeper, Gate };
// What a record is worth when space is short. Beyond a session's share reads and denials are counted, and so are
// changes beyond its share of an hour: or one session could rotate everybody's trail away. Closings are always written.
enum class Weight : std::uint8_t { Read, Change, Closing };

struct AuditRecord {
  Event event = Event::Request;
  Decision decision = Decision::Allow;
  Source source = Source::Keeper;
  Weight weight = Weight::Read;
  std::string_view session;
  std::string_view profile;
  std::string_view method;
  std::string_view endpoint;
  std::string object;
  std::string rule;
  std::string reason;
  std::uint64_t count = 1;
};

// How much of the trail one session has used.
struct AuditQuota {
  std::uint64_t bytes = 0;
  bool is_spent = false;  // a read did not fit any more: no further one is even formatted
  std::int64_t hour = 0;  // since the epoch, that change_bytes is of
  std::uint64_t change_bytes = 0;
  std::uint64_t counted = 0;    // what records beyond the quota stand for, not yet told
  std::uint64_t swallowed = 0;  // those records: a claim's own count must not decide how often we write
};

class AuditTrail {
 public:
  struct Bounds {
    std::size_t file_bytes = limits::kMaxAuditFileBytes;
    int files = limits::kMaxAuditFiles;
    std::size_t session_bytes = limits::kAuditBytesPerSession;
    std::size_t change_bytes_per_hour = limits::kAuditChangeBytesPerHour;
    std::size_t reserve_bytes = 1024 * 1024;  // space taken ahead of the end, for changes and closings on a full disk
  };
  static Result<AuditTrail> open(const std::string& directory, std::string broker, const Bounds& bounds);
  static Result<AuditTrail> open(const std::string& directory, std::string broker) {
    return open(directory, std::move(broker), Bounds{});
  }

  Result<> write(const AuditRecord& record);
  Result<> write(const AuditRecord& record, AuditQuota& quota);
  // One record for all that the quota has swallowed since the last call.
  Result<> write_counted(std::string_view session, std::string_view profile, AuditQuota& quota);

 private:
  AuditTrail() = default;
  std::string line_of(const AuditRecord& record) const;
  bool is_beyond_share(const AuditRecord& record, std::size_t line_bytes, AuditQuota& quota) const;
  Result<> append(std::string line, Weight weight);
  std::string path() const { return directory_ + "/audit.jsonl"; }
  Result<> use(UniqueFd file);
  Result<> rotate();
  bool take_reserve();

  std::string directory_;
  std::string broker_;
  Bounds bounds_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t reserved_until_ = 0;
  std::uint64_t sequence_ = 0;
  bool torn_ = false;  // the last write stopped within its line
};

// "2026-03-14T10:23:45.123Z"
std::string utc_timestamp(std::int64_t milliseconds_since_epoch);

}  // namespace sallyport::keeper
