// BOTH SIDES. Text for people that somebody else may have chosen: a terminal or a log must not have to trust it.
#pragma once

#include <string>
#include <string_view>

#include "sallyport/ids.hpp"

namespace sallyport {

// Everything outside printable ASCII is shown as '?': a line is a line. `kept`: but for this one.
inline std::string printable(std::string_view text, char kept = ' ') {
  std::string result(text);
  for (char& c : result)
    if (!detail::is_printable_ascii(c) && c != kept) c = '?';
  return result;
}

}  // namespace sallyport
