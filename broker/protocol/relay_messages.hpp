// BOTH SIDES of the trust line: what a relay (UNTRUSTED) says to the keeper about forwards, and the keeper's answers.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>

#include "sallyport/bytes.hpp"

namespace sallyport::protocol::relay {

struct Connect {  // somebody connected to forward number `forward` (index into the profile's list)
  std::uint32_t connection = 0;
  std::uint8_t forward = 0;
  auto fields() { return std::tie(connection, forward); }
};
struct Closed {
  std::uint32_t connection = 0;
  std::uint64_t bytes_up = 0;  // sandbox to upstream
  std::uint64_t bytes_down = 0;
  auto fields() { return std::tie(connection, bytes_up, bytes_down); }
};
using ToKeeper = std::variant<Connect, Closed>;

struct Connected {  // with one descriptor: the connected upstream
  std::uint32_t connection = 0;
  auto fields() { return std::tie(connection); }
};
struct Unreachable {
  std::uint32_t connection = 0;
  auto fields() { return std::tie(connection); }
};
using FromKeeper = std::variant<Connected, Unreachable>;

}  // namespace sallyport::protocol::relay
