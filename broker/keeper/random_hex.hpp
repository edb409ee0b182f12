// TRUSTED SIDE. Ids that nobody can guess.
#pragma once

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace sallyport::keeper {

inline std::string random_hex(std::size_t bytes) {
  std::array<unsigned char, 32> random{};
  if (bytes > random.size()) std::abort();
  while (::getrandom(random.data(), bytes, 0) != static_cast<ssize_t>(bytes))
    if (errno != EINTR) std::abort();  // no randomness: nothing here can go on
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text += "0123456789abcdef"[random[i] >> 4];
    text += "0123456789abcdef"[random[i] & 0xf];
  }
  return text;
}

}  // namespace sallyport::keeper
