// UNTRUSTED SIDE. One client connection: requests one after another, each read, checked, routed and answered before the
// next is looked at. Answers that need the keeper are asked for by typed request; a stream takes the connection over.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "broker/gate/claims.hpp"
#include "broker/gate/connection.hpp"
#include "broker/gate/http_head.hpp"
#include "broker/gate/http_parser.hpp"
#include "broker/gate/keeper_client.hpp"
#include "broker/gate/reply_writer.hpp"
#include "broker/gate/route.hpp"
#include "broker/gate/ticker.hpp"
#include "broker/gate/typed_request.hpp"

namespace sallyport::gate {

struct Services {
  KeeperClient& keeper;
  Claims& claims;
  Ticker& ticker;
};

// The worker's fd 3 is one lasting stream: it is never hijacked and never ended for being idle.
enum class ClientKind : std::uint8_t { Socket, LastingStream };

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(net::any_io_executor executor, UniqueFd fd, ClientKind kind, Services services);

  net::awaitable<void> serve();

  // What ended it where no answer could say so any more, as a claim; nothing where an answer did.
  struct Untold {
    std::string_view method;
    std::string_view endpoint;
  };
  std::optional<Untold> ended_by_early_input() const {
    if (!connection_.has_overflowed()) return {};
    return Untold{head_.method, route_.row->path};  // it was waiting for the answer to this
  }

 private:
  enum class Next : std::uint8_t { Request, Close };

  // Reading one request.
  net::awaitable<Outcome<bool>> read_head();  // false: the client has gone
  net::awaitable<Outcome<>> read_body(std::size_t ceiling);
  net::awaitable<Next> serve_one();
  Outcome<> check_method_and_body() const;
  // Whether the client may take this request for the beginning of a stream. What it sends behind a refusal is then
  // meant for the stream, and must not be read as requests: the connection is closed.
  bool may_begin_stream() const;

  // Answering it.
  net::awaitable<Next> refuse_request(const Refusal& refusal, Next next);
  net::awaitable<Next> answer(std::string bytes, std::string document = {});
  net::awaitable<Next> answer_locally();
  net::awaitable<Next> answer_reply(ReceivedPtr received);
  net::awaitable<Next> ask(std::unique_ptr<TypedRequest> typed);
  net::awaitable<Next> list(KeeperClient::Exchange& exchange, const ListFilter& filter);
  net::awaitable<Next> wait(KeeperClient::Exchange& exchange);
  net::awaitable<Next> logs(KeeperClient::Exchange& exchange);
  net::awaitable<Next> attach(KeeperClient::Exchange& exchange);

  // The next reply, or nothing where the client goes away first (while nothing has been hijacked, its FIN means that).
  net::awaitable<ReceivedPtr> next_or_gone(KeeperClient::Exchange& exchange);
  net::awaitable<ReceivedPtr> next_or_hung_up(KeeperClient::Exchange& exchange);
  After after() const { return head_.close ? After::Close : After::KeepAlive; }
  Next next() const { return head_.close ? Next::Close : Next::Request; }
  WithBody with_body() const { return head_.method == "HEAD" ? WithBody::No : WithBody::Yes; }

  Services services_;
  ClientKind kind_;
  Connection connection_;
  std::shared_ptr<Waker> waker_;
  HttpParser parser_;
  std::string head_bytes_;
  Head head_;    // views into head_bytes_
  Route route_;  // the same
};

}  // namespace sallyport::gate
