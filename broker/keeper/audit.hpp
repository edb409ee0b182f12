// TRUSTED SIDE. The audit trail: typed records, one JSON line each, appended before what they tell of takes effect.
// write() has returned means write(2) has. A record that cannot be written is an error, and then nothing is granted;
// what it stands for is counted in its quota, on whatever path it failed, and told when the trail can be written again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/keeper/audit_quota.hpp"
#include "broker/keeper/trail_file.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"

namespace sallyport::keeper {

enum class Event : std::uint8_t { Request, SessionOpen, SessionEnd, Forward, Reap };
enum class Decision : std::uint8_t { Allow, Deny };
enum class Source : std::uint8_t { Keeper, Gate };
// What a record is worth when space is short. Reads have files of their own. Reads, changes, removals (stop and remove,
// which only take away), refused changes, forwards, and openings with endings have a share of each hour
// (audit_quota.hpp). On a full disk openings, changes and removals go on from the reserve; the last of it is for
// endings and closings. A closing tells more than that a session ended, and has the last part of the share as well.
enum class Weight : std::uint8_t { Read, Refusal, Forward, Change, Removal, Opening, Ending, Closing };

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

class AuditTrail {
 public:
  struct Bounds {
    std::size_t file_bytes = limits::kMaxAuditFileBytes;
    int files = limits::kMaxAuditFiles;
    int read_files = limits::kMaxAuditReadFiles;
    std::array<std::size_t, kShares> share_bytes = kShareBytesPerHour;
    std::size_t reserve_bytes = limits::kAuditReserveBytes;
  };
  static Result<AuditTrail> open(const std::string& directory, std::string broker, const Bounds& bounds);
  static Result<AuditTrail> open(const std::string& directory, std::string broker) {
    return open(directory, std::move(broker), Bounds{});
  }

  Result<> write(const AuditRecord& record, AuditQuota& quota);
  Result<> reopen();                                            // for whoever has renamed its files: both, or none
  bool is_on_its_reserve() { return !changes_.has_reserve(); }  // the disk is full: what can be left out is
  // What the quota has counted since the last call: at once, or as often as one that ends again and again may have it
  // told.
  Result<> write_counted(AuditQuota& quota);
  Result<> write_counted_now_and_then(AuditQuota& quota);

 private:
  AuditTrail(TrailFile changes, TrailFile reads, std::string broker, const Bounds& bounds)
      : changes_(std::move(changes)), reads_(std::move(reads)), broker_(std::move(broker)), bounds_(bounds) {}
  std::string line_of(const AuditRecord& record) const;
  Result<> write_or_count(const AuditRecord& record, AuditQuota& quota);
  std::uint64_t most_bytes(Weight weight) const;
  Result<> count_only(const AuditRecord& record, Share share, AuditQuota& quota);
  Result<> write_counted(Share share, AuditQuota& quota);
  void begin_hour(AuditQuota& quota);
  Result<> append(std::string line, Weight weight, AuditQuota* quota);
  bool may_use_reserve(std::size_t bytes, Weight weight, AuditQuota* quota) const;

  TrailFile changes_;
  TrailFile reads_;
  std::string broker_;
  Bounds bounds_;
  std::uint64_t sequence_ = 0;
};

// "2026-03-14T10:23:45.123Z"
std::string utc_timestamp(std::int64_t milliseconds_since_epoch);

}  // namespace sallyport::keeper
