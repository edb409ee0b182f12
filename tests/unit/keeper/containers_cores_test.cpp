#include "broker/engine/containers_cores.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sallyport::engine {
namespace {

constexpr pid_t kDockerd = 77;
constexpr const char* kAllMapped = "         0          0 4294967295\n";
constexpr const char* kAll = "000001ffffffffff";
constexpr const char* kWithoutResource = "000001fffeffffff";

class ADockerd : public testing::Test {
 protected:
  ADockerd() { std::filesystem::create_directories(proc_ / "77"); }
  ~ADockerd() override { std::filesystem::remove_all(proc_); }
  void is(const std::string& soft, const std::string& hard, const std::string& capabilities, const char* map) const {
    write("limits",
          "Limit                     Soft Limit           Hard Limit           Units     \n"
          "Max core file size        " +
              soft + "                    " + hard + "                    bytes\n");
    write("status", "Name:\tdockerd\nCapPrm:\t0000000000000000\nCapEff:\t" + capabilities + "\n");
    write("uid_map", map);
  }
  std::int64_t limit() const { return core_limit_from(kDockerd, proc_.string()); }

 private:
  void write(const char* name, const std::string& text) const { std::ofstream(proc_ / "77" / name) << text; }
  std::filesystem::path proc_ = testing::TempDir() + "cores-" + std::to_string(::getpid());
};

TEST_F(ADockerd, OfWhichNothingIsKnownGives1) {
  EXPECT_EQ(limit(), 1);
  EXPECT_EQ(core_limit_from(0), 1);
  EXPECT_EQ(core_limit_from(-1), 1);
}

TEST_F(ADockerd, WithAHardLimitOf0GivesItOnlyWhereItMayNotRaiseIt) {
  is("0", "0", kWithoutResource, kAllMapped);
  EXPECT_EQ(limit(), 0);
  is("0", "0", kAll, kAllMapped);
  EXPECT_EQ(limit(), 1);
  is("0", "0", kAll, "         0     100000      65536\n");
  EXPECT_EQ(limit(), 0) << "in a user namespace of its own the capability does not count";
}

TEST_F(ADockerd, WithAnyOtherHardLimitGives1) {
  for (const char* hard : {"1", "unlimited", "00"}) {
    is("0", hard, kWithoutResource, kAllMapped);
    EXPECT_EQ(limit(), 1) << hard;
  }
}

TEST_F(ADockerd, IsReadAsTheKernelShowsIt) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_CORE, &before), 0);
  EXPECT_EQ(core_limit_from(::getpid()), before.rlim_max == 0 && ::geteuid() != 0 ? 0 : 1);
}

TEST(TheWarningOfCores, IsGivenOnlyWhereTheKernelWouldRunAHandler) {
  EXPECT_EQ(core_limit_warning("core"), "");
  EXPECT_EQ(core_limit_warning(""), "");
  EXPECT_NE(core_limit_warning("|/usr/lib/handler %p").find("LimitCORE=1"), std::string::npos);
}

}  // namespace
}  // namespace sallyport::engine
