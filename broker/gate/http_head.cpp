#include "broker/gate/http_head.hpp"

#include <array>

#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

constexpr std::string_view kRule = "http";

constexpr std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const char character = static_cast<char>(c);
    table[static_cast<std::size_t>(c)] =
        c < 128 &&
        (detail::is_alnum(character) || std::string_view("!#$%&'*+-.^_`|~").find(character) != std::string_view::npos);
  }
  return table;
}
constexpr std::array<bool, 256> kToken = token_table();
constexpr bool is_token(std::string_view text) {
  return !text.empty() && detail::all(text, [](char c) { return kToken[static_cast<unsigned char>(c)]; });
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool equals(std::string_view text, std::string_view lowercase) {
  if (text.size() != lowercase.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (lower(text[i]) != lowercase[i]) return false;
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Outcome<std::uint64_t> content_length_of(std::string_view text) {
  if (text.empty() || text.size() > 15 || !detail::all(text, detail::is_digit) || (text.size() > 1 && text[0] == '0'))
    return refuse(400, kRule, "Content-Length is not a plain number");
  std::uint64_t value = 0;
  for (char c : text) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  return value;
}

// Which headers mean something here; each may come once.
enum Known : std::uint8_t {
  Host,
  ContentLength,
  TransferEncoding,
  ContentType,
  ContentEncoding,
  Connection,
  Upgrade,
  Expect,
  Trailer,
  kKnown
};
constexpr std::array<std::string_view, kKnown> kKnownNames = {"host",         "content-length",   "transfer-encoding",
                                                              "content-type", "content-encoding", "connection",
                                                              "upgrade",      "expect",           "trailer"};

Outcome<> take_connection(Head& head, std::string_view value) {
  for (;;) {
    const std::size_t comma = value.find(',');
    const std::string_view option = trimmed(value.substr(0, comma));
    if (equals(option, "close")) head.close = true;
    else if (!option.empty() && !is_token(option)) return refuse(400, kRule, "Connection is not a list of tokens");
    if (comma == std::string_view::npos) return {};
    value.remove_prefix(comma + 1);
  }
}

Outcome<> take_header(Head& head, Known name, std::string_view value) {
  switch (name) {
    case ContentLength: head.content_length = TRY(content_length_of(value)); return {};
    case TransferEncoding:
      if (value != "chunked") return refuse(400, kRule, "Transfer-Encoding other than chunked is not served");
      head.chunked = true;
      return {};
    case ContentType:
      head.has_content_type = true;
      head.content_type = value;
      return {};
    case ContentEncoding:
      if (!value.empty() && !equals(value, "identity")) return refuse(415, kRule, "Content-Encoding is not served");
      return {};
    case Connection: return take_connection(head, value);
    case Upgrade: head.upgrade = true; return {};
    case Expect:
      if (!equals(value, "100-continue")) return refuse(417, kRule, "only Expect: 100-continue is served");
      head.expect_continue = true;
      return {};
    case Trailer: return refuse(400, kRule, "trailers are not served");
    case Host:  // clients send what they like, or nothing; no decision rests on it
    case kKnown: return {};
  }
  return {};
}

Outcome<> take_request_line(Head& head, std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return refuse(400, kRule, "the request line is not METHOD TARGET HTTP/1.1");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!detail::all(head.method, [](char c) { return c >= 'A' && c <= 'Z'; }) || head.method.empty())
    return refuse(400, kRule, "the method is not valid");
  if (head.method.size() > limits::kMaxMethodBytes)
    return refuse(400, kRule,
                  "the method is longer than is served (" + std::to_string(limits::kMaxMethodBytes) + " bytes)");
  if (version.starts_with("HTTP/") && version != "HTTP/1.1")
    return refuse(505, kRule, "only HTTP/1.1 is served, not " + quoted(version));
  if (version != "HTTP/1.1") return refuse(400, kRule, "the request line is not METHOD TARGET HTTP/1.1");
  if (head.target.empty() || head.target[0] != '/') return refuse(400, kRule, "the target is not a path");
  if (!detail::all(head.target, [](char c) { return c > 0x20 && c < 0x7f; }))
    return refuse(400, kRule, "the target holds bytes that have to be percent-encoded");
  return {};
}

Outcome<> take_line(Head& head, std::string_view line, std::array<bool, kKnown>& seen) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return refuse(400, kRule, "a header line is not NAME: VALUE");
  const std::string_view name = line.substr(0, colon);
  for (std::uint8_t i = 0; i < kKnown; ++i) {
    if (!equals(name, kKnownNames[i])) continue;
    if (seen[i]) return refuse(400, kRule, "the header " + quoted(name) + " comes twice");
    seen[i] = true;
    return take_header(head, static_cast<Known>(i), trimmed(line.substr(colon + 1)));
  }
  return {};
}

}  // namespace

HeadScan scan_head(std::string_view bytes, std::size_t from) {
  if (!bytes.empty() && !(bytes[0] >= 'A' && bytes[0] <= 'Z')) return {HeadScan::State::Malformed, 0};
  char previous = from > 0 ? bytes[from - 1] : '\0';
  for (std::size_t i = from; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const auto byte = static_cast<unsigned char>(c);
    if (previous == '\r') {
      if (c != '\n') return {HeadScan::State::Malformed, i};
      if (i >= 3 && bytes[i - 2] == '\n') return {HeadScan::State::Complete, i + 1};
    } else if (byte < 0x20 || byte == 0x7f) {
      if (c != '\r' && c != '\t') return {HeadScan::State::Malformed, i};
    }
    previous = c;
  }
  return {};
}

Outcome<Head> check_head(std::string_view bytes) {
  Head head;
  std::array<bool, kKnown> seen{};
  // One that ends within the read that goes beyond has come all the same.
  if (bytes.size() > limits::kMaxHeadBytes)
    return refuse(431, kRule,
                  "the request head is larger than is served (" + std::to_string(limits::kMaxHeadBytes) + " bytes)");
  if (const HeadScan scan = scan_head(bytes, 0); scan.state != HeadScan::State::Complete || scan.end != bytes.size())
    return refuse(400, kRule, "the request head holds bytes that HTTP/1.1 does not allow");
  bytes.remove_suffix(2);  // the empty line
  bool first = true;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find("\r\n");
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 2);
    if (first) {
      TRY(take_request_line(head, line));
      first = false;
      continue;
    }
    if (++head.headers > limits::kMaxHeaders)
      return refuse(431, kRule, "more headers than are served (" + std::to_string(limits::kMaxHeaders) + ")");
    TRY(take_line(head, line, seen));
  }
  if (!seen[Host]) return refuse(400, kRule, "the header Host is missing");
  if (head.chunked && head.content_length) return refuse(400, kRule, "both Content-Length and Transfer-Encoding");
  return head;
}

bool is_json_type(std::string_view content_type) {
  const std::size_t semicolon = content_type.find(';');
  if (!equals(trimmed(content_type.substr(0, semicolon)), "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  const std::string_view parameter = trimmed(content_type.substr(semicolon + 1));
  return equals(parameter, "charset=utf-8") || equals(parameter, "charset=\"utf-8\"");
}

}  // namespace sallyport::gate
