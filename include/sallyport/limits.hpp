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
inline constexpr std::size_t kMaxCreateBodyBytes = 128 * 1024;
inline constexpr std::size_t kMaxOtherBodyBytes = 8 * 1024;  // dockerode sends small JSON bodies with attach and stop
inline constexpr std::size_t kMaxJsonDepth = 32;
inline constexpr std::size_t kMaxJsonValues = 20'000;           // values in one body; 128 KiB of "[0,0,…" holds 65,000
inline constexpr std::size_t kMaxClientConnections = 128;       // compose and docker-py hold up to 31 each
inline constexpr std::size_t kMaxEarlyStreamBytes = 64 * 1024;  // stdin sent before dockerd answered 101
inline constexpr std::chrono::seconds kHeaderDeadline{10};
inline constexpr std::chrono::seconds kBodyDeadline{20};
inline constexpr std::chrono::seconds kIdleDeadline{120};  // docker-py keeps connections open between calls

// --- messages between our processes ---
// One SEQPACKET datagram; the largest at Linux's default wmem_default (212,992 bytes) is 212,960, measured on 6.18.
inline constexpr std::size_t kMaxMessageBytes = 160 * 1024;
inline constexpr std::size_t kMaxSmallMessageBytes = 8 * 1024;  // handshake, spawner and relay messages
inline constexpr std::size_t kMaxRequestsInFlight = 128;        // one per client connection

// --- fields of a typed request ---
inline constexpr std::size_t kMaxNameBytes = 128;            // container names and references
inline constexpr std::size_t kMaxImageRefBytes = 512;        // 255 name + 128 tag + 71 digest, distribution/reference
inline constexpr std::size_t kMaxArgumentBytes = 96 * 1024;  // below Linux's MAX_ARG_STRLEN (128 KiB)
inline constexpr std::size_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxEnvironmentEntries = 512;
inline constexpr std::size_t kMaxLabels = 64;
inline constexpr std::size_t kMaxLabelBytes = 4 * 1024;
inline constexpr std::size_t kMaxPathBytes = 4096;    // PATH_MAX, limits.h
inline constexpr std::size_t kMaxHostnameBytes = 63;  // sethostname(2) allows 64; DNS labels 63
inline constexpr std::size_t kMaxReasonBytes = 1024;  // text of a denial

// --- dockerd ---
inline constexpr std::size_t kMaxReplyBytes = 1024 * 1024;  // a reply that is not a stream; above is a 502
inline constexpr std::size_t kMaxUpstreamHeadBytes = 16 * 1024;
inline constexpr std::size_t kMaxIdleUpstreams = 16;
inline constexpr std::chrono::seconds kUpstreamDeadline{60};
inline constexpr std::uint32_t kMaxStopSeconds = 30;  // dockerd itself takes any number, -1 is for ever
inline constexpr std::size_t kMaxImageVolumes = 8;    // each becomes a tmpfs

// --- sessions ---
inline constexpr std::size_t kMaxSessions = 256;
inline constexpr std::size_t kMaxForwards = 16;
inline constexpr std::size_t kMaxForwardConnections = 256;  // per session
inline constexpr std::chrono::seconds kDialDeadline{5};
inline constexpr std::size_t kMaxDialers = 512;        // of all sessions at one time; each is a fork of the spawner
inline constexpr std::size_t kMaxSessionDialers = 64;  // of one session at one time; its other dials wait
inline constexpr std::chrono::seconds kSessionEndDeadline{5};          // everything of a session is gone by then
inline constexpr std::size_t kAuditBytesPerSession = 8 * 1024 * 1024;  // beyond it reads are counted, not written
inline constexpr std::size_t kAuditChangeBytesPerHour =
    4 * 1024 * 1024;  // 14,000 changes; all kept files last 128 such hours
inline constexpr std::size_t kMaxAuditFileBytes = 64 * 1024 * 1024;  // then it is rotated
inline constexpr int kMaxAuditFiles = 8;

// --- uids ---
// One range per session. Disjoint parts, so that no two of our processes, and no two sessions, share a uid.
inline constexpr std::uint32_t kUidsPerSession = 16;
enum class UidPart : std::uint32_t { Init = 0, Worker = 1, Gate = 2, Relay = 3, Container = 4, Dialer = 5 };

}  // namespace sallyport::limits
