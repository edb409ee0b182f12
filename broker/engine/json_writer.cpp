#include "broker/engine/json_writer.hpp"

#include <array>

namespace sallyport::engine {

namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr std::uint32_t kReplacement = 0xfffd;

void append_unit(std::string& out, std::uint32_t unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(unit >> shift) & 0xf];
}

struct CodePoint {
  std::uint32_t value = kReplacement;
  std::size_t size = 1;  // bytes read; 1 only where they are malformed
};

// One character beyond ASCII at the head of `text`; anything malformed, overlong or a surrogate is U+FFFD, one byte
// long.
CodePoint read_code_point(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  std::size_t size = 0;
  std::uint32_t value = 0;
  std::uint32_t least = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    size = 2, value = first & 0x1f, least = 0x80;
  } else if (first >= 0xe0 && first <= 0xef) {
    size = 3, value = first & 0x0f, least = 0x800;
  } else if (first >= 0xf0 && first <= 0xf4) {
    size = 4, value = first & 0x07, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < size) return {};
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return {};
    value = value << 6 | (next & 0x3f);
  }
  if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, size};
}

// How much of the text stands in JSON as it is.
std::size_t plain_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && text[length] >= 0x20 && text[length] < 0x7f && text[length] != '"' &&
         text[length] != '\\')
    ++length;
  return length;
}

}  // namespace

std::size_t described_size(std::string_view text) {
  constexpr std::size_t kEscaped = 6;
  std::size_t sum = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      const bool escaped = byte < 0x20 || c == '<' || c == '>' || c == '&';
      sum += escaped ? kEscaped : c == '"' || c == '\\' ? 2 : 1;
      ++i;
      continue;
    }
    const CodePoint point = read_code_point(text.substr(i));
    const bool escaped = point.size == 1 || point.value == 0x2028 || point.value == 0x2029;
    sum += escaped ? kEscaped : point.size;
    i += point.size;
  }
  return sum;
}

bool is_plain_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\0') return false;
    const bool ascii = static_cast<unsigned char>(text[i]) < 0x80;
    const std::size_t size = ascii ? 1 : read_code_point(text.substr(i)).size;
    if (!ascii && size == 1) return false;
    i += size;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t plain = plain_length(text.substr(i));
    out.append(text, i, plain);
    i += plain;
    if (i == text.size()) break;
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      const CodePoint point = read_code_point(text.substr(i));
      i += point.size;
      if (point.value >= 0x10000) {
        append_unit(out, 0xd800 + ((point.value - 0x10000) >> 10));
        append_unit(out, 0xdc00 + ((point.value - 0x10000) & 0x3ff));
      } else {
        append_unit(out, point.value);
      }
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      append_unit(out, byte);
    }
    ++i;
  }
  out += '"';
}

void JsonWriter::separate() {
  if (out_.empty()) return;
  const char last = out_.back();
  if (last != '{' && last != '[' && last != ':') out_ += ',';
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  return *this;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  append_json_string(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
  separate();
  out_ += std::to_string(value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

}  // namespace sallyport::engine
