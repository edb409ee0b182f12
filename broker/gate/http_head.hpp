// UNTRUSTED SIDE, the first to see a client's bytes. A strict check of one HTTP/1.1 request head before any parser:
// CRLF only, no folding, no control bytes, one Host, one Content-Length or exactly one `chunked`, origin-form targets.
// What dockerd or Beast would read in a lenient way is refused here, so that nobody can read it in two ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/gate/refusal.hpp"

namespace sallyport::gate {

struct HeadScan {
  enum class State { Incomplete, Complete, Malformed } state = State::Incomplete;
  std::size_t end = 0;  // of the head, with its empty line, where complete
};
// Looks at bytes[from..]: finds the end of the head, or that these bytes can never be one, as early as possible.
HeadScan scan_head(std::string_view bytes, std::size_t from);

struct Head {  // views into the head's bytes
  std::string_view method;
  std::string_view target;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool close = false;    // Connection: close
  bool upgrade = false;  // to whatever: attach alone looks at it, as dockerd does; elsewhere RFC 9110, 7.8 lets it be
  bool expect_continue = false;
  bool has_content_type = false;
  std::string_view content_type;
  std::size_t headers = 0;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};
Outcome<Head> check_head(std::string_view bytes);

// "application/json", also with charset=utf-8.
bool is_json_type(std::string_view content_type);

}  // namespace sallyport::gate
