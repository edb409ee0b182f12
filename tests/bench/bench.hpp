// BENCHMARKS ONLY. What the measuring programs share: a clock, quantiles, Unix sockets, and an end with a reason.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::bench {

[[noreturn]] inline void die(const std::string& doing, int code = errno) {
  std::fprintf(stderr, "%s%s%s\n", doing.c_str(), code != 0 ? ": " : "", code != 0 ? std::strerror(code) : "");
  std::exit(2);
}

inline std::uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// Sorts. The value below which `part` of all values lie.
template <class Number>
Number quantile(std::vector<Number>& values, double part) {
  if (values.empty()) return Number{};
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
}

inline sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) die("the socket's path is too long: " + path, 0);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

inline int dial(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = unix_address(path);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    die("connect to " + path);
  return fd;
}

inline void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) die("send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// --name value pairs of a command line.
inline std::string option(int argc, char** argv, std::string_view name, const char* otherwise = nullptr) {
  for (int i = 1; i + 1 < argc; ++i)
    if (argv[i] == name) return argv[i + 1];
  if (otherwise == nullptr) die("missing option " + std::string(name), 0);
  return otherwise;
}

}  // namespace sallyport::bench
