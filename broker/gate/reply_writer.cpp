#include "broker/gate/reply_writer.hpp"

#include <emmintrin.h>

#include <array>
#include <bit>
#include <charconv>

#include "broker/api/versions.hpp"

namespace sallyport::gate {

namespace {

std::string_view reason_of(std::uint16_t status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return status < 500 ? "Refused" : "Internal Server Error";
  }
}

void append_number(std::string& out, std::uint64_t number, int base = 10) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  out.append(digits.data(), end);
}

void begin_head(std::string& out, std::uint16_t status) {
  out += "HTTP/1.1 ";
  append_number(out, status);
  out.append(" ").append(reason_of(status));
  out.append("\r\nApi-Version: ").append(api::kNewestVersion).append("\r\nOstype: linux\r\nServer: Sallyport\r\n");
}
void end_head(std::string& out, After after) {
  if (after == After::Close) out += "Connection: close\r\n";
  out += "\r\n";
}

// How much of the text stands in JSON as it is. Sixteen characters at a time (SSE2, which every x86-64 has).
std::size_t plain_length(std::string_view text) {
  std::size_t length = 0;
  for (; length + 16 <= text.size(); length += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + length));
    const __m128i control = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));  // and, as negative numbers, all above 0x7f
    const __m128i quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    const __m128i rubout = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
    const int stops = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(control, rubout), _mm_or_si128(quote, backslash)));
    if (stops != 0) return length + static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(stops)));
  }
  while (length < text.size() && text[length] >= 0x20 && text[length] < 0x7f && text[length] != '"' &&
         text[length] != '\\')
    ++length;
  return length;
}

// The length of the valid UTF-8 sequence at text[at], or 0.
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF && follows(at + 1)) return 2;
  if (first >= 0xE0 && first <= 0xEF && follows(at + 1) && follows(at + 2)) {
    if (first == 0xE0 && byte(at + 1) < 0xA0) return 0;
    if (first == 0xED && byte(at + 1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4 && follows(at + 1) && follows(at + 2) && follows(at + 3)) {
    if (first == 0xF0 && byte(at + 1) < 0x90) return 0;
    if (first == 0xF4 && byte(at + 1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t plain = plain_length(text.substr(i));
    out.append(text, i, plain);
    i += plain;
    if (i == text.size()) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i++];
    } else if (c == '\n') {
      out += "\\n";
      ++i;
    } else if (c < 0x20 || c == 0x7f) {
      out.append("\\u00").append(1, kHex[c >> 4U]).append(1, kHex[c & 15U]);
      ++i;
    } else if (const std::size_t length = sequence_length(text, i); length > 0) {
      out.append(text, i, length);
      i += length;
    } else {
      out += "\xEF\xBF\xBD";  // U+FFFD
      ++i;
    }
  }
  out += '"';
}

std::string json_head(std::uint16_t status, std::size_t bytes, After after) {
  std::string out;
  out.reserve(256);
  begin_head(out, status);
  out += "Content-Type: application/json\r\nContent-Length: ";
  append_number(out, bytes);
  out += "\r\n";
  end_head(out, after);
  return out;
}

std::string response(std::uint16_t status, std::string_view json, After after) {
  if (!json.empty()) return json_head(status, json.size(), after).append(json);
  std::string out;
  begin_head(out, status);
  if (status == 200) out += "Content-Length: 0\r\n";
  end_head(out, after);
  return out;
}

std::string error_response(std::uint16_t status, std::string_view message, After after, std::uint32_t retry_after,
                           WithBody with_body) {
  std::string body = R"({"message":)";
  append_json(body, message);
  body += "}\n";
  std::string out;
  begin_head(out, status);
  out += "Content-Type: application/json\r\nContent-Length: ";
  append_number(out, body.size());
  if (status == 429) {
    out += "\r\nRetry-After: ";
    append_number(out, retry_after == 0 ? 1 : retry_after);
  }
  out += "\r\n";
  end_head(out, after);
  if (with_body == WithBody::Yes) out += body;
  return out;
}

std::string ping_response(After after, WithBody with_body) {
  std::string out;
  begin_head(out, 200);
  out +=
      "Builder-Version: 1\r\nDocker-Experimental: false\r\nCache-Control: no-cache, no-store, must-revalidate\r\n"
      "Pragma: no-cache\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ";
  out += with_body == WithBody::Yes ? "2\r\n" : "0\r\n";
  end_head(out, after);
  if (with_body == WithBody::Yes) out += "OK";
  return out;
}

std::string chunked_head(std::string_view content_type, After after) {
  std::string out;
  begin_head(out, 200);
  out.append("Content-Type: ").append(content_type).append("\r\nTransfer-Encoding: chunked\r\n");
  end_head(out, after);
  return out;
}

std::string chunk(std::string_view bytes) {
  std::string out;
  append_number(out, bytes.size(), 16);
  out.append("\r\n").append(bytes).append("\r\n");
  return out;
}

std::string hijack_head(std::string_view content_type, bool upgraded) {
  std::string out = upgraded ? "HTTP/1.1 101 UPGRADED\r\nContent-Type: " : "HTTP/1.1 200 OK\r\nContent-Type: ";
  out.append(content_type).append(upgraded ? "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" : "\r\n\r\n");
  return out;
}

}  // namespace sallyport::gate
