#include "launcher/pumps.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace sallyport::launcher {
namespace {

constexpr std::size_t kChunk = 64 * 1024;

bool would_block(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

std::size_t OutputBudget::take(std::size_t wanted) {
  const auto passed = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, left_));
  left_ -= passed;
  dropped_ += wanted - passed;
  return passed;
}

Wanted InputPump::wanted() const {
  if (!sink_) return std::nullopt;
  if (!waiting_.empty()) return pollfd{sink_.get(), POLLOUT, 0};
  return pollfd{source_, POLLIN, 0};
}

void InputPump::step() {
  if (waiting_.empty()) {
    waiting_.resize(kChunk);
    const ssize_t size = ::read(source_, waiting_.data(), waiting_.size());
    waiting_.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    if (size == 0 || (size < 0 && !would_block(errno))) sink_.reset();  // the worker reads the end of its input
    return;
  }
  const ssize_t size = ::write(sink_.get(), waiting_.data(), waiting_.size());
  if (size > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + size);
  if (size < 0 && !would_block(errno)) sink_.reset();  // the worker reads no more
}

Wanted OutputPump::wanted() const {
  if (!waiting_.empty()) return pollfd{own_sink_ ? own_sink_.get() : sink_, POLLOUT, 0};
  if (!source_) return std::nullopt;
  return pollfd{source_.get(), POLLIN, 0};
}

void OutputPump::step() {
  if (waiting_.empty()) read_some();
  if (!waiting_.empty()) write_some();
}

void OutputPump::read_some() {
  waiting_.resize(kChunk);
  const ssize_t size = ::read(source_.get(), waiting_.data(), waiting_.size());
  waiting_.resize(size > 0 ? budget_.take(static_cast<std::size_t>(size)) : 0);
  if (size == 0 || (size < 0 && !would_block(errno))) source_.reset();
  if (!waiting_.empty()) last_ = waiting_.back();
}

void OutputPump::say(std::string_view text) {
  if (nobody_reads_) return;
  std::string line = last_ == '\n' ? "" : "\n";
  line.append("sallyport: ").append(text) += '\n';
  waiting_.insert(waiting_.end(), line.begin(), line.end());
  last_ = '\n';
}

// A reader who stops must not stop us from hearing signals and the time limit, and the flags of the caller's descriptor
// are not ours to change: so a pipe or terminal is opened again for ourselves.
void OutputPump::open_sink() {
  sink_is_opened_ = true;
  struct stat status{};
  if (::fstat(sink_, &status) != 0) return;
  sink_is_socket_ = S_ISSOCK(status.st_mode);
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return;
  const std::string path = "/proc/self/fd/" + std::to_string(sink_);
  own_sink_ = UniqueFd::adopt(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

void OutputPump::write_some() {
  if (!sink_is_opened_) open_sink();
  ssize_t size;
  if (sink_is_socket_) {
    size = ::send(sink_, waiting_.data(), waiting_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (own_sink_) {
    size = ::write(own_sink_.get(), waiting_.data(), waiting_.size());
  } else {
    size = ::write(sink_, waiting_.data(), std::min<std::size_t>(waiting_.size(), PIPE_BUF));
  }
  if (size > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + size);
  if (size >= 0 || would_block(errno)) return;
  nobody_reads_ = true;
  waiting_.clear();  // nobody reads any more: the worker's next write gets SIGPIPE, as without us
  source_.reset();
}

}  // namespace sallyport::launcher
