// TRUSTED SIDE. Which version of its API dockerd is asked in: the newest that it offers and that was compared.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "broker/api/versions.hpp"
#include "broker/engine/read_reply.hpp"
#include "sallyport/result.hpp"

namespace sallyport::engine {

struct ApiVersion {
  unsigned major = 1;
  unsigned minor = 0;
  static Result<ApiVersion> parse(std::string_view text);  // MAJOR.MINOR, digits only
  std::string text() const { return std::to_string(major) + "." + std::to_string(minor); }
  auto operator<=>(const ApiVersion&) const = default;
};

inline constexpr ApiVersion kOldestSpoken{1, api::kOldestEngineMinor};
inline constexpr ApiVersion kNewestSpoken{1, api::kNewestMinor};

// What there is no common version with is refused in words that name both ranges, and what to do.
Result<ApiVersion> choose_version(const EngineVersion& offered);

}  // namespace sallyport::engine
