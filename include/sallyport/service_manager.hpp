// BOTH SIDES (trusted on each). What a unit's process says to systemd: its state, by sd_notify(3), and its own lines,
// to the journal's datagram socket with their priority and fields ("Native Journal Protocol" of systemd's
// documentation). A few lines of code, because libsystemd has no static library.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport {

namespace detail {
// '@' at its begin: an abstract name (unix(7)).
inline Result<UniqueFd> connect_datagram(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("connect to " + std::string(path) + ": the name is too long");
  path.copy(address.sun_path, path.size());
  if (path.starts_with('@')) address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0)
    return fail_errno("connect to " + std::string(path));
  return socket;
}
}  // namespace detail

// The path that NOTIFY_SOCKET names; "" where nobody waits to be told.
inline std::string_view notify_socket() {
  const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): one thread
  return path != nullptr && (path[0] == '/' || path[0] == '@') ? std::string_view(path) : std::string_view();
}

// `state`: lines of sd_notify(3), such as "READY=1". Done, too, where nobody waits for it.
inline Result<> notify_systemd(const std::string& state) {
  if (notify_socket().empty()) return {};
  const UniqueFd socket = TRY(detail::connect_datagram(notify_socket()));
  static_assert(limits::kSayWithin < std::chrono::seconds(1));
  const timeval time{.tv_sec = 0, .tv_usec = std::chrono::microseconds(limits::kSayWithin).count()};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  if (::send(socket.get(), state.data(), state.size(), MSG_NOSIGNAL) < 0)
    return fail_errno("tell systemd " + state.substr(0, state.find('\n')));
  return {};
}

// EX_CONFIG of sysexits(3), with which the units are not started again (RestartPreventExitStatus=): a file is wrong
// until somebody mends it.
inline constexpr int kMisconfigured = 78;

enum class Priority : std::uint8_t { Error = 3, Warning = 4, Notice = 5, Info = 6, Debug = 7 };  // syslog(3)

struct JournalField {
  std::string_view name;  // capital letters, digits, '_'
  std::string_view value;
};

class Journal {
 public:
  // Where stderr leads to the journal, which JOURNAL_STREAM says (systemd.exec(5)); nothing anywhere else.
  static std::optional<Journal> behind_stderr() {
    const char* stream = std::getenv("JOURNAL_STREAM");  // NOLINT(concurrency-mt-unsafe): one thread
    struct stat status{};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return std::nullopt;
    if (stream != std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino)) return std::nullopt;
    auto socket = detail::connect_datagram("/run/systemd/journal/socket");
    if (!socket) return std::nullopt;
    return Journal(std::move(*socket));
  }

  bool has_room_within(std::chrono::milliseconds time) const {
    pollfd writable{socket_.get(), POLLOUT, 0};
    return ::poll(&writable, 1, static_cast<int>(time.count())) == 1;
  }
  // False: not sent, because the journal is gone or has no room just now. Never waits.
  bool send(Priority priority, std::string_view message, std::span<const JournalField> fields) const {
    std::string entry = "PRIORITY=" + std::to_string(static_cast<int>(priority)) + "\n";
    add(entry, {"MESSAGE", message});
    for (const JournalField& field : fields)
      if (!field.value.empty()) add(entry, field);
    return ::send(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(entry.size());
  }

 private:
  explicit Journal(UniqueFd socket) : socket_(std::move(socket)) {}

  // With the length before the value: a newline in it begins no field.
  static void add(std::string& entry, const JournalField& field) {
    entry += std::string(field.name) + "\n";
    std::uint64_t size = field.value.size();  // little-endian in the protocol
    for (std::size_t i = 0; i < sizeof size; ++i, size >>= 8) entry += static_cast<char>(size & 0xff);
    entry += std::string(field.value) + "\n";
  }

  UniqueFd socket_;
};

}  // namespace sallyport
