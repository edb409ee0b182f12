// TRUSTED. What the keeper asks of the spawner, which holds the capabilities but not the Docker socket: a closed set of
// fixed requests. Each answer carries the number of its request and comes as soon as it is known: processes that do not
// end hold up nobody else's start. ChildEnded and DialDone come by themselves, under the number 0.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>

#include "sallyport/bytes.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::protocol::spawner {

// For a peer without a uid range of its own, before its StartSession: takes a free range for the session. So the keeper
// knows, and has written, under which uids anything may run before anything does.
struct TakeRange {
  SessionId session;
  auto fields() { return std::tie(session); }
};
// Descriptors: init pidfd, uid lock (unless uid_base is 0), [docker listener, fd-3 stream] (if has_docker), forward
// listeners. Verified by the spawner: the range lies in the span, is locked by the passed lock file and is init's uid
// map; each listener listens, has the right domain and type and lives in init's network namespace.
struct StartSession {
  SessionId session;
  std::uint32_t uid_base = 0;  // 0: that of its TakeRange (peers that are not root)
  bool has_docker = false;
  std::uint8_t forward_listeners = 0;
  auto fields() { return std::tie(session, uid_base, has_docker, forward_listeners); }
};
// Connects to `address` as the session's dialer uid. The connected descriptor, or errno, comes back in DialDone.
struct Dial {
  SessionId session;
  std::uint32_t connection = 0;  // chosen by the relay, seen by the keeper to be unique in the session
  bool tcp = false;
  Text<128> address;  // path, or dotted IPv4 address
  std::uint16_t port = 0;
  std::int32_t extra_group = -1;  // gid, from the profile's forward
  auto fields() { return std::tie(session, connection, tcp, address, port, extra_group); }
};
// Kills init, gate, relay and dialers by pidfd and cgroup.kill; answered when all have ended.
struct KillProcesses {
  SessionId session;
  auto fields() { return std::tie(session); }
};
// A session of an earlier broker: kills what is left of it by its cgroups, and takes the locks of its uid range, so
// that nobody is given those uids while anything may still run under them. Answered like KillProcesses; the locks are
// held until its RemoveCgroup has succeeded.
struct TakeOver {
  SessionId session;
  std::uint32_t uid_base = 0;  // 0: it had none yet, so nothing of it was ever started
  auto fields() { return std::tie(session, uid_base); }
};
// Removes the session's cgroup in every hierarchy, or its slice; the uid range is released. Last request of a session,
// asked again where the answer is SpawnFailed: tried once then, where the first was tried for its whole deadline. Also
// asked for sessions of an earlier broker, which the spawner does not know. `keeps_range`: containers of the session
// are left, dead; the uid range stays locked until it is asked once more without.
struct RemoveCgroup {
  SessionId session;
  bool systemd_driver = false;
  bool keeps_range = false;
  auto fields() { return std::tie(session, systemd_driver, keeps_range); }
};
// Without an answer: the broker stops, and its sessions have so long for it; systemd is to wait as long.
struct StopsWithin {
  std::uint32_t seconds = 0;
  auto fields() { return std::tie(seconds); }
};
using ToSpawner = std::variant<StartSession, Dial, KillProcesses, TakeOver, RemoveCgroup, TakeRange, StopsWithin>;
struct ToSpawnerEnvelope {
  std::uint32_t number = 0;  // the keeper's, for the answer
  ToSpawner message;
  auto fields() { return std::tie(number, message); }
};

// Answer to StartSession. Descriptors: gate channel (if has_docker), relay channel (if forwards).
struct Started {
  auto fields() { return std::tie(); }
};
struct RangeTaken {
  std::uint32_t uid_base = 0;
  auto fields() { return std::tie(uid_base); }
};
// To any of the requests but Dial: why not.
struct SpawnFailed {
  Text<limits::kMaxReasonBytes> reason;
  auto fields() { return std::tie(reason); }
};
struct ProcessesDead {
  auto fields() { return std::tie(); }
};
struct CgroupRemoved {
  auto fields() { return std::tie(); }
};
enum class ChildKind : std::uint8_t { Init, Gate, Relay, kCount };
struct ChildEnded {
  SessionId session;
  ChildKind kind = ChildKind::Init;
  bool signalled = false;
  std::int32_t value = 0;
  auto fields() { return std::tie(session, kind, signalled, value); }
};
struct DialDone {  // with one descriptor if error_code is 0
  SessionId session;
  std::uint32_t connection = 0;
  std::int32_t error_code = 0;
  auto fields() { return std::tie(session, connection, error_code); }
};
using FromSpawner = std::variant<Started, SpawnFailed, ProcessesDead, CgroupRemoved, ChildEnded, DialDone, RangeTaken>;
struct FromSpawnerEnvelope {
  std::uint32_t number = 0;
  FromSpawner message;
  auto fields() { return std::tie(number, message); }
};

}  // namespace sallyport::protocol::spawner
