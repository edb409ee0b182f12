#include "broker/engine/upstream.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "broker/engine/memory_gauge.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::engine {

namespace http = boost::beast::http;
using boost::system::error_code;
using ParserText = boost::beast::string_view;

namespace {
constexpr auto kUseTuple = net::as_tuple(net::use_awaitable);
constexpr std::size_t kReadBytes = 16 * 1024;

// A read that waits costs a system call less than a wait and then a read, but needs its buffer for as long as dockerd
// pleases. So there are a few of them, lent to exchanges; whoever finds none, or waits for a stream, does without.
class LentBuffer {
 public:
  explicit LentBuffer(bool is_wanted) : number_(is_wanted && free != 0 ? std::countr_zero(free) : -1) {
    if (number_ >= 0) free &= ~(1U << number_);
  }
  LentBuffer(const LentBuffer&) = delete;
  LentBuffer& operator=(const LentBuffer&) = delete;
  ~LentBuffer() {
    if (number_ >= 0) free |= 1U << number_;
  }
  explicit operator bool() const { return number_ >= 0; }
  std::array<char, kReadBytes>& bytes() const { return buffers[static_cast<std::size_t>(number_)]; }

 private:
  static constexpr std::size_t kBuffers = 16;  // the lowest are lent first: the others do not become memory
  static inline std::array<std::array<char, kReadBytes>, kBuffers> buffers;
  static inline std::uint32_t free = (1U << kBuffers) - 1;
  int number_;
};
}  // namespace

// Keeps of a reply only its status, whether it upgrades, and the body bytes of the current read.
class Upstream::Parser : public http::basic_parser<false> {
 public:
  Parser() {
    header_limit(static_cast<std::uint32_t>(limits::kMaxUpstreamHeadBytes));
    body_limit(boost::none);  // read_body() bounds what is kept; a stream has no end of its own
    eager(true);
  }
  unsigned status() const { return status_; }
  bool names_tcp() const { return names_tcp_; }
  std::string part;  // body bytes since it was last emptied

 private:
  void on_request_impl(http::verb, ParserText, ParserText, int, error_code&) override {}
  void on_response_impl(int status, ParserText, int, error_code&) override { status_ = static_cast<unsigned>(status); }
  void on_field_impl(http::field field, ParserText, ParserText value, error_code&) override {
    if (field == http::field::upgrade && value == "tcp") names_tcp_ = true;
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(ParserText body, error_code&) override { return keep(body); }
  void on_chunk_header_impl(std::uint64_t, ParserText, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, ParserText body, error_code&) override { return keep(body); }
  void on_finish_impl(error_code&) override {}
  std::size_t keep(ParserText body) {
    part.append(body.data(), body.size());
    return body.size();
  }
  unsigned status_ = 0;
  bool names_tcp_ = false;
};

Upstream::Upstream(net::any_io_executor executor, UniqueFd connected)
    : socket_(std::move(executor), net::local::stream_protocol(), connected.release()) {
  socket_.native_non_blocking(true);
}
Upstream::~Upstream() = default;

void Upstream::begin() {
  parser_ = std::make_unique<Parser>();
  input_.clear();
  parsed_ = 0;
  more_is_likely_ = false;
  starved_ = {};
  head_bytes_ = 0;
}

Result<std::size_t> Upstream::send_now(std::string_view request) {
  if (ended_by_ != 0) return fail_errno("ask dockerd", ended_by_);
  ssize_t sent;
  do sent = ::send(socket_.native_handle(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno != EAGAIN) return fail_errno("ask dockerd", failure(errno));
  return 0;
}

net::awaitable<Result<>> Upstream::send_rest(std::string_view request) {
  for (;;) {
    request.remove_prefix(CO_TRY(send_now(request)));
    if (request.empty()) co_return Result<>{};
    auto [error] = co_await socket_.async_wait(net::socket_base::wait_write, kUseTuple);
    if (error) co_return fail_errno("ask dockerd", failure(error.value()));
  }
}

net::awaitable<Result<>> Upstream::send(std::string_view request) {
  begin();
  return send_rest(request);
}

Result<bool> Upstream::parse(Until until) {
  while (parsed_ < input_.size() && !parser_->is_done() && starved_.may_put(input_.size() - parsed_)) {
    error_code error;
    const std::size_t size = input_.size() - parsed_;
    const bool in_head = !parser_->is_header_done();
    const std::size_t used = parser_->put(net::buffer(input_.data() + parsed_, size), error);
    starved_.has_put(size, used);
    parsed_ += used;
    if (in_head) head_bytes_ += used;
    if (error == http::error::need_more) break;
    if (error) return fail_errno("read dockerd's answer: " + error.message(), EPROTO);
  }
  if (parser_->is_done()) return true;
  return until == Until::Head ? parser_->is_header_done() : until == Until::SomeBody && !parser_->part.empty();
}

// A stream that waits, perhaps for days, keeps no buffer.
Result<> Upstream::drop_parsed() {
  if (parsed_ == input_.size()) std::string().swap(input_);
  else input_.erase(0, parsed_);  // Beast wants a head in one piece: what it has not taken stays in front
  parsed_ = 0;
  // Beast takes the lines of a head one by one, and waits for ever for the rest of one that is a few bytes too long.
  const std::size_t before = parser_->is_header_done() ? 0 : head_bytes_;
  if (before + input_.size() > limits::kMaxUpstreamHeadBytes)
    return fail_errno("read dockerd's answer: its head is too long", EPROTO);
  return {};
}

Upstream::Read Upstream::take(std::string_view bytes) {
  more_is_likely_ = bytes.size() == kReadBytes;
  input_.append(bytes);
  return bytes.empty() ? Read::End : Read::Some;
}

Result<Upstream::Read> Upstream::read_now() {
  if (ended_by_ != 0) return fail_errno("read dockerd's answer", ended_by_);
  // One for the process (one thread): nothing suspends between the read and the copy.
  static std::array<char, kReadBytes> buffer;
  ssize_t size;
  do size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  while (size < 0 && errno == EINTR);
  if (size >= 0) return take({buffer.data(), static_cast<std::size_t>(size)});
  more_is_likely_ = false;
  if (errno != EAGAIN) return fail_errno("read dockerd's answer", errno);
  return Read::Nothing;
}

Result<> Upstream::finish_at_end() {
  error_code at_the_end;
  if (parser_->got_some()) parser_->put_eof(at_the_end);
  if (!parser_->got_some() || at_the_end)
    return fail_errno("read dockerd's answer: the connection closed", failure(ECONNRESET));
  return {};
}

Result<> Upstream::check_size(std::size_t most, MemoryGauge* memory) const {
  const std::size_t size = parser_->part.size();
  if (size > most) return fail_errno("read dockerd's answer: it is too large", EMSGSIZE);
  if (memory != nullptr && size > limits::kSmallReplyBytes && memory->is_above_common())
    return fail_errno("read dockerd's answer: no memory for it", ENOMEM);
  return {};
}

net::awaitable<Result<>> Upstream::read_until(Until until, std::size_t most, MemoryGauge* memory) {
  while (!CO_TRY(parse(until))) {
    CO_TRY(check_size(most, memory));
    CO_TRY(drop_parsed());
    Read read = Read::Nothing;
    if (const LentBuffer lent(until == Until::EndOfExchange && !more_is_likely_); lent) {
      auto [error, size] = co_await socket_.async_read_some(net::buffer(lent.bytes()), kUseTuple);
      if (ended_by_ != 0 || (error && error != net::error::eof))
        co_return fail_errno("read dockerd's answer", failure(error.value()));
      read = take({lent.bytes().data(), size});
    } else {
      if (!more_is_likely_) {
        auto [error] = co_await socket_.async_wait(net::socket_base::wait_read, kUseTuple);
        if (error) co_return fail_errno("read dockerd's answer", failure(error.value()));
      }
      read = CO_TRY(read_now());
    }
    if (read != Read::End) continue;
    CO_TRY(finish_at_end());
    break;
  }
  co_return check_size(most, memory);
}

net::awaitable<Result<ReplyHead>> Upstream::read_head() {
  CO_TRY(co_await read_until(Until::Head));
  if (!parser_->is_header_done()) co_return fail_errno("read dockerd's answer: no head", EPROTO);
  co_return ReplyHead{parser_->status(), parser_->status() == 101 && parser_->names_tcp()};
}

net::awaitable<Result<std::string>> Upstream::read_body(std::size_t most) {
  CO_TRY(co_await read_until(Until::End, most));
  co_return std::exchange(parser_->part, {});
}

net::awaitable<Result<Reply>> Upstream::exchange(std::string_view request, std::size_t most, MemoryGauge* memory) {
  begin();
  request.remove_prefix(CO_TRY(send_now(request)));
  if (!request.empty()) CO_TRY(co_await send_rest(request));
  CO_TRY(co_await read_until(Until::EndOfExchange, most, memory));
  if (!parser_->is_header_done()) co_return fail_errno("read dockerd's answer: no head", EPROTO);
  if (parser_->status() < 200) co_return fail_errno("read dockerd's answer: an interim status", EPROTO);
  co_return Reply{parser_->status(), std::exchange(parser_->part, {})};
}

net::awaitable<Result<std::string_view>> Upstream::read_part() {
  std::string().swap(handed_out_);
  // The first bytes of a body come with its head, and wait in `part`.
  if (parser_->part.empty() && !parser_->is_done()) CO_TRY(co_await read_until(Until::SomeBody));
  handed_out_.swap(parser_->part);
  co_return std::string_view(handed_out_);
}

// Shut down, not closed: the descriptor's number stays ours until nobody waits on it any more.
void Upstream::abort() {
  if (ended_by_ == 0) ended_by_ = ECANCELED;
  ::shutdown(socket_.native_handle(), SHUT_RDWR);
}
void Upstream::expire() {
  if (ended_by_ == 0) ended_by_ = ETIMEDOUT;
  ::shutdown(socket_.native_handle(), SHUT_RDWR);
}

bool Upstream::is_reusable() const {
  return ended_by_ == 0 && parser_ && parser_->is_done() && !parser_->need_eof() && parser_->keep_alive() &&
         !parser_->upgrade() && parsed_ == input_.size();
}
bool Upstream::has_answered() const { return parser_ && (parser_->got_some() || !input_.empty()); }

bool Upstream::is_alive() const {
  char byte;
  const ssize_t size = ::recv(const_cast<Upstream*>(this)->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size < 0 && errno == EAGAIN;
}

std::string Upstream::take_early() { return input_.substr(parsed_); }

UniqueFd Upstream::release() {
  error_code error;
  const int fd = socket_.release(error);
  return UniqueFd::adopt(error ? -1 : fd);
}

}  // namespace sallyport::engine
