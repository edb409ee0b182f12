#include "broker/gate/http_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "broker/async/starved.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

// Keeps what we compare, and the body. No header is stored.
class Reader final : public http::basic_parser<true> {
 public:
  explicit Reader(std::string& body) : body_(body) {}
  std::string method;
  std::string target;
  bool head_done = false;

 private:
  void on_request_impl(http::verb, string_view method_text, string_view target_text, int, error_code&) override {
    method.assign(method_text.data(), method_text.size());
    target.assign(target_text.data(), target_text.size());
  }
  void on_response_impl(int, string_view, int, error_code& code) override { code = http::error::bad_version; }
  void on_field_impl(http::field, string_view, string_view, error_code& code) override {
    if (head_done) code = http::error::bad_field;  // a trailer
  }
  void on_header_impl(error_code&) override { head_done = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view bytes, error_code&) override {
    body_.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  // Extensions of a chunk mean nothing (RFC 9112, 7.1.1). Beast holds them to their grammar, but for what may be
  // quoted.
  void on_chunk_header_impl(std::uint64_t, string_view extensions, error_code& code) override {
    for (const char c : extensions)
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) code = http::error::bad_chunk_extension;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override {
    body_.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  std::string& body_;
};

}  // namespace

struct HttpParser::Parser {
  std::string body;
  std::size_t max_body_bytes = 0;
  std::optional<Reader> reader;
  async::Starved starved;  // within the body
};

namespace {
std::unexpected<Refusal> too_large(std::size_t ceiling) {
  return refuse(413, "http", "the body is larger than is served (" + std::to_string(ceiling) + " bytes)");
}
}  // namespace

HttpParser::HttpParser() : parser_(std::make_unique<Parser>()) {}
HttpParser::~HttpParser() = default;

Outcome<> HttpParser::begin(std::string_view head_bytes, const Head& head, std::size_t max_body_bytes) {
  parser_->body.clear();
  parser_->starved = {};
  parser_->max_body_bytes = max_body_bytes;
  Reader& reader = parser_->reader.emplace(parser_->body);
  reader.header_limit(static_cast<std::uint32_t>(limits::kMaxHeadBytes));
  reader.body_limit(max_body_bytes);
  reader.eager(true);
  error_code code;
  const std::size_t used = reader.put(boost::asio::const_buffer(head_bytes.data(), head_bytes.size()), code);
  const bool more = code == http::error::need_more;
  if (code == http::error::body_limit) return too_large(parser_->max_body_bytes);
  if ((code && !more) || used != head_bytes.size() || !reader.head_done)
    return refuse(400, "http", "the request head is not valid");
  const auto length = reader.content_length();
  const bool same_framing = reader.chunked() == head.chunked && length.has_value() == head.content_length.has_value() &&
                            (!length || *length == *head.content_length);
  if (reader.method != head.method || reader.target != head.target || !same_framing)
    return refuse(400, "http", "the request head can be read in two ways");
  return {};
}

Outcome<std::size_t> HttpParser::feed(std::string_view bytes) {
  if (!parser_->starved.may_put(bytes.size())) return 0;
  error_code code;
  const std::size_t used = parser_->reader->put(boost::asio::const_buffer(bytes.data(), bytes.size()), code);
  parser_->starved.has_put(bytes.size(), used);
  if (code == http::error::body_limit) return too_large(parser_->max_body_bytes);
  if (code && code != http::error::need_more) return refuse(400, "http", "the body's framing is not valid");
  return used;
}

bool HttpParser::done() const { return parser_->reader->is_done(); }
const std::string& HttpParser::body() const { return parser_->body; }
void HttpParser::release() { std::string().swap(parser_->body); }

}  // namespace sallyport::gate
