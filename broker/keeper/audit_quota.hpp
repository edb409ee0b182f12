// TRUSTED SIDE. What a profile may write into the audit trail in an hour, all its sessions together: else a worker that
// is started again, or many of one profile, could push out the record of all others. What is beyond is counted, and the
// counts are told in a record of their own.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "sallyport/limits.hpp"

namespace sallyport::keeper {

enum class Share : std::uint8_t { Read, Change, Refusal, Forward, Restart };
inline constexpr std::size_t kShares = 5;
inline constexpr std::array<std::size_t, kShares> kShareBytesPerHour = {
    limits::kAuditReadBytesPerHour, limits::kAuditChangeBytesPerHour, limits::kAuditRefusalBytesPerHour,
    limits::kAuditForwardBytesPerHour, limits::kAuditRestartBytesPerHour};

struct AuditQuota {
  struct Use {
    std::uint64_t bytes = 0;
    bool is_spent = false;          // a record did not fit any more: no further one is even formatted
    std::uint64_t counted = 0;      // what records beyond the share stand for, not told yet
    std::uint64_t swallowed = 0;    // those records: a claim's own count must not decide how often we write
    std::uint64_t saved_bytes = 0;  // what a broker that starts after a crash would find
  };
  std::string profile;    // whose it is; empty: of no profile
  std::int64_t hour = 0;  // since the epoch, that the bytes are of
  std::array<Use, kShares> uses{};
  std::map<std::string, std::uint64_t> counted_rules;  // refusals among the counted, by their rule
  std::uint64_t unwritten = 0;  // what the records stand for that the trail could not take: told when it can
  std::chrono::system_clock::time_point told{};  // kept like the counts: a broker that starts anew tells no sooner
  // Of the reserve of a full disk, in the shortage of that number.
  std::uint64_t shortage = 0;
  std::uint64_t reserve_changes = 0;
  std::uint64_t reserve_removals = 0;
  // Keep it over a restart of the broker; empty: nobody does. Ahead: as more used than it is, so that the records that
  // follow need not be kept one by one, also where their session has given its account back.
  std::function<void()> save;
  std::function<void()> save_ahead;

  Use& use(Share share) { return uses[static_cast<std::size_t>(share)]; }
  std::uint64_t untold() const {
    std::uint64_t sum = unwritten;
    for (const Use& one : uses) sum += one.counted;
    return sum;
  }
};

}  // namespace sallyport::keeper
