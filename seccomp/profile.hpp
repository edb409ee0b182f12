// BOTH SIDES. What a seccomp profile is, as plain data: rows of (call, reason, verdict, condition) and a default.
// judge() is the meaning of a profile. The compiler refuses to emit a filter that differs from it anywhere it looks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::seccomp {

enum class Action : std::uint8_t { Allow, Errno, Kill };

struct Verdict {
  Action action = Action::Kill;
  std::uint16_t error = 0;  // errno, where action is Errno
  constexpr bool operator==(const Verdict&) const = default;
};
inline constexpr Verdict kAllow{Action::Allow, 0};
inline constexpr Verdict kKill{Action::Kill, 0};
constexpr Verdict answer(int error) { return {Action::Errno, static_cast<std::uint16_t>(error)}; }

// (low 32 bits of the argument & mask) == value. Only the low half counts, because the kernel cuts the arguments that
// we look at (ioctl's request, prctl's option, clone's flags, socket's family) to 32 bits: a filter that compared 64
// would be passed with a bit set above (CVE-2019-7303).
struct Condition {
  std::uint8_t argument = 0;
  std::uint32_t value = 0;
  std::uint32_t mask = 0xffffffff;
};

enum class Kind : std::uint8_t { Always, If, Otherwise };

struct Row {
  const char* call;
  const char* reason;
  Verdict verdict = kAllow;
  Kind kind = Kind::Always;
  std::array<Condition, 3> conditions{};  // all must hold; only the first `count` count
  std::uint8_t count = 0;
};

constexpr Row allow(const char* call, const char* reason) { return {call, reason}; }
constexpr Row allow_if(const char* call, Condition condition, const char* reason) {
  return {call, reason, kAllow, Kind::If, {condition}, 1};
}
constexpr Row allow_if(const char* call, Condition first, Condition second, const char* reason) {
  return {call, reason, kAllow, Kind::If, {first, second}, 2};
}
constexpr Row allow_if(const char* call, Condition first, Condition second, Condition third, const char* reason) {
  return {call, reason, kAllow, Kind::If, {first, second, third}, 3};
}
constexpr Row refuse(const char* call, int error, const char* reason) { return {call, reason, answer(error)}; }
constexpr Row refuse_if(const char* call, Condition condition, int error, const char* reason) {
  return {call, reason, answer(error), Kind::If, {condition}, 1};
}
constexpr Row refuse_if(const char* call, Condition first, Condition second, int error, const char* reason) {
  return {call, reason, answer(error), Kind::If, {first, second}, 2};
}
// The caller is told that it was done, and nothing was.
constexpr Row pretend_if(const char* call, Condition first, Condition second, const char* reason) {
  return {call, reason, answer(0), Kind::If, {first, second}, 2};
}
// What a call with conditions gets when none holds. Without such a row it gets the profile's default.
constexpr Row otherwise(const char* call, int error, const char* reason) {
  return {call, reason, answer(error), Kind::Otherwise};
}
constexpr Row otherwise_allow(const char* call, const char* reason) { return {call, reason, kAllow, Kind::Otherwise}; }

using Rows = std::span<const Row>;

struct Profile {
  std::string_view name;
  Verdict unlisted;              // a call without a row
  std::span<const Rows> groups;  // foreign architectures, x32 among them, are killed in every profile
};

// The first row that applies decides; `arguments` as in seccomp_data.
constexpr Verdict judge(const Profile& profile, std::string_view call, std::span<const std::uint64_t, 6> arguments) {
  const Row* fallback = nullptr;
  for (const Rows& rows : profile.groups) {
    for (const Row& row : rows) {
      if (call != row.call) continue;
      if (row.kind == Kind::Otherwise) {
        fallback = &row;
        continue;
      }
      bool holds = true;
      for (std::size_t i = 0; i < row.count; ++i) {
        const Condition& condition = row.conditions[i];
        const auto low = static_cast<std::uint32_t>(arguments[condition.argument]);
        holds = holds && (low & condition.mask) == condition.value;
      }
      if (holds) return row.verdict;
    }
  }
  return fallback != nullptr ? fallback->verdict : profile.unlisted;
}

}  // namespace sallyport::seccomp
