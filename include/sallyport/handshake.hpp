// BOTH SIDES. What launcher (or an operator's command) and keeper say to each other on the control socket,
// /run/sallyport/broker.sock, SOCK_SEQPACKET. OpenSession or KillSession begins the conversation; a connection that has
// opened a session is the session: when it closes, the session ends.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <variant>

#include "sallyport/bytes.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::handshake {

// Another message, another field, another order of them: another version. Then who is older is refused in words, and
// does not meet a message in the middle of a session that it cannot read.
inline constexpr std::uint32_t kVersion = 4;
using ProfileHash = std::array<std::uint8_t, 32>;  // SHA-256 of the profile file's bytes

// Launcher -> keeper, first message. Sent when the sandbox stands and its init waits for the word to start the worker.
// Descriptors: launcher pidfd, init pidfd, uid range lock, docker listener, fd-3 stream end, then one listener a
// forward. A profile without [docker] sends no listener and no stream; a peer without a range of its own sends uid_base
// 0 and no lock.
struct OpenSession {
  std::uint32_t version = kVersion;
  ProfileName profile;
  ProfileHash profile_hash{};
  std::uint32_t uid_base = 0;  // host uid of the first of kUidsPerSession
  bool has_docker = false;     // listener and stream follow
  std::uint8_t forward_listeners = 0;
  Text<limits::kMaxCommandBytes> command;
  auto fields() { return std::tie(version, profile, profile_hash, uid_base, has_docker, forward_listeners, command); }
};
// Launcher -> keeper, when the worker has ended: the certain exit status, for the record.
struct WorkerEnded {
  bool signalled = false;
  std::int32_t value = 0;
  bool time_up = false;
  auto fields() { return std::tie(signalled, value, time_up); }
};
// Operator -> keeper, root only.
struct KillSession {
  std::uint32_t version = kVersion;
  SessionId session;
  auto fields() { return std::tie(version, session); }
};
using ToKeeper = std::variant<OpenSession, WorkerEnded, KillSession>;

// Keeper -> launcher.
struct Opened {
  SessionId session;
  List<Text<64>, 16> not_enforced;  // limits of [docker] that this host cannot enforce
  auto fields() { return std::tie(session, not_enforced); }
};
struct Refused {
  Text<limits::kMaxReasonBytes> reason;  // for a person: what, where, how to fix it
  auto fields() { return std::tie(reason); }
};
// The broker stops: SIGTERM, the grace of the profile, SIGKILL; then WorkerEnded as ever.
struct EndWorker {
  std::uint32_t within = 0;  // seconds: stop_within of broker.toml, beyond which no grace goes
  auto fields() { return std::tie(within); }
};
struct Ended {  // the session is over; sent before anything of it is killed. What follows is Done, or the end
  Text<limits::kMaxReasonBytes> reason;
  auto fields() { return std::tie(reason); }
};
struct Done {  // answer to KillSession and WorkerEnded
  auto fields() { return std::tie(); }
};
struct Notice {  // a limit that the session has met and that no answer tells of; few, see kNoticeEvery
  Text<limits::kMaxReasonBytes> text;
  auto fields() { return std::tie(text); }
};
// Refused, and it may be granted to whoever asks again. Not a field of Refused: an older launcher can read that one.
struct RefusedForNow {
  Text<limits::kMaxReasonBytes> reason;
  auto fields() { return std::tie(reason); }
};
// Before Done or Ended where the keeper lets the launcher go although not everything of the session is gone.
struct LeftBehind {
  Text<limits::kMaxReasonBytes> what;  // for a person: what is left, and why
  auto fields() { return std::tie(what); }
};
using FromKeeper = std::variant<Opened, Refused, Ended, Done, Notice, LeftBehind, EndWorker, RefusedForNow>;
static_assert(kVersion == 4 && std::variant_size_v<ToKeeper> == 3 && std::variant_size_v<FromKeeper> == 8);

}  // namespace sallyport::handshake
