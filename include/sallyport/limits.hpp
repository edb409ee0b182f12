// BOTH SIDES. Every ceiling, each with its reason. A decoder takes its ceiling from here, never from the peer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sallyport::limits {

// --- HTTP, in the gate ---
inline constexpr std::size_t kMaxTargetBytes = 8 * 1024;         // enough for every other recorded request (369 B)
inline constexpr std::size_t kMaxCreateTargetBytes = 64 * 1024;  // dockerode repeats the create body in its query
inline constexpr std::size_t kMaxHeadBytes = 80 * 1024;          // the longest target and its headers
inline constexpr std::size_t kMaxHeaders = 64;
inline constexpr std::size_t kMaxMethodBytes = 16;  // Docker's longest is OPTIONS; of a longer one nothing is repeated
inline constexpr std::size_t kMaxPathSegments =
    16;  // an endpoint has five with its version; an image's name may add some
inline constexpr std::size_t kMaxCreateBodyBytes = 128 * 1024;
inline constexpr std::size_t kMaxOtherBodyBytes = 8 * 1024;  // dockerode sends small JSON bodies with attach and stop
inline constexpr std::size_t kMaxFramingFactor = 8;     // a body with its chunk sizes and extensions, of its ceiling
inline constexpr std::size_t kMaxTimestampBytes = 64;   // RFC 3339 with nanoseconds and zone has 35
inline constexpr std::size_t kMaxDetachKeysBytes = 64;  // a sequence of keys; the usual one is ctrl-p,ctrl-q
inline constexpr std::size_t kMaxJsonDepth = 32;
inline constexpr std::size_t kMaxJsonValues = 20'000;  // values in one body; 128 KiB of "[0,0,…" holds 65,000
inline constexpr std::size_t kMaxJsonMembers = 1024;   // of one object: keys are compared with each other
// Kinds of what the gate decided alone; those beyond are told as one. Of an endpoint's rows and fields there are some
// hundred; of what has no row the client makes up as many as it likes, so that these have places of their own.
inline constexpr std::size_t kMaxClaimKinds = 256;
inline constexpr std::size_t kMaxMadeUpClaimKinds = 64;
inline constexpr std::size_t kMaxClientConnections = 128;  // compose and docker-py hold up to 31 each
inline constexpr std::size_t kMaxWaitingClients = 128;     // beyond these: as many as the listener's backlog held
inline constexpr std::chrono::seconds kPlaceWithin{1};  // a burst is served when others leave; who waits longer hears
inline constexpr std::size_t kMaxEarlyStreamBytes = 64 * 1024;  // stdin sent before dockerd answered 101
inline constexpr std::chrono::seconds kHeaderDeadline{10};
inline constexpr std::chrono::seconds kBodyDeadline{20};
inline constexpr std::chrono::seconds kIdleDeadline{120};  // docker-py keeps connections open between calls
inline constexpr std::chrono::seconds kWriteStall{60};     // a client that reads nothing for so long is given up
inline constexpr std::chrono::seconds kDrainTime{2};       // input is read and forgotten so that a refusal arrives
inline constexpr std::size_t kMaxDrainedBytes = 4 * 1024 * 1024;  // the same in bytes
inline constexpr std::size_t kLogBufferBytes = 64 * 1024;         // per stream; of kMaxStreams within kGateAddressSpace
inline constexpr std::size_t kStreamBufferBytes = 256 * 1024;     // above a Unix socket's default: one read empties it

// --- messages between our processes ---
// One SEQPACKET datagram; the largest at Linux's default wmem_default (212,992 bytes) is 212,960, measured on 6.18.
inline constexpr std::size_t kMaxMessageBytes = 160 * 1024;
inline constexpr std::size_t kMaxSmallMessageBytes = 8 * 1024;     // handshake, spawner and relay messages
inline constexpr std::size_t kMaxRequestsInFlight = 128;           // one per client connection
inline constexpr std::size_t kMaxStreams = kMaxClientConnections;  // of one session, one per client connection
inline constexpr std::size_t kMaxPassedFds = 32;                   // of one message; SCM_MAX_FD is 253 (net/scm.h)
inline constexpr std::uint32_t kMaxUntoldPerMinute = 12'000;       // what has no answer to hold back: cancels, claims
inline constexpr std::chrono::milliseconds kSlowDown{50};          // what each beyond its rate waits
inline constexpr std::chrono::seconds kGateReadsWithin{30};  // an answer; the session of one that does not is ended
// What gate and relay have counted and not said yet is heard for so long, and so much of it, before they are killed.
// Bytes: a channel at Linux's default wmem_default, and one claim of each kind behind it.
inline constexpr std::chrono::milliseconds kLastWordsWithin{250};
inline constexpr std::size_t kMaxLastWordsBytes = 1024 * 1024;
static_assert(212'992 + (kMaxClaimKinds + kMaxMadeUpClaimKinds) * 2048 <= kMaxLastWordsBytes);

// --- fields of a typed request ---
inline constexpr std::size_t kMaxNameBytes = 128;            // container names and references
inline constexpr std::size_t kMaxImageRefBytes = 512;        // 255 name + 128 tag + 71 digest, distribution/reference
inline constexpr std::size_t kMaxTagBytes = 128;             // of an image, distribution/reference
inline constexpr std::size_t kMaxArgumentBytes = 96 * 1024;  // below Linux's MAX_ARG_STRLEN (128 KiB)
inline constexpr std::size_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxEnvironmentEntries = 512;
inline constexpr std::size_t kMaxLabels =
    256;  // compose sets about ten, proxies and schedulers add theirs; all lie in one create body
inline constexpr std::size_t kMaxLabelKeyBytes = 256;
inline constexpr std::size_t kMaxLabelBytes = 4 * 1024;
inline constexpr std::size_t kMaxOptions = 16;        // of Ulimits and SecurityOpt: Linux has 16 resources, prlimit(2)
inline constexpr std::size_t kMaxPathBytes = 4096;    // PATH_MAX, limits.h
inline constexpr std::size_t kMaxCommandBytes = 256;  // the worker's argv[0], for the audit trail
inline constexpr std::size_t kMaxHostnameBytes = 63;  // sethostname(2) allows 64; DNS labels 63
inline constexpr std::size_t kMaxReasonBytes = 1024;  // text of a denial
inline constexpr std::size_t kMaxUserBytes = 128;     // of a User that a client asks for; useradd(8) allows 32 a name
inline constexpr std::size_t kMaxChoiceBytes = 64;    // the name of a runtime, a platform or a signal
inline constexpr std::size_t kMaxWarnings = 24;       // of one create: a line for each field that the profile imposes
inline constexpr std::size_t kMaxWarningBytes = 512;
inline constexpr std::size_t kMaxDockerVersionBytes = 32;  // of broker.toml; "20.10.24+dfsg1" has 14

// --- dockerd ---
inline constexpr std::size_t kMaxReplyBytes = 1024 * 1024;  // a reply that is not a stream; above is a 502
// A container's texts have to fit into one inspection, in which its arguments stand twice: into a message of ours with
// room for the rest, and into a reply of dockerd's, which writes a byte as six at worst (backslash, u, four digits).
inline constexpr std::size_t kMaxDescriptionBytes = kMaxMessageBytes - 24 * 1024;
inline constexpr std::size_t kMaxErrorBytes =
    4096;  // of an error text of dockerd's: of more only the start is looked at
static_assert(6 * kMaxDescriptionBytes + 64 * 1024 <= kMaxReplyBytes);
inline constexpr std::size_t kMaxUpstreamHeadBytes = 16 * 1024;
inline constexpr std::size_t kMaxIdleUpstreams = 16;
inline constexpr std::size_t kMaxContainers = 4096;                  // of a session; the most that a profile may allow
inline constexpr std::size_t kMaxListedContainers = kMaxContainers;  // in one answer of dockerd's, of one session
inline constexpr std::size_t kMaxReapedAtOnce = 8;     // sessions of an earlier broker; dockerd removes 20-30/s
inline constexpr std::chrono::seconds kKeepsPlace{2};  // and of a removal: what takes longer lets the next begin
inline constexpr std::size_t kListEntryBytes = 1024;   // besides its texts; 762 measured, docker 20.10
inline constexpr std::size_t kListedByIdAtOnce = 512;  // where a whole list is too large; a query of 36 KiB
// Connections to dockerd, each for as long as it lives (engine/places.hpp): a share for each of max_sessions, a common
// part, and the keeper's own, with which it ends sessions, a share's containers of each at once. Two descriptors of
// dockerd's each.
inline constexpr std::size_t kDockerdShare = 8;             // two `docker run` (attach and wait) and what ends them
inline constexpr std::size_t kDockerdShareForRequests = 2;  // of it: a session's streams cannot keep it from its stop
inline constexpr std::size_t kCommonDockerdConnections = 1536;  // 2048 in all at the default of 64 sessions
inline constexpr std::size_t kKeeperDockerdConnections = 16;    // besides what endings and the reaper use at once
// Where the process may not open files enough for all of them, there is less that is common; where even the shares do
// not fit, they are smaller: one follower and its stop at least.
inline constexpr std::size_t kLeastDockerdShare = kDockerdShareForRequests + 1;
inline constexpr std::size_t kDescriptorsPerStream = 3;  // dockerd's, ours of a log's pair, the gate's until it is sent
inline constexpr std::size_t kDescriptorsPerSession = 8;  // 7 measured: channels, pidfds, ledger, lock
inline constexpr std::size_t kDescriptorsPerOpener = 16 + kDescriptorsPerSession;  // its forwards' listeners as well
inline constexpr std::size_t kKeeperDescriptors = 128;  // listeners, trail, peers that greet, an upstream on its way
// The keeper's own memory. 17 KiB an idle session and 4 KiB a wait are measured; the rest is for answers under way.
inline constexpr std::size_t kMemoryPerSession = 1024 * 1024;
// Of it what the ledger keeps for as long as a container is there of what its client wrote: labels, names, the image.
inline constexpr std::size_t kMaxLedgerTextBytes = kMemoryPerSession / 2;
static_assert(kMaxLedgerTextBytes >= 3 * kMaxCreateBodyBytes, "labels may be as long as a create body, more than once");
inline constexpr std::size_t kUsualSessions = 64;                                       // the default of max_sessions
inline constexpr std::size_t kLeastMemoryCeiling = kUsualSessions * kMemoryPerSession;  // also for fewer
inline constexpr std::size_t kSmallReplyBytes = 8 * 1024;  // larger answers grow only below the ceiling
// Small ones are not looked at: all that can be under way fit into the last quarter.
static_assert((kCommonDockerdConnections + kUsualSessions * kDockerdShare) * kSmallReplyBytes <=
              kLeastMemoryCeiling / 4);
static_assert(kUsualSessions * kMaxLedgerTextBytes <= kLeastMemoryCeiling / 2,
              "full ledgers leave the rest to answers");
inline constexpr std::chrono::milliseconds kMemoryIsRead{1};        // one pread, 2 us
inline constexpr std::chrono::milliseconds kMemoryIsTrimmed{1000};  // some ms, and only near the ceiling
inline constexpr std::chrono::seconds kUpstreamDeadline{60};
inline constexpr std::chrono::seconds kCreatesSettle =
    kUpstreamDeadline + std::chrono::seconds(5);      // and 2 s to connect
inline constexpr std::uint32_t kMaxStopSeconds = 30;  // dockerd itself takes any number, -1 is for ever
inline constexpr std::size_t kMaxImageVolumes = 8;    // each becomes a tmpfs
// Whom the kernel kills where memory is short (proc(5), oom_score_adj): the hostile first, then gate and relay.
inline constexpr std::int64_t kOomScoreOfHostile = 1000;  // of sandboxes and containers; the most there is
inline constexpr std::int64_t kOomScoreOfHelpers = 500;
inline constexpr std::uint32_t kTmpMode = 01777;  // of their /tmp

// --- what dockerd does for a session (weights: broker/api/endpoints.hpp, measured by tests/bench/weights.py) ---
inline constexpr std::uint32_t kRequestBurstPart = 10;   // of a minute's requests at once: 1 s of dockerd's at 3000
inline constexpr std::uint32_t kLeastRequestBurst = 20;  // so that small budgets are no budgets of single requests
inline constexpr std::size_t kMaxLogReadsAtOnce = 2;     // of one session, without follow: each takes a core of dockerd
inline constexpr std::size_t kFollowersPerContainer = 2;  // its `run`, and somebody who looks
inline constexpr std::size_t kFollowersBesides = 4;       // of containers that are gone, while their streams end
inline constexpr std::size_t kMaxAttachesOfARun = 32;     // that show output: dockerd holds 58 KB of each until its end
inline constexpr std::size_t kWeighedTextBytes = 16 * 1024;     // of a description; each weighs like a small inspect
inline constexpr std::uint64_t kWeighedLogBytes = 10ULL << 20;  // the log for which the weight of a read is written

// --- sessions ---
inline constexpr std::size_t kMaxSessions = 1024;  // 1,500 were tried; what is bound to it is asserted below
inline constexpr std::size_t kMaxForwards = 16;
static_assert(kDescriptorsPerOpener >= kMaxForwards + kDescriptorsPerSession);
inline constexpr std::size_t kMaxForwardConnections = 256;  // per session
inline constexpr std::chrono::seconds kDialDeadline{5};
// Dialers at one time, each a fork of the spawner: some of each session's own, whether it is there to use them or not,
// and some that are common. Of more sessions than kSharedDialers each has one.
inline constexpr std::size_t kSharedDialers = 256;
inline constexpr std::size_t kCommonDialers = 32;       // a neighbour's own has to be one of few that run
inline constexpr std::size_t kMaxSessionDialers = 16;   // of one session; its other dials wait
inline constexpr std::ptrdiff_t kDialersThatBegin = 2;  // of them: further ones begin once these take long
inline constexpr std::chrono::milliseconds kDialHangs{50};
constexpr std::size_t own_dialers(std::size_t max_sessions) {
  const std::size_t share = kSharedDialers / (max_sessions > 0 ? max_sessions : 1);
  return share < 1 ? 1 : share > kMaxSessionDialers ? kMaxSessionDialers : share;
}
// Messages of the spawner that wait for the keeper to read them: the ends of three processes and an answer or two of
// each session, when all end at once, and the outcome of each dial that a session may have under way.
inline constexpr std::size_t kMaxQueuedForKeeper = kMaxSessions * (8 + kMaxForwardConnections);
inline constexpr std::chrono::minutes kHalfClosedIdle{5};  // a forward whose one end has gone and the other is silent
inline constexpr std::size_t kForwardBufferBytes = 32 * 1024;     // each direction; 16 MiB for the most connections
inline constexpr std::size_t kLedgerGrowsTo = 1024 * 1024;        // then it is written anew, without what is gone
inline constexpr std::size_t kMaxLedgerBytes = 64 * 1024 * 1024;  // of one session, read after a crash
// A container that dockerd refuses to remove is tried again ever more seldom: each try may cost dockerd seconds, as one
// that deletes all but the last of a million files does. A change at dockerd is met within this.
inline constexpr std::chrono::minutes kLeftIsTriedEvery{5};
// Ended sessions of one profile with such containers, each with its uids: then it opens no more, and leaves the others
// their ranges.
inline constexpr std::size_t kMaxLeftOfProfile = 8;
inline constexpr std::size_t kMaxGreeting = 16;  // of one uid, before they say what they want; root has no bound
inline constexpr std::chrono::seconds kHelloWithin{5};
inline constexpr std::chrono::seconds kReapedWithin{5};     // what an earlier broker left of an opener's own uids
inline constexpr std::chrono::seconds kRangeFreeWithin{1};  // a uid range, where all are in use: 40 ms were seen
inline constexpr std::size_t kMaxWaitingForPlace = 64;      // openers that meet a full house while a session ends
inline constexpr std::chrono::milliseconds kLauncherSaysWhy{400};  // how the worker ended, after init's end is seen
inline constexpr std::chrono::milliseconds kBrokerSaysWhy{200};    // why init is dead, where it was the broker's doing
static_assert(kBrokerSaysWhy < kLauncherSaysWhy);        // or each would take its own guess back from the other
inline constexpr std::chrono::seconds kNoticeEvery{60};  // of one kind to one session: what meets a limit does it often
inline constexpr std::chrono::milliseconds kSayWithin{500};    // a line on stderr, a word to systemd: nobody reads
inline constexpr std::chrono::seconds kSessionEndDeadline{5};  // everything of a session is gone by then
inline constexpr std::chrono::seconds kKillDeadline{4};        // of it the spawner's part, with room for the containers
inline constexpr std::chrono::seconds kCgroupDeadline{3};      // rmdir is busy until the last process is fully gone
inline constexpr std::chrono::seconds kSliceDeadline{10};      // systemd answers when the stop job is done
inline constexpr std::chrono::seconds kKilledWithin{8};        // the keeper, of an operator's kill
inline constexpr std::chrono::seconds kEndPatience = 2 * kSessionEndDeadline;  // whoever waits for the keeper to say so
static_assert(kLastWordsWithin + kKillDeadline < kSessionEndDeadline && kSessionEndDeadline < kKilledWithin &&
              kKilledWithin < kEndPatience);
inline constexpr std::chrono::seconds kPlaceFreeWithin = kSessionEndDeadline;  // an opener's patience with an ending
inline constexpr std::chrono::seconds kLauncherSaysItWaits{1};  // for the end of its session; most take 0.1 s
// By then every create is settled, and dockerd has had its time for what came of it: the keeper lets the launcher go,
// and says what it is at. A launcher that hears nothing leaves by itself soon after, with words.
inline constexpr std::chrono::seconds kLauncherIsHeld = kCreatesSettle + kSessionEndDeadline;
inline constexpr std::chrono::seconds kLauncherWaits = kCreatesSettle + kEndPatience;
static_assert(kLauncherIsHeld < kLauncherWaits);
inline constexpr std::chrono::seconds kTermGrace{5};  // between TERM and KILL when the time is up or the broker stops
inline constexpr std::chrono::seconds kMostGrace{3600};  // of a profile, instead of kTermGrace
// The most of a grace that counts when the broker stops: one worker that heeds no SIGTERM holds up all others.
inline constexpr std::chrono::seconds kUsualStopWithin{300};
// Of systemd, again and again while workers end: a process that hangs is given no more of it.
inline constexpr std::chrono::seconds kAsksForTimeEvery{10};
inline constexpr std::chrono::seconds kTimeAskedFor = 3 * kAsksForTimeEvery;
// The keeper's beyond that grace, before it ends by itself a session whose time is up, or because it stops: a launcher
// reports better.
inline constexpr std::chrono::seconds kLauncherSaysItEnded{3};
// `run --retry`: between two tries. Doubled from the first to the last.
inline constexpr std::chrono::seconds kFirstRetryOfALaunch{1};
inline constexpr std::chrono::seconds kLastRetryOfALaunch{30};
inline constexpr int kMaxCgroupDepth = 16;  // a container that makes cgroups of its own needs a few

// --- the audit trail ---
// Two sets of files: audit.jsonl has changes, refused changes, forwards, openings and endings; audit.jsonl.reads has
// reads, so that no number of them pushes out the others. What a profile may write of each in an hour, all its sessions
// together; what is beyond is counted. At 280 bytes a record: 15,000 changes, 30,000 reads, 7,500 connections of
// forwards opened and closed.
inline constexpr std::size_t kAuditReadBytesPerHour = 8 * 1024 * 1024;
inline constexpr std::size_t kAuditChangeBytesPerHour = 4 * 1024 * 1024;
inline constexpr std::size_t kAuditRefusalBytesPerHour = 1024 * 1024;
inline constexpr std::size_t kAuditForwardBytesPerHour = 4 * 1024 * 1024;
// Openings and endings, and with them what the gate had counted and not described (a record of what it allowed, one of
// what it refused) and that forwards were held back: so many bytes at most each time that a worker is started again,
// and as many as that is every 2 s, or 4,600 times an hour with nothing but an opening and a plain end (450 bytes
// each). The last part of it is for endings that tell more than that a worker ended.
inline constexpr std::size_t kAuditRestartBytes = 2304;
inline constexpr std::size_t kAuditRestartBytesPerHour = 1800 * kAuditRestartBytes;
inline constexpr std::size_t kAuditEndingsPart = 4;
// What was counted is told in records of their own, so often and of so many bytes: one of each share, one of what could
// not be written. Of refusals they name kMaxCountedRules rules, which a gate may have filled with what is escaped.
inline constexpr std::chrono::seconds kAuditCountedEvery{60};
inline constexpr std::size_t kAuditCountedBytes = 8192;
inline constexpr std::size_t kMaxCountedRules = 16;  // named in one record of what was counted; the rest is "others"
inline constexpr std::size_t kMaxAuditFileBytes = 64 * 1024 * 1024;  // then it is rotated
inline constexpr int kMaxAuditFiles = 8;
inline constexpr int kMaxAuditReadFiles = 4;
// What that keeps: so many profiles that write all they may, without a pause, need so many hours to push out one
// ending, and refused openings with them. Of more profiles than that the log says how long it lasts.
inline constexpr std::size_t kAuditFullProfiles = 4;
inline constexpr std::size_t kAuditKeptHours = 8;
inline constexpr std::size_t kAuditCountedBytesPerHour =
    std::chrono::hours(1) / kAuditCountedEvery * kAuditCountedBytes;
inline constexpr std::size_t kAuditBytesPerHour = kAuditChangeBytesPerHour + kAuditRefusalBytesPerHour +
                                                  kAuditForwardBytesPerHour + kAuditRestartBytesPerHour +
                                                  kAuditCountedBytesPerHour;
// The newest file may just have begun: the others keep what is promised.
inline constexpr std::size_t kAuditKeptBytes = (kMaxAuditFiles - 1) * kMaxAuditFileBytes;
constexpr std::size_t audit_hours_kept(std::size_t profiles) {
  return kAuditKeptBytes / (profiles * kAuditBytesPerHour + kAuditRefusalBytesPerHour + kAuditCountedBytesPerHour);
}
static_assert(audit_hours_kept(kAuditFullProfiles) >= kAuditKeptHours);
// Space taken ahead of the end of audit.jsonl; at least half of it is there when the disk is full. Of that half one
// part in kAuditReserveShares is the most that one profile takes for changes, and again for stops and removals.
inline constexpr std::size_t kAuditReserveBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kAuditReserveShares = 32;
static_assert(kAuditReserveBytes / 2 / 4 >= kMaxSessions * 512, "the last part holds an ending of each session");
inline constexpr std::size_t kMaxAccountsBytes = 256 * 1024;  // of one profile, a line of at most 128 for each session
static_assert(kMaxSessions * 128 + 4096 <= kMaxAccountsBytes);
inline constexpr std::size_t kMaxAuditLineBytes = 256 * 1024;  // for a reader; the keeper's records stay far below

// --- processes that read what hostile code sends ---
// A gate holds kMaxClientConnections clients and as many streams; a relay two ends of each connection. Address space:
// the largest bodies, messages and stream buffers of all of them, and as much again.
inline constexpr std::size_t kGateOpenFiles = 512;
static_assert(kMaxClientConnections + kMaxWaitingClients + kMaxStreams + 16 < kGateOpenFiles);
inline constexpr std::size_t kGateAddressSpace = 256 << 20;
inline constexpr std::size_t kRelayOpenFiles = 2 * kMaxForwardConnections + 64;
inline constexpr std::size_t kRelayAddressSpace = 128 << 20;

// --- uids ---
// One range per session. Disjoint parts, so that no two of our processes, and no two sessions, share a uid.
inline constexpr std::uint32_t kUidsPerSession = 16;
inline constexpr std::size_t kRangesInTurn = 4 * kMaxSessions;  // of a span: at its fullest one in four is in use
enum class UidPart : std::uint32_t { Init = 0, Worker = 1, Gate = 2, Relay = 3, Container = 4, Dialer = 5 };

}  // namespace sallyport::limits
