// TESTS ONLY. For programs whose tests capture stderr. Of a pipe or a terminal the broker's log makes a description of
// its own when it is first used, and would write there whatever a test captures: so it is first used while stderr is a
// captured one, which is a file.
#include <gtest/gtest.h>

#include "sallyport/log.hpp"

namespace sallyport {
namespace {

class CapturedLog : public testing::Environment {
  void SetUp() override {
    testing::internal::CaptureStderr();
    log::get_ready();
    (void)testing::internal::GetCapturedStderr();
  }
};
[[maybe_unused]] const testing::Environment* const kCapturedLog = testing::AddGlobalTestEnvironment(new CapturedLog);

}  // namespace
}  // namespace sallyport
