// What takes long runs only in `scripts/test all`, which sets SALLYPORT_TEST_ALL=1. A whole test begins with
// SALLYPORT_LONG_TEST(); a test that repeats something asks for its number of rounds.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

namespace sallyport::tests {

inline bool in_all() {
  const char* value = std::getenv("SALLYPORT_TEST_ALL");  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr && std::string_view(value) == "1";
}
inline int rounds(int usual, int all) { return in_all() ? all : usual; }

}  // namespace sallyport::tests

// scripts/count_junit.py knows a test that was left out by this word, and counts it apart from skipped ones.
#define SALLYPORT_LONG_TEST() \
  if (!sallyport::tests::in_all()) GTEST_SKIP() << "long: runs in scripts/test all"
