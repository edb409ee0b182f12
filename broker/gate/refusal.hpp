// UNTRUSTED SIDE. How the gate says no: an HTTP status, a stable rule name for the record, and a text for the client.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "sallyport/result.hpp"

namespace sallyport::gate {

struct Refusal {
  std::uint16_t status = 400;
  std::string rule;     // field path, endpoint or "http"
  std::string message;  // without the "sallyport: " in front
};

template <class T = void>
using Outcome = std::expected<T, Refusal>;

inline std::unexpected<Refusal> refuse(std::uint16_t status, std::string_view rule, std::string message) {
  return std::unexpected(Refusal{status, std::string(rule), std::move(message)});
}

// `text` in double quotes, at most 80 characters of it, control characters as '?': for messages.
std::string quoted(std::string_view text);

}  // namespace sallyport::gate

namespace sallyport::detail {
template <class T>
T take(std::expected<T, gate::Refusal>&& outcome) {
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}
}  // namespace sallyport::detail
