#include "broker/audit/lines.hpp"

#include <unistd.h>

#include <algorithm>

namespace sallyport::audit {

Result<bool> LineReader::fill() {
  buffer_.resize(64 * 1024);
  at_ = 0;
  ssize_t got;
  do got = ::read(file_.get(), buffer_.data(), buffer_.size());
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno("read the trail");
  buffer_.resize(static_cast<std::size_t>(got));
  return got > 0;
}

Result<std::optional<Line>> LineReader::next() {
  Line line;
  for (;;) {
    if (at_ == buffer_.size() && !TRY(fill())) {
      if (line.size == 0) return std::optional<Line>();
      line.complete = false;
      return std::optional(std::move(line));
    }
    const std::size_t end = std::min(buffer_.find('\n', at_), buffer_.size());
    const std::size_t room = limits::kMaxAuditLineBytes - line.text.size();
    line.text.append(buffer_, at_, std::min(end - at_, room));
    line.size += end - at_;
    at_ = end;
    if (end == buffer_.size()) continue;
    ++at_;  // the newline
    return std::optional(std::move(line));
  }
}

}  // namespace sallyport::audit
