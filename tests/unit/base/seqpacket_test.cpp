// One datagram with descriptors: all of them are owned by somebody at every moment, and a bound is a bound.
#include "sallyport/seqpacket.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>

namespace sallyport {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

TEST(Seqpacket, BytesAndDescriptorsArriveTogether) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair) << pair.error().text();
  const UniqueFd file = UniqueFd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fds[] = {file.get(), file.get()};
  ASSERT_TRUE(send_datagram(pair->first.get(), bytes_of("hello"), fds));
  std::array<std::byte, 64> buffer{};
  const auto datagram = receive_datagram(pair->second.get(), buffer);
  ASSERT_TRUE(datagram) << datagram.error().text();
  EXPECT_EQ(datagram->size, 5U);
  ASSERT_EQ(datagram->fds.size(), 2U);
  for (const UniqueFd& fd : datagram->fds) EXPECT_EQ(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Seqpacket, AClosedPeerIsSizeZeroAndNotAnError) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  pair->first.reset();
  std::array<std::byte, 8> buffer{};
  const auto datagram = receive_datagram(pair->second.get(), buffer);
  ASSERT_TRUE(datagram);
  EXPECT_EQ(datagram->size, 0U);
}

TEST(Seqpacket, ADatagramOfExactlyTheBufferIsTakenAndOneByteMoreIsRefused) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  std::array<std::byte, 8> buffer{};
  ASSERT_TRUE(send_datagram(pair->first.get(), bytes_of("12345678"), {}));
  EXPECT_TRUE(receive_datagram(pair->second.get(), buffer));
  ASSERT_TRUE(send_datagram(pair->first.get(), bytes_of("123456789"), {}));
  EXPECT_FALSE(receive_datagram(pair->second.get(), buffer));
}

TEST(Seqpacket, DescriptorsOfARefusedDatagramAreClosed) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  const UniqueFd file = UniqueFd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fds[] = {file.get(), file.get(), file.get()};
  const std::size_t before = open_descriptors();
  ASSERT_TRUE(send_datagram(pair->first.get(), bytes_of("longer than the buffer"), fds));
  std::array<std::byte, 4> buffer{};
  EXPECT_FALSE(receive_datagram(pair->second.get(), buffer));
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace sallyport
