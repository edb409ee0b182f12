// TRUSTED SIDE (launcher and broker). Reads a configuration file that only root may have written.
// Refuses a symlink, anything but a regular file, an owner other than root (or the caller's own uid, where the caller
// is not root), a file or a holding directory that group or others may write, and more than kMaxConfigurationBytes.
#pragma once

#include <cstddef>
#include <string>

#include "sallyport/result.hpp"

namespace sallyport {

inline constexpr std::size_t kMaxConfigurationBytes = 64 * 1024;  // a long profile of ours has 4 KiB

// What was checked is what is read: one descriptor, one fstat(2). A missing file comes back with code ENOENT.
Result<std::string> read_root_file(const std::string& file);

}  // namespace sallyport
