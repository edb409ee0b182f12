// TRUSTED SIDE. How much memory this process holds of its own, against a ceiling. What sessions make it hold is refused
// before it grows beyond: the last quarter is kept for small answers to those within their share of connections.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::engine {

class MemoryGauge {
 public:
  // Of resident memory that no file backs, beyond what the process has now, before any session. Opened before the
  // filter is installed.
  static Result<MemoryGauge> open(std::size_t ceiling);
  // The same with a source of the test's own.
  MemoryGauge(std::size_t ceiling, std::function<std::size_t()> read) : ceiling_(ceiling), read_(std::move(read)) {}

  std::size_t ceiling() const { return ceiling_; }
  bool is_above_ceiling() { return held() > ceiling_; }
  bool is_above_common() { return held() > ceiling_ / 4 * 3; }
  // At most as old as kMemoryIsRead.
  std::size_t held();

 private:
  std::size_t ceiling_;
  std::function<std::size_t()> read_;
  std::size_t last_ = 0;
  std::chrono::steady_clock::time_point read_at_{};
  std::chrono::steady_clock::time_point trimmed_at_{};
};

}  // namespace sallyport::engine
