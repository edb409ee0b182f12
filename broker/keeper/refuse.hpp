// TRUSTED SIDE. How a rule says no.
#pragma once

#include <string>

#include "broker/keeper/decide.hpp"

namespace sallyport::keeper {

inline Refusal refuse(std::uint16_t status, std::string rule, const std::string& message) {
  return {status, std::move(rule), "sallyport: " + message, 0};
}
inline std::string in_profile(const Profile& profile) { return " (profile " + profile.name.text() + ")"; }

}  // namespace sallyport::keeper
