// BENCHMARKS ONLY. Finds the end of HTTP replies at the least cost: no header is kept, no body byte is looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace sallyport::bench {

// One reply at a time over a growing buffer; forget() begins the next.
class ReplyScan {
 public:
  enum class State { More, Done, Malformed };

  State scan(std::string_view bytes) {
    if (body_ == 0 && !read_head(bytes)) return status_ < 0 ? State::Malformed : State::More;
    if (!chunked_) {
      if (bytes.size() < body_ + length_) return State::More;
      end_ = body_ + length_;
      return State::Done;
    }
    return scan_chunks(bytes);
  }
  void forget() { *this = ReplyScan(); }
  int status() const { return status_; }
  std::size_t end() const { return end_; }
  std::size_t body() const { return body_; }

 private:
  bool read_head(std::string_view bytes) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view head = bytes.substr(0, end + 2);
    if (head.size() < 12 || !head.starts_with("HTTP/1.")) return status_ = -1, false;
    status_ = std::atoi(head.data() + 9);
    body_ = chunk_ = end + 4;
    chunked_ = find_header(head, "transfer-encoding: chunked") != std::string_view::npos;
    if (const std::size_t at = find_header(head, "content-length: "); at != std::string_view::npos)
      length_ = std::strtoull(head.data() + at + 16, nullptr, 10);
    return true;
  }
  static std::size_t find_header(std::string_view head, std::string_view lowercase) {
    for (std::size_t line = head.find("\r\n"); line + 2 < head.size(); line = head.find("\r\n", line + 2))
      if (head.size() - line - 2 >= lowercase.size() &&
          ::strncasecmp(head.data() + line + 2, lowercase.data(), lowercase.size()) == 0)
        return line + 2;
    return std::string_view::npos;
  }
  State scan_chunks(std::string_view bytes) {
    for (;;) {
      const std::size_t line_end = bytes.find("\r\n", chunk_);
      if (line_end == std::string_view::npos) return State::More;
      const std::size_t size = std::strtoull(bytes.data() + chunk_, nullptr, 16);
      const std::size_t next = line_end + 2 + size + 2;
      if (bytes.size() < next) return State::More;
      chunk_ = next;
      if (size == 0) return end_ = next, State::Done;
    }
  }

  int status_ = 0;
  bool chunked_ = false;
  std::size_t body_ = 0;  // where it begins
  std::size_t length_ = 0;
  std::size_t chunk_ = 0;  // where the next chunk's size stands
  std::size_t end_ = 0;
};

}  // namespace sallyport::bench
