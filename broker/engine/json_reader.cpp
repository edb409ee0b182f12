#include "broker/engine/json_reader.hpp"

#include <emmintrin.h>

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
    case '"':
    case '\\':
    case '/': out += kind; return true;
    case 'b': out += '\b'; return true;
    case 'f': out += '\f'; return true;
    case 'n': out += '\n'; return true;
    case 'r': out += '\r'; return true;
    case 't': out += '\t'; return true;
    case 'u': return decode_unicode(raw, at, out);
    default: return false;
  }
}

// Sixteen characters at a time (SSE2, which every x86-64 has), because most of an inspection is stepped over.
std::uint64_t equal16(const char* text, char c) {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
  return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(c))));
}

// Finds the brackets outside strings, 64 characters at a time: one bit for each character.
class BracketScan {
 public:
  static constexpr std::size_t kWidth = 64;
  std::uint64_t next(const char* text) {
    std::uint64_t quotes = 0, backslashes = 0, brackets = 0;
    for (int part = 0; part < 4; ++part) {
      const char* at = text + part * 16;
      quotes |= equal16(at, '"') << (part * 16);
      backslashes |= equal16(at, '\\') << (part * 16);
      brackets |= (equal16(at, '{') | equal16(at, '[') | equal16(at, '}') | equal16(at, ']')) << (part * 16);
    }
    if ((backslashes | escaped_) != 0) quotes &= ~escaped(backslashes);
    std::uint64_t inside = quotes;  // to the exclusive or of all quotes up to each character
    for (const int shift : {1, 2, 4, 8, 16, 32}) inside ^= inside << shift;
    inside ^= in_string_;
    in_string_ = (inside >> 63) != 0 ? ~std::uint64_t{0} : 0;
    return brackets & ~inside;
  }

 private:
  // Characters behind a backslash that is not itself behind one.
  std::uint64_t escaped(std::uint64_t backslashes) {
    std::uint64_t result = escaped_;
    escaped_ = 0;
    for (backslashes &= ~result; backslashes != 0;) {
      const int at = std::countr_zero(backslashes);
      backslashes &= backslashes - 1;
      if (at == 63) {
        escaped_ = 1;
        break;
      }
      result |= std::uint64_t{2} << at;
      backslashes &= ~(std::uint64_t{2} << at);
    }
    return result;
  }
  std::uint64_t in_string_ = 0;  // all ones where the block begins inside a string
  std::uint64_t escaped_ = 0;    // 1 where its first character is escaped
};

// Where a string that begins behind its quote ends: at its closing quote, or at the end of the text where it has none.
std::size_t string_end(std::string_view text) {
  const char* const data = text.data();
  const std::size_t size = text.size();
  std::size_t at = 0;
  while (at < size) {
    if (at + 16 <= size) {
      const std::uint64_t stops = equal16(data + at, '"') | equal16(data + at, '\\');
      at += stops != 0 ? static_cast<std::size_t>(std::countr_zero(stops)) : 16;
      if (stops == 0) continue;
    }
    if (data[at] == '"') return at;
    at += data[at] == '\\' ? 2 : 1;
  }
  return size;
}

void cut_at_character(std::string& text, std::size_t most) {
  if (text.size() <= most) return;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  text.resize(most);
}

}  // namespace

char JsonReader::peek() {
  if (!rest_.empty() && rest_[0] > ' ') return rest_[0];
  std::size_t blanks = 0;
  while (blanks < rest_.size() &&
         (rest_[blanks] == ' ' || rest_[blanks] == '\n' || rest_[blanks] == '\t' || rest_[blanks] == '\r'))
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
    while (end < rest_.size() &&
           (detail::is_alnum(rest_[end]) || rest_[end] == '.' || rest_[end] == '-' || rest_[end] == '+'))
      ++end;
    if (end == 0) return fail();
    rest_.remove_prefix(end);
    return;
  }
  const std::size_t end = bracketed_end(rest_);
  if (end == 0) return fail();
  rest_.remove_prefix(end);
}

// Past the bracket that closes the one in front; 0 where there is none, or where brackets do not match.
std::size_t JsonReader::bracketed_end(std::string_view text) {
  std::array<char, kMaxDepth> closing{};
  std::size_t depth = 0;
  BracketScan scan;
  for (std::size_t at = 0; at < text.size(); at += BracketScan::kWidth) {
    std::array<char, BracketScan::kWidth> last{};
    const char* block = text.data() + at;
    if (text.size() - at < last.size()) {
      std::memcpy(last.data(), block, text.size() - at);
      block = last.data();
    }
    for (std::uint64_t brackets = scan.next(block); brackets != 0; brackets &= brackets - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(brackets));
      const char c = block[i];
      if (c == '{' || c == '[') {
        if (depth == closing.size()) return 0;
        closing[depth++] = c == '{' ? '}' : ']';
      } else {
        if (closing[--depth] != c) return 0;
        if (depth == 0) return at + i + 1;
      }
    }
  }
  return 0;
}

bool JsonReader::finished() {
  if (failed_) return false;
  peek();
  return rest_.empty() && depth_ == 0;
}

}  // namespace sallyport::engine
