// TRUSTED SIDE. One session: what it may, what it owns, what it has in flight, and the descriptors that are its
// lifeline. Data and small steps only. What gates ask is answered in gate_requests; the end is in ending.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "broker/async/outbox.hpp"
#include "broker/async/tasks.hpp"
#include "broker/engine/docker_client.hpp"
#include "broker/keeper/account.hpp"
#include "broker/keeper/audit.hpp"
#include "broker/keeper/ledger_file.hpp"
#include "broker/keeper/one_shot.hpp"
#include "broker/keeper/ownership.hpp"
#include "broker/keeper/turns.hpp"
#include "broker/protocol/messages.hpp"
#include "broker/protocol/permits.hpp"
#include "broker/protocol/tally.hpp"
#include "sallyport/child.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport::keeper {

// A request between its arrival and its last reply.
struct InFlight {
  std::size_t kind = 0;  // variant index
  engine::Exchange exchange;
};

// One of so many, for as long as it lives.
class Counted {
 public:
  Counted() = default;
  explicit Counted(std::shared_ptr<std::size_t> count) : count_(std::move(count)) { ++*count_; }
  Counted(Counted&&) noexcept = default;
  Counted& operator=(Counted&& other) noexcept {
    if (this != &other && count_) --*count_;
    count_ = std::move(other.count_);
    return *this;
  }
  ~Counted() {
    if (count_) --*count_;
  }

 private:
  std::shared_ptr<std::size_t> count_;
};

// What a stream takes of its session's bounds until it has ended at dockerd.
struct StreamHolds {
  engine::Place place;
  Turn turn;
  Counted follower;
};

// A stream that was handed to the gate or is fed to it, from then until it ends.
struct HeldStream {
  virtual ~HeldStream() = default;
  virtual void revoke() = 0;
  StreamHolds holds;
};

struct NamedStream {
  protocol::RequestId request = 0;  // that opened it, and by which the gate may cancel it
  std::shared_ptr<HeldStream> stream;
};

struct ForwardConnection {
  std::uint8_t forward = 0;
  bool connected = false;
};

struct NoticesOfAKind {
  std::optional<Clock::time_point> told;
  std::uint64_t untold = 0;  // since then
};

class Session {
 public:
  log::About about() const { return {id.text(), profile.name.text()}; }
  Session(const net::any_io_executor& executor, SessionId session_id, Profile session_profile, AccountLease lease,
          async::TaskGroup::OnBug on_bug)
      : id(std::move(session_id)),
        profile(std::move(session_profile)),
        account(std::move(lease)),
        audit_quota(account.quota()),
        request_rate(account.account().requests),
        create_rate(account.account().creates),
        connection_rate(account.account().connections),
        untold_rate(account.account().untold),
        log_reads(executor, limits::kMaxLogReadsAtOnce),
        tasks(executor, std::move(on_bug)),
        gate_heard(executor),
        relay_heard(executor),
        ended(executor) {}

  const SessionId id;
  const Profile profile;
  std::uint32_t uid_base = 0;
  bool systemd_cgroups = false;
  std::vector<std::string> not_enforced;  // limits of [docker] that dockerd cannot set on this host

  Ledger ledger;
  LedgerFile ledger_file;
  // Of the profile, whose session this is for now; given back when the ending begins.
  AccountLease account;
  AuditQuota& audit_quota;
  KeptBucket& request_rate;
  KeptBucket& create_rate;
  KeptBucket& connection_rate;
  KeptBucket& untold_rate;  // cancels and claims, which have no answer to hold back

  std::unique_ptr<async::Channel> control;  // the launcher's connection: it is the session
  std::unique_ptr<async::Channel> gate;
  std::optional<async::Outbox> replies;  // to the gate
  bool flush_is_due = false;             // of `replies`
  std::unique_ptr<async::Channel> relay;
  // What the gate has counted, and what of it its claims have described: the rest is told at the end.
  protocol::SharedTally tally;
  std::uint64_t described_allowed = 0;
  std::uint64_t described_denied = 0;
  UniqueFd uid_lock;

  std::map<protocol::RequestId, std::shared_ptr<InFlight>> in_flight;
  std::array<std::size_t, std::variant_size_v<protocol::Request>> in_flight_of{};
  std::map<std::uint64_t, NamedStream> streams;  // by a number of ours: a gate may use a request id again
  std::uint64_t last_stream = 0;
  // Those that have their place and are not in `streams` yet.
  const std::shared_ptr<std::size_t> streams_opening = std::make_shared<std::size_t>(0);
  const std::shared_ptr<engine::Share> dockerd_share = std::make_shared<engine::Share>();
  Turns log_reads;                                                                  // without follow
  const std::shared_ptr<std::size_t> followers = std::make_shared<std::size_t>(0);  // open, or being opened
  std::map<std::uint32_t, ForwardConnection> forwards;
  std::vector<std::int32_t> forward_groups;  // one gid a forward of the profile, or -1

  std::map<std::string, NoticesOfAKind> notices;

  async::TaskGroup tasks;
  bool is_ending = false;
  bool worker_ended = false;  // the launcher has said so: it is told Done at the end
  std::string worker_status;  // for the closing record
  std::string end_rule;
  std::string end_reason;
  std::string end_step;       // what its ending is at: for whoever asks why it has not ended
  OneShot<bool> gate_heard;   // to its end
  OneShot<bool> relay_heard;  // the same
  std::string left_behind;    // of its containers, and why; "" where all are gone
  OneShot<bool> ended;        // everything of the session is gone, but what is left behind
};
using SessionPtr = std::shared_ptr<Session>;

}  // namespace sallyport::keeper
