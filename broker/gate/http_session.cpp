#include "broker/gate/http_session.hpp"

#include "broker/gate/streams.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

using api::Verb;

// Refusals in dockerd's own words are sent as they are: clients look at them.
bool is_docker_text(const Refusal& refusal) {
  return refusal.rule == "version" || refusal.message.starts_with("No such ") ||
         refusal.message.starts_with("Invalid filter");
}

// What dockerd says of an object that does not exist; clients that look for one kind after another go on then.
Refusal nothing_here(const Route& route) {
  const std::string_view path = route.row->path;
  const std::string object = route.object.substr(0, 128);
  if (path.starts_with("/images/")) return {404, std::string(path), "No such image: " + object};
  if (path.starts_with("/volumes/")) return {404, std::string(path), "No such volume: " + object};
  if (path.starts_with("/networks/")) return {404, std::string(path), "No such network: " + object};
  return {404, std::string(path), "No such plugin: " + object};
}

// Boxed: it would make the coroutine that holds it larger than what malloc is fast at.
Outcome<std::unique_ptr<TypedRequest>> boxed_request(const Route& route, const Head& head, std::string_view body) {
  return std::make_unique<TypedRequest>(TRY(typed_request(route, head, body)));
}

// As dockerd has it (moby, api/server/router/container/container_routes.go): newer clients tell frames from a
// terminal's bytes by it.
std::string_view stream_type(const Route& route, bool tty) {
  if (tty || route.minor < 42) return "application/vnd.docker.raw-stream";
  return "application/vnd.docker.multiplexed-stream";
}

Refusal denied_row(const Route& route, const Head& head) {
  if (route.row->rule == api::EndpointRule::NotFound) return nothing_here(route);
  return {403, std::string(route.row->path),
          std::string(head.method) + " " + std::string(route.row->path) +
              " is not allowed: " + std::string(route.row->reason)};
}

}  // namespace

HttpSession::HttpSession(net::any_io_executor executor, UniqueFd fd, ClientKind kind, Services services)
    : services_(services),
      kind_(kind),
      connection_(executor, std::move(fd), services.ticker),
      waker_(std::make_shared<Waker>()) {
  if (kind == ClientKind::LastingStream) connection_.be_patient();
}

net::awaitable<void> HttpSession::serve() {
  const auto self = shared_from_this();
  while (co_await serve_one() == Next::Request) {
  }
  connection_.close();
}

net::awaitable<Outcome<bool>> HttpSession::read_head() {
  std::size_t scanned = 0;
  bool idle = connection_.input().empty();
  if (idle) {
    connection_.release_input();
    parser_.release();
  }
  if (!idle) connection_.set_deadline(limits::kHeaderDeadline);
  else if (kind_ == ClientKind::Socket) connection_.set_deadline(limits::kIdleDeadline);
  for (;;) {
    const HeadScan scan = scan_head(connection_.input(), scanned);
    if (scan.state == HeadScan::State::Malformed)
      co_return refuse(400, "http", "the request head holds bytes that HTTP/1.1 does not allow");
    if (scan.state == HeadScan::State::Complete) {
      head_bytes_.assign(connection_.input().substr(0, scan.end));
      connection_.consume(scan.end);
      connection_.no_deadline();
      co_return true;
    }
    scanned = connection_.input().size();
    if (scanned > limits::kMaxHeadBytes)
      co_return refuse(
          431, "http",
          "the request head is larger than is served (" + std::to_string(limits::kMaxHeadBytes) + " bytes)");
    const bool more = co_await connection_.read_more();
    if (!more && connection_.timed_out() && !idle)
      co_return refuse(
          408, "http",
          "the request head did not come in time (" + std::to_string(limits::kHeaderDeadline.count()) + " s)");
    if (!more) co_return false;
    if (idle) connection_.set_deadline(limits::kHeaderDeadline);
    idle = false;
  }
}

net::awaitable<Outcome<>> HttpSession::read_body(std::size_t ceiling) {
  if (head_.content_length.value_or(0) > ceiling)
    co_return refuse(413, "http", "the body is larger than is served (" + std::to_string(ceiling) + " bytes)");
  connection_.set_deadline(limits::kBodyDeadline);
  bool told_to_continue = !head_.expect_continue;
  std::size_t taken = 0;
  while (!parser_.done()) {
    const std::size_t used = CO_TRY(parser_.feed(connection_.input()));
    connection_.consume(used);
    taken += used;
    if (taken > ceiling * limits::kMaxFramingFactor)
      co_return refuse(413, "http", "the body's framing is larger than is served");
    if (parser_.done()) break;
    if (used > 0) continue;
    if (connection_.input().size() > limits::kMaxHeadBytes)
      co_return refuse(400, "http", "the body's framing is not valid");
    if (!std::exchange(told_to_continue, true)) (void)co_await connection_.write("HTTP/1.1 100 Continue\r\n\r\n");
    if (co_await connection_.read_more()) continue;
    if (connection_.timed_out())
      co_return refuse(408, "http",
                       "the body did not come in time (" + std::to_string(limits::kBodyDeadline.count()) + " s)");
    co_return refuse(400, "http", "the body ended early");
  }
  connection_.no_deadline();
  co_return Outcome<>{};
}

// What is wrong with a request whatever its body holds.
Outcome<> HttpSession::check_method_and_body() const {
  const Verb verb = route_.row->verb;
  if (head_.has_body() && head_.method != "POST" && head_.method != "PUT")
    return refuse(400, "body", std::string(head_.method) + " with a body is not served");
  if (verb == Verb::Attach && kind_ == ClientKind::LastingStream)
    return refuse(
        403, route_.row->path,
        "attach is not served on this stream, which is never taken over; use the socket that DOCKER_HOST names");
  return {};
}

net::awaitable<HttpSession::Next> HttpSession::serve_one() {
  route_ = {};
  head_ = {};
  auto arrived = co_await read_head();
  if (!arrived) co_return co_await refuse_request(arrived.error(), Next::Close);
  if (!*arrived) co_return Next::Close;
  auto head = check_head(head_bytes_);
  if (!head) co_return co_await refuse_request(head.error(), Next::Close);
  head_ = *head;
  auto found = route(head_.method, head_.target);
  if (!found) co_return co_await refuse_request(found.error(), head_.has_body() ? Next::Close : next());
  route_ = std::move(*found);
  if (auto fine = check_method_and_body(); !fine) co_return co_await refuse_request(fine.error(), Next::Close);
  const bool served = route_.row->rule == api::EndpointRule::Serve;
  // Whoever uploads to what is refused hears so at once, not after the upload.
  const bool small =
      !head_.chunked && !head_.expect_continue && head_.content_length.value_or(0) <= limits::kMaxOtherBodyBytes;
  if (!served && !small) co_return co_await refuse_request(denied_row(route_, head_), Next::Close);
  const bool create = route_.row->verb == Verb::Create;
  const std::size_t ceiling = create ? limits::kMaxCreateBodyBytes : limits::kMaxOtherBodyBytes;
  auto body = parser_.begin(head_bytes_, head_, ceiling);
  if (body && head_.has_body()) body = co_await read_body(ceiling);
  if (!body) co_return co_await refuse_request(body.error(), Next::Close);
  if (!served) co_return co_await refuse_request(denied_row(route_, head_), next());
  if (route_.row->verb == Verb::Ping || route_.row->verb == Verb::Version || route_.row->verb == Verb::Info)
    co_return co_await answer_locally();
  auto typed = boxed_request(route_, head_, parser_.body());
  if (!typed) co_return co_await refuse_request(typed.error(), next());
  co_return co_await ask(std::move(*typed));
}

bool HttpSession::may_begin_stream() const {
  if (head_.upgrade) return true;
  // Of what cannot be routed nobody knows; but on the lasting stream none begins.
  if (route_.row == nullptr) return head_.method == "POST" && kind_ != ClientKind::LastingStream;
  return api::begins_stream(*route_.row);
}

net::awaitable<HttpSession::Next> HttpSession::refuse_request(const Refusal& refusal, Next following) {
  if (may_begin_stream()) following = Next::Close;
  const std::string_view endpoint =
      route_.row != nullptr ? route_.row->path : head_.target.substr(0, head_.target.find('?'));
  services_.claims.add(false, refusal.status, head_.method, endpoint, refusal.rule, refusal.message,
                       route_.row != nullptr || endpoint.empty() ? Claims::Named::Row : Claims::Named::MadeUp);
  std::string message = is_docker_text(refusal) ? refusal.message : "sallyport: " + refusal.message;
  if (refusal.status == 403) message += " (profile " + services_.keeper.welcome().profile.text() + ")";
  const std::string bytes = error_response(refusal.status, message,
                                           following == Next::Close ? After::Close : After::KeepAlive, 0, with_body());
  const bool sent = co_await connection_.write(bytes);
  if (following == Next::Request && sent) co_return Next::Request;
  connection_.finish_writing();
  co_await connection_.drain();
  co_return Next::Close;
}

net::awaitable<HttpSession::Next> HttpSession::answer(std::string bytes, std::string document) {
  std::string_view first = bytes, second = document;
  const bool done =
      connection_.write_now(first, second) == Connection::Written::All || co_await connection_.write(first, second);
  if (!done) co_return Next::Close;
  if (next() == Next::Request) co_return Next::Request;
  connection_.finish_writing();
  if (may_begin_stream()) co_await connection_.drain();
  co_return Next::Close;
}

net::awaitable<HttpSession::Next> HttpSession::answer_locally() {
  const Verb verb = route_.row->verb;
  auto query = Query::parse(verb, route_.query);
  if (!query) co_return co_await refuse_request(query.error(), next());
  if (auto idle = check_idle_body(verb, head_, parser_.body()); !idle)
    co_return co_await refuse_request(idle.error(), next());
  services_.claims.add(true, 200, head_.method, route_.row->path, route_.row->path, route_.row->reason);
  if (verb == Verb::Ping) co_return co_await answer(ping_response(after(), with_body()));
  const std::string& shown = services_.keeper.welcome().docker_version.value;
  const std::string json = verb == Verb::Version ? version_json(shown) : info_json(shown);
  co_return co_await answer(response(200, json, after()));
}

net::awaitable<HttpSession::Next> HttpSession::answer_reply(ReceivedPtr received) {
  const protocol::Reply& reply = received->reply();
  std::string bytes;
  std::string document;
  const auto* failed = std::get_if<protocol::Failed>(&reply);
  if (failed != nullptr && may_begin_stream()) head_.close = true;
  if (failed != nullptr)
    bytes = error_response(failed->http_status, failed->message.value, after(), failed->retry_after_seconds);
  else if (const auto* created = std::get_if<protocol::Created>(&reply))
    bytes = response(201, created_json(*created), after());
  else if (const auto* inspected = std::get_if<protocol::Inspected>(&reply))
    document = inspect_json(*inspected), bytes = json_head(200, document.size(), after());
  else if (const auto* succeeded = std::get_if<protocol::Succeeded>(&reply))
    bytes = response(route_.row->verb == Verb::Resize ? 200 : succeeded->not_modified ? 304 : 204, "", after());
  else bytes = error_response(500, "sallyport: the broker gave an answer that does not fit", After::KeepAlive);
  return answer(std::move(bytes), std::move(document));
}

net::awaitable<HttpSession::Next> HttpSession::ask(std::unique_ptr<TypedRequest> typed) {
  const Verb verb = route_.row->verb;
  if (!services_.keeper.may_send(typed->request)) co_await services_.keeper.wait_for_turn(typed->request, *waker_);
  const auto exchange = services_.keeper.open(std::move(typed->request), *waker_);
  if (verb == Verb::List) co_return co_await list(*exchange, typed->filter);
  if (verb == Verb::Wait) co_return co_await wait(*exchange);
  if (verb == Verb::Logs) co_return co_await logs(*exchange);
  if (verb == Verb::Attach) co_return co_await attach(*exchange);
  while (!exchange->has_reply()) co_await waker_->wait();
  co_return co_await answer_reply(exchange->take());
}

net::awaitable<HttpSession::Next> HttpSession::list(KeeperClient::Exchange& exchange, const ListFilter& filter) {
  std::vector<protocol::Summary> containers;
  for (;;) {
    auto received = co_await exchange.next();
    auto* item = std::get_if<protocol::ListItem>(&received->reply());
    if (item == nullptr && !std::holds_alternative<protocol::Succeeded>(received->reply()))
      co_return co_await answer_reply(std::move(received));
    if (item == nullptr) break;
    containers.push_back(std::move(item->container));
  }
  co_return co_await answer(response(200, list_json(filter.apply(std::move(containers))), after()));
}

net::awaitable<ReceivedPtr> HttpSession::next_or_gone(KeeperClient::Exchange& exchange) {
  const auto readable = std::make_shared<bool>(false);
  bool watching = false;
  while (!exchange.has_reply()) {
    if (!watching) connection_.watch(waker_, readable);
    watching = true;
    co_await waker_->wait();
    if (!*readable) continue;
    watching = false;
    if (connection_.glance() == Connection::Glance::Ended) co_return nullptr;
  }
  if (watching) connection_.stop_watching();
  co_return exchange.take();
}

// What a stream sends early stays in its socket, and its client may end its own direction: only both ends are its end.
net::awaitable<ReceivedPtr> HttpSession::next_or_hung_up(KeeperClient::Exchange& exchange) {
  const auto hung_up = std::make_shared<bool>(false);
  connection_.watch_hangup(waker_, hung_up);
  while (!exchange.has_reply()) {
    co_await waker_->wait();
    if (*hung_up) co_return nullptr;
  }
  connection_.stop_watching();
  co_return exchange.take();
}

net::awaitable<HttpSession::Next> HttpSession::wait(KeeperClient::Exchange& exchange) {
  auto received = co_await next_or_gone(exchange);
  if (!received) co_return Next::Close;
  const bool waiting = std::holds_alternative<protocol::Waiting>(received->reply());
  if (waiting) {
    // At once: the client starts the container only when it has this head.
    if (!co_await connection_.write(chunked_head("application/json", after()))) co_return Next::Close;
    received = co_await next_or_gone(exchange);
    if (!received) co_return Next::Close;
  }
  protocol::Exited end{-1, {}};
  if (auto* exited = std::get_if<protocol::Exited>(&received->reply())) end = std::move(*exited);
  else if (!waiting) co_return co_await answer_reply(std::move(received));
  else if (auto* failed = std::get_if<protocol::Failed>(&received->reply())) end.error = failed->message;
  if (!waiting) co_return co_await answer(response(200, exited_json(end), after()));
  std::string bytes = chunk(exited_json(end));
  bytes += kLastChunk;
  co_return co_await answer(std::move(bytes));
}

net::awaitable<HttpSession::Next> HttpSession::logs(KeeperClient::Exchange& exchange) {
  auto received = co_await next_or_gone(exchange);
  if (!received) co_return Next::Close;
  const bool streaming = std::holds_alternative<protocol::Streaming>(received->reply()) && received->fds.size() == 1;
  if (!streaming) co_return co_await answer_reply(std::move(received));
  const bool tty = std::get<protocol::Streaming>(received->reply()).tty;
  if (!co_await connection_.write(chunked_head(stream_type(route_, tty), after()))) {
    exchange.cancel_stream();
    co_return Next::Close;
  }
  connection_.be_patient();  // whoever follows a log may stop reading for a while
  LogRelay relay(connection_, waker_, std::move(received->fds.front()));
  if (!co_await relay.run()) {
    exchange.cancel_stream();
    co_return Next::Close;
  }
  co_return co_await answer(std::string(kLastChunk));
}

net::awaitable<HttpSession::Next> HttpSession::attach(KeeperClient::Exchange& exchange) {
  if (connection_.input().size() > limits::kMaxEarlyStreamBytes)
    co_return co_await refuse_request({413, "attach", "more input came before the answer than is held"}, Next::Close);
  auto received = co_await exchange.next();
  const bool head_is_written = std::holds_alternative<protocol::Registered>(received->reply());
  if (const auto* registered = std::get_if<protocol::Registered>(&received->reply())) {
    // At once: the client starts the container only when it has this head.
    if (!co_await connection_.write(hijack_head(stream_type(route_, registered->tty), head_.upgrade)))
      co_return Next::Close;
    received = co_await next_or_hung_up(exchange);
    if (!received || !std::holds_alternative<protocol::Hijacked>(received->reply())) co_return Next::Close;
  }
  auto* hijacked = std::get_if<protocol::Hijacked>(&received->reply());
  if (hijacked == nullptr || received->fds.size() != 1) {
    head_.close = true;
    co_return co_await answer_reply(std::move(received));
  }
  std::string first = head_is_written ? "" : hijack_head(stream_type(route_, hijacked->tty), head_.upgrade);
  first += hijacked->early.value;
  if (co_await connection_.write(first)) co_await relay_attach(connection_, std::move(received->fds.front()));
  co_return Next::Close;
}

}  // namespace sallyport::gate
