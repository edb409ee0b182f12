#include "sallyport/callers_descriptor.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "sallyport/poll_time.hpp"

namespace sallyport {

void CallersDescriptor::look_at_it(int access) {
  if (is_looked_at_) return;
  is_looked_at_ = true;
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) return;
  is_socket_ = S_ISSOCK(status.st_mode);
  // The master of a terminal would be another one when opened anew.
  unsigned number = 0;
  const bool is_terminal =
      S_ISCHR(status.st_mode) && ::isatty(descriptor_) == 1 && ::ioctl(descriptor_, TIOCGPTN, &number) != 0;
  if (!S_ISFIFO(status.st_mode) && !is_terminal) return;
  // Through /proc the other end of a pipe could be had as well.
  const int flags = ::fcntl(descriptor_, F_GETFL);
  if ((flags & O_ACCMODE) != access && (flags & O_ACCMODE) != O_RDWR) return;
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor_);
  own_ = UniqueFd::adopt(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

void CallersDescriptor::get_ready_to_write() { look_at_it(O_WRONLY); }

ssize_t CallersDescriptor::read(void* into, std::size_t size) {
  look_at_it(O_RDONLY);
  if (is_socket_) return ::recv(descriptor_, into, size, MSG_DONTWAIT);
  return ::read(own_ ? own_.get() : descriptor_, into, size);
}

ssize_t CallersDescriptor::write(const void* from, std::size_t size) {
  look_at_it(O_WRONLY);
  if (is_socket_) return ::send(descriptor_, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (own_) return ::write(own_.get(), from, size);
  pollfd writable{descriptor_, POLLOUT, 0};
  if (::poll(&writable, 1, 0) == 1) return ::write(descriptor_, from, std::min<std::size_t>(size, PIPE_BUF));
  errno = EAGAIN;
  return -1;
}

bool CallersDescriptor::is_anothers_terminal() {
  if (!is_terminal_) is_terminal_ = ::isatty(descriptor_) == 1;
  if (!*is_terminal_) return false;
  const pid_t foreground = ::tcgetpgrp(descriptor_);
  return foreground > 0 && foreground != ::getpgrp();
}

bool write_within(int descriptor, std::string_view text, std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  CallersDescriptor out(descriptor);
  while (!text.empty()) {
    const ssize_t size = out.write(text.data(), text.size());
    const int error = size < 0 ? errno : 0;
    if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
    if (size > 0 || error == EINTR) continue;
    const int left = milliseconds_until(until);
    pollfd writable{out.to_write(), POLLOUT, 0};
    if (error != EAGAIN || left == 0 || ::poll(&writable, 1, left) == 0) return false;
  }
  return true;
}

}  // namespace sallyport
