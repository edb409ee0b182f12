#include "launcher/pumps.hpp"

#include <sys/ioctl.h>
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

Wanted InputPump::wanted() {
  if (!sink_) return std::nullopt;
  if (!waiting_.empty()) return pollfd{sink_.get(), POLLOUT, 0};
  if (source_.is_anothers_terminal()) return std::nullopt;
  return pollfd{source_.to_read(), POLLIN, 0};
}

void InputPump::step() {
  if (waiting_.empty()) {
    waiting_.resize(kChunk);
    const ssize_t size = source_.read(waiting_.data(), waiting_.size());
    waiting_.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    const int error = size < 0 ? errno : 0;
    // EIO: another has become its terminal's foreground beside this.
    if (size < 0 && (would_block(error) || (error == EIO && source_.is_anothers_terminal()))) return;
    if (size <= 0) sink_.reset();  // the worker reads the end of its input
    return;
  }
  const ssize_t size = ::write(sink_.get(), waiting_.data(), waiting_.size());
  if (size > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + size);
  if (size < 0 && !would_block(errno)) sink_.reset();  // the worker reads no more
}

Wanted OutputPump::wanted() const {
  if (!waiting_.empty()) return pollfd{sink_.to_write(), POLLOUT, 0};
  if (!source_) return std::nullopt;
  return pollfd{source_.get(), POLLIN, 0};
}

void OutputPump::step() {
  if (waiting_.empty()) (void)read_some();
  if (!waiting_.empty()) write_some();
}

ssize_t OutputPump::read_some() {
  waiting_.resize(kChunk);
  const ssize_t size = ::read(source_.get(), waiting_.data(), waiting_.size());
  waiting_.resize(size > 0 ? budget_.take(static_cast<std::size_t>(size)) : 0);
  if (size == 0 || (size < 0 && !would_block(errno))) source_.reset();
  if (!waiting_.empty()) last_ = waiting_.back();
  return size;
}

void OutputPump::read_the_rest() {
  if (int holds = 0; !rest_ && source_)
    rest_ = ::ioctl(source_.get(), FIONREAD, &holds) == 0 ? static_cast<std::uint64_t>(holds) : 0;
  while (source_ && waiting_.empty() && rest_ > 0) {
    const ssize_t size = read_some();
    rest_ = size > 0 ? *rest_ - std::min(*rest_, static_cast<std::uint64_t>(size)) : 0;
  }
  if (waiting_.empty()) source_.reset();
}

void OutputPump::say(std::string_view text) {
  if (nobody_reads_) return;
  std::string line = last_ == '\n' ? "" : "\n";
  line.append("sallyport: ").append(text) += '\n';
  waiting_.insert(waiting_.end(), line.begin(), line.end());
  last_ = '\n';
}

// A reader who stops must not stop us from hearing signals and the time limit.
void OutputPump::write_some() {
  const ssize_t size = sink_.write(waiting_.data(), waiting_.size());
  if (size > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + size);
  if (size >= 0 || would_block(errno)) return;
  nobody_reads_ = true;
  waiting_.clear();  // nobody reads any more: the worker's next write gets SIGPIPE, as without us
  source_.reset();
}

}  // namespace sallyport::launcher
