// UNTRUSTED SIDE. Beast's parser over a head that check_head() has accepted, and its body. Both readers must agree on
// method, target and framing, or the request is refused: two readers that differ are how smuggling works.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "broker/gate/http_head.hpp"

namespace sallyport::gate {

class HttpParser {
 public:
  HttpParser();
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  // A new request. `head_bytes` is the whole head.
  Outcome<> begin(std::string_view head_bytes, const Head& head, std::size_t max_body_bytes);
  // Takes what it can of the body; returns how much. Call until done().
  Outcome<std::size_t> feed(std::string_view bytes);
  bool done() const;
  const std::string& body() const;
  void release();  // gives the memory of a body back

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace sallyport::gate
