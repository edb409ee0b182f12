// TRUSTED SIDE. Writes JSON: requests to dockerd and audit records. Pure ASCII out: every other character is escaped,
// so that no byte a worker chose reaches a parser or a terminal as it is. Bytes that are not UTF-8 become U+FFFD.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::engine {

void append_json_string(std::string& out, std::string_view text);

// So many bytes does dockerd take to write a text: Go's encoding/json writes control characters, <, > and &, U+2028 and
// U+2029, and each byte that is not UTF-8, as six (some control characters as two).
std::size_t described_size(std::string_view text);

// UTF-8 without NUL: what passes through dockerd and exec unchanged.
bool is_plain_text(std::string_view text);

// Builds one value from left to right; commas are its own business. Nesting is the caller's order of calls.
class JsonWriter {
 public:
  JsonWriter& key(std::string_view name);
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& text(std::string_view value);
  JsonWriter& number(std::int64_t value);
  JsonWriter& boolean(bool value);

  // A member of an object.
  JsonWriter& text(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& number(std::string_view name, std::int64_t value) { return key(name).number(value); }
  JsonWriter& boolean(std::string_view name, bool value) { return key(name).boolean(value); }

  std::string take() { return std::move(out_); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();
  std::string out_;
};

}  // namespace sallyport::engine
