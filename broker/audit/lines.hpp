// FOR PEOPLE, HOSTILE INPUT. Splits a descriptor's bytes into lines without ever holding more than
// limits::kMaxAuditLineBytes of one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::audit {

struct Line {
  std::string text;      // its first limits::kMaxAuditLineBytes
  std::size_t size = 0;  // as it stands in the file
  bool complete = true;  // false: the file ends within it
};

class LineReader {
 public:
  explicit LineReader(UniqueFd file) : file_(std::move(file)) {}
  Result<std::optional<Line>> next();  // empty at the end

 private:
  Result<bool> fill();
  UniqueFd file_;
  std::string buffer_;
  std::size_t at_ = 0;
};

}  // namespace sallyport::audit
