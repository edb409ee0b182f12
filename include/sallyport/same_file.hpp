// BOTH SIDES. Whether two paths lead to one file: by links, or mounted in two places. Follows links, opens nothing. A
// path that leads nowhere, or where the caller may not look, is the same as itself alone.
#pragma once

#include <sys/stat.h>

#include <string>

namespace sallyport {

inline bool is_same_file(const std::string& one, const std::string& other) {
  struct stat first{}, second{};
  if (one == other) return true;
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

}  // namespace sallyport
