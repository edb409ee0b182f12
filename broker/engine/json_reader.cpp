#include "broker/engine/json_reader.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "sallyport/ids.hpp"

namespace sallyport::engine {

namespace {

void append_utf8(std::string& out, std::uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

// Four hexadecimal digits at raw[at]; -1 where they are not there.
std::int32_t read_unit(std::string_view raw, std::size_t at) {
  if (at + 4 > raw.size()) return -1;
  std::uint32_t unit = 0;
  const auto [end, error] = std::from_chars(raw.data() + at, raw.data() + at + 4, unit, 16);
  if (error != std::errc{} || end != raw.data() + at + 4) return -1;
  return static_cast<std::int32_t>(unit);
}

// The character after "\u" at raw[at]; moves `at` past what was used. A lone surrogate is U+FFFD.
bool decode_unicode(std::string_view raw, std::size_t& at, std::string& out) {
  const std::int32_t unit = read_unit(raw, at);
  if (unit < 0) return false;
  at += 4;
  std::uint32_t point = static_cast<std::uint32_t>(unit);
  if (point >= 0xd800 && point <= 0xdfff) {
    std::int32_t low = -1;
    if (point < 0xdc00 && raw.substr(at, 2) == "\\u") low = read_unit(raw, at + 2);
    if (low >= 0xdc00 && low <= 0xdfff) {
      at += 6;
      point = 0x10000 + ((point - 0xd800) << 10) + (static_cast<std::uint32_t>(low) - 0xdc00);
    } else {
      point = 0xfffd;
    }
  }
  append_utf8(out, point);
  return true;
}

bool decode_escape(std::string_view raw, std::size_t& at, std::string& out) {
  const char kind = raw[at++];
  switch (kind) {
    case '"': case '\\': case '/': out += kind; return true;
    case 'b': out += '\b'; return true;
    case 'f': out += '\f'; return true;
    case 'n': out += '\n'; return true;
    case 'r': out += '\r'; return true;
    case 't': out += '\t'; return true;
    case 'u': return decode_unicode(raw, at, out);
    default: return false;
  }
}

// How many characters stand before the first one that `stops`; sixteen at a time, because most of an inspection is
// stepped over.
using Block = std::uint8_t __attribute__((vector_size(16)));
template <class Stops>
std::size_t run_length(std::string_view text, Stops&& stops) {
  std::size_t at = 0;
  for (; at + sizeof(Block) <= text.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, text.data() + at, sizeof block);
    const auto hits = std::bit_cast<std::array<std::uint64_t, 2>>(stops(block));
    if (hits[0] != 0) return at + static_cast<std::size_t>(std::countr_zero(hits[0])) / 8;
    if (hits[1] != 0) return at + 8 + static_cast<std::size_t>(std::countr_zero(hits[1])) / 8;
  }
  while (at < text.size()) {
    const Block block = Block{} + static_cast<std::uint8_t>(text[at]);
    if (stops(block)[0] != 0) break;
    ++at;
  }
  return at;
}
std::size_t string_run(std::string_view text) {
  return run_length(text, [](const Block& c) { return (c == '"') | (c == '\\'); });
}
// [ and { differ from each other by one bit, and so do ] and }.
std::size_t structure_run(std::string_view text) {
  return run_length(text, [](const Block& c) { return (c == '"') | ((c | 0x20) == '{') | ((c | 0x20) == '}'); });
}

// Where a string that begins behind its quote ends: at its closing quote, or at the end of the text where it has none.
std::size_t string_end(std::string_view text) {
  for (std::size_t at = string_run(text); at < text.size(); at += string_run(text.substr(at))) {
    if (text[at] == '"') return at;
    at += 2;
    if (at >= text.size()) break;
  }
  return text.size();
}

void cut_at_character(std::string& text, std::size_t most) {
  if (text.size() <= most) return;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  text.resize(most);
}

}  // namespace

char JsonReader::peek() {
  std::size_t blanks = 0;
  while (blanks < rest_.size() && (rest_[blanks] == ' ' || rest_[blanks] == '\n' || rest_[blanks] == '\t' || rest_[blanks] == '\r'))
    ++blanks;
  rest_.remove_prefix(blanks);
  return rest_.empty() ? '\0' : rest_[0];
}

void JsonReader::expect(char c) {
  if (peek() != c || rest_.empty()) return fail();
  rest_.remove_prefix(1);
}

bool JsonReader::enter(char bracket) {
  expect(bracket);
  if (failed_) return false;
  if (++depth_ > kMaxDepth) fail();
  return !failed_;
}

bool JsonReader::next_item(char closing, bool first) {
  if (failed_) return false;
  const char next = peek();
  if (rest_.empty()) return fail(), false;
  if (next == closing) {
    rest_.remove_prefix(1);
    --depth_;
    return false;
  }
  if (!first) {
    expect(',');
    if (peek() == closing) fail();
  }
  return !failed_;
}

std::string_view JsonReader::raw_string() {
  if (peek() != '"') return fail(), std::string_view{};
  const std::size_t end = string_end(rest_.substr(1));
  if (end + 1 >= rest_.size()) return fail(), std::string_view{};
  const std::string_view raw = rest_.substr(1, end);
  rest_.remove_prefix(end + 2);
  return raw;
}

bool JsonReader::take_word(std::string_view word) {
  peek();
  if (!rest_.starts_with(word)) return false;
  rest_.remove_prefix(word.size());
  return true;
}

bool JsonReader::take_null() { return take_word("null"); }

bool JsonReader::boolean() {
  if (take_word("true")) return true;
  if (!take_word("false") && !take_null()) fail();
  return false;
}

std::int64_t JsonReader::integer() {
  if (take_null()) return 0;
  peek();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc{}) return fail(), 0;
  rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
  const char next = rest_.empty() ? '\0' : rest_[0];
  if (next == '.' || next == 'e' || next == 'E') return fail(), 0;
  return value;
}

std::string JsonReader::text(std::size_t most) {
  if (take_null()) return {};
  const std::string_view raw = raw_string();
  std::string out;
  for (std::size_t at = 0; at < raw.size() && out.size() <= most;) {
    const std::size_t run = raw.find('\\', at);
    const std::string_view plain = raw.substr(at, run == std::string_view::npos ? run : run - at);
    out += plain.substr(0, most + 1);
    at += plain.size();
    if (at >= raw.size() || out.size() > most) break;
    ++at;  // the backslash; raw_string() has seen that a character follows
    if (at >= raw.size() || !decode_escape(raw, at, out)) return fail(), std::string{};
  }
  cut_at_character(out, most);
  return out;
}

// Steps over one value by its brackets alone. What stands between commas there is never used.
void JsonReader::skip() {
  const char first = peek();
  if (rest_.empty()) return fail();
  if (first == '"') {
    raw_string();
    return;
  }
  if (first != '{' && first != '[') {
    std::size_t end = 0;
    while (end < rest_.size() && (detail::is_alnum(rest_[end]) || rest_[end] == '.' || rest_[end] == '-' || rest_[end] == '+')) ++end;
    if (end == 0) return fail();
    rest_.remove_prefix(end);
    return;
  }
  std::array<char, kMaxDepth> closing{};
  std::size_t depth = 0;
  std::size_t i = 0;
  for (; (i += structure_run(rest_.substr(i))) < rest_.size(); ++i) {
    const char c = rest_[i];
    if (c == '"') {
      i += 1 + string_end(rest_.substr(i + 1));
      if (i >= rest_.size()) return fail();
    } else if (c == '{' || c == '[') {
      if (depth == closing.size()) return fail();
      closing[depth++] = c == '{' ? '}' : ']';
    } else {
      if (closing[--depth] != c) return fail();
      if (depth == 0) break;
    }
  }
  if (i >= rest_.size()) return fail();
  rest_.remove_prefix(i + 1);
}

bool JsonReader::finished() {
  if (failed_) return false;
  peek();
  return rest_.empty() && depth_ == 0;
}

}  // namespace sallyport::engine
