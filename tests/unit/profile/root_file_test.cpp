// Who may have written a file decides before a byte of it is read.
#include "sallyport/profile/root_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"
#include "unit/temporary_directory.hpp"

namespace sallyport {
namespace {

class RootFile : public testing::Test {
 protected:
  RootFile() { write("[worker]\ndirectory = \"/tmp\"\n"); }
  void write(const std::string& text) const { std::ofstream(file()) << text; }
  std::string file() const { return directory_ + "/worker.toml"; }
  std::string refusal() const {
    const auto profile = load_profile(directory_, *ProfileName::parse("worker"));
    return profile ? "" : profile.error().text();
  }
  const tests::TemporaryDirectory made_;
  const std::string directory_ = made_.path();
};

TEST_F(RootFile, OfTheCallerIsLoadedAndHashed) {
  const auto profile = load_profile(directory_, *ProfileName::parse("worker"));
  ASSERT_TRUE(profile) << profile.error().text();
  EXPECT_EQ(profile->worker.directory, "/tmp");
  write("");
  const auto empty = load_profile(directory_, *ProfileName::parse("worker"));
  ASSERT_TRUE(empty) << empty.error().text();
  // SHA-256 of no bytes, FIPS 180-4.
  EXPECT_EQ(empty->hash[0], 0xe3);
  EXPECT_EQ(empty->hash[31], 0x55);
  EXPECT_NE(empty->hash, profile->hash);
}

TEST_F(RootFile, IsHashedToItsLastByte) {
  const auto hash = [&] { return load_profile(directory_, *ProfileName::parse("worker")).value().hash; };
  for (const std::size_t size : {100U, 5'000U, 60'000U}) {
    write("# " + std::string(size, 'x') + "a\n");
    const auto one = hash();
    write("# " + std::string(size, 'x') + "b\n");
    EXPECT_NE(hash(), one) << size;
  }
}

TEST_F(RootFile, ThatItsGroupOrOthersMayWriteIsRefused) {
  ASSERT_EQ(::chmod(file().c_str(), 0664), 0);
  EXPECT_NE(refusal().find("chmod go-w"), std::string::npos) << refusal();
  ASSERT_EQ(::chmod(file().c_str(), 0646), 0);
  EXPECT_NE(refusal().find("chmod go-w"), std::string::npos) << refusal();
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  EXPECT_EQ(refusal(), "");
}

TEST_F(RootFile, InADirectoryThatOthersMayWriteIsRefused) {
  ASSERT_EQ(::chmod(directory_.c_str(), 0777), 0);
  EXPECT_NE(refusal().find("chmod go-w"), std::string::npos) << refusal();
}

TEST_F(RootFile, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(::chown(file().c_str(), 12345, 0), 0);
  EXPECT_NE(refusal().find("belongs to uid 12345"), std::string::npos) << refusal();
}

TEST_F(RootFile, ThatIsASymbolicLinkIsRefused) {
  std::filesystem::rename(file(), directory_ + "/real.toml");
  std::filesystem::create_symlink("real.toml", file());
  EXPECT_NE(refusal().find("symbolic link"), std::string::npos) << refusal();
}

TEST_F(RootFile, ThatIsAFifoIsRefusedWithoutWaiting) {
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  EXPECT_NE(refusal().find("not a regular file"), std::string::npos) << refusal();
}

TEST_F(RootFile, ThatIsTooLargeIsRefused) {
  write(std::string(kMaxConfigurationBytes + 1, '\n'));
  EXPECT_NE(refusal().find("larger than 64 KiB"), std::string::npos) << refusal();
  write(std::string(kMaxConfigurationBytes, '\n'));
  EXPECT_EQ(refusal(), "");
}

TEST_F(RootFile, ThatHoldsMoreThanItsSizeIsBeingWritten) {  // as a file of /proc always is
  const auto outcome = read_root_file("/proc/self/status");
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().text().find("is being written"), std::string::npos) << outcome.error().text();
}

TEST_F(RootFile, ThatIsMissingSaysSo) {
  std::filesystem::remove(file());
  const auto outcome = read_root_file(file());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ENOENT);
}

TEST_F(RootFile, NamedByAnOptionMustBeThere) { EXPECT_FALSE(find_config(directory_ + "/broker.toml")); }

}  // namespace
}  // namespace sallyport
