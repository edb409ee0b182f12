// BOTH SIDES. When Beast's HTTP parser may be called again for bytes that it has left.
#pragma once

#include <cstddef>

namespace sallyport::async {

// What a parser leaves is part of a head, or of the line of a chunk. In neither can it go on with fewer than five bytes
// ("0\r\n\r\n" is the least that ends a body), and after the line of a last chunk it asserts that so many are there
// (parse_chunk_header in boost/beast/http/impl/basic_parser.ipp, 1.81).
class Starved {
 public:
  bool may_put(std::size_t bytes) const { return left_ == 0 || (bytes > left_ && bytes >= kLeast); }
  void has_put(std::size_t bytes, std::size_t used) { left_ = bytes - used; }

 private:
  static constexpr std::size_t kLeast = 5;
  std::size_t left_ = 0;
};

}  // namespace sallyport::async
