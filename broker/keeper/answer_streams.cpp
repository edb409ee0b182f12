#include <fcntl.h>

#include "broker/keeper/answers.hpp"
#include "broker/keeper/attaches.hpp"
#include "broker/keeper/streams.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

using protocol::Failed;

namespace {

// A reply that should have been a stream: its cause, in our words.
Failed explain_head(const Call& call, const engine::DockerClient::Stream& stream, engine::Operation operation,
                    const ContainerName& reference) {
  if (stream.head.status < 400)
    return engine::explain_transport(EPROTO);  // a 200 here could be anything: never handed on
  const engine::Subject subject{.container = reference.text()};
  return explain(call, operation, stream.head.status, engine::read_error_message(stream.refusal), subject);
}

Refused too_many_streams(const Call& call, const ContainerName& reference) {
  if (call.session->streams.size() + *call.session->streams_opening < limits::kMaxStreams) return {};
  return deny(call, reference.text(),
              {429, "streams",
               "sallyport: the session has " + std::to_string(limits::kMaxStreams) + " open streams; close one", 1});
}

Refused too_many_followers(const Call& call, const ContainerName& reference) {
  const std::size_t containers = call.session->ledger.count();
  const std::size_t most = limits::kFollowersPerContainer * containers + limits::kFollowersBesides;
  if (*call.session->followers < most) return {};
  return deny(call, reference.text(),
              {429, "followers",
               "sallyport: the session follows logs " + std::to_string(*call.session->followers) + " times, and with " +
                   std::to_string(containers) + " containers it may " + std::to_string(most) + " times (" +
                   std::to_string(limits::kFollowersPerContainer) + " for each and " +
                   std::to_string(limits::kFollowersBesides) + "); end one",
               1});
}

// Takes a number for a stream of this session, and what removes it again.
std::pair<std::uint64_t, std::function<void()>> number_stream(const Call& call) {
  const std::uint64_t number = ++call.session->last_stream;
  return {number, [session = std::weak_ptr(call.session), number] {
            if (const SessionPtr alive = session.lock()) alive->streams.erase(number);
          }};
}

net::awaitable<void> feed(std::shared_ptr<LogStream> logs, std::function<void()> drop) {
  co_await logs->pump();
  drop();
}

// The gate's end of a stream that we feed; or why there is none.
net::awaitable<std::expected<UniqueFd, Answer>> open_logs(const Call& call, Owned owned, protocol::ReadLogs ask,
                                                          engine::Operation operation) {
  engine::Exchange& exchange = call.in_flight->exchange;
  StreamHolds holds;
  if (ask.follow) {
    holds.follower = Counted(call.session->followers);
  } else if (auto turn = co_await call.session->log_reads.wait(exchange)) {
    holds.turn = std::move(*turn);
  } else {
    co_return std::unexpected<Answer>(engine::explain_transport(ECANCELED));
  }
  const auto stream = co_await call.services.docker.open_stream(engine::render_logs(owned->id, ask), exchange);
  if (!stream) co_return std::unexpected<Answer>(engine::explain_transport(stream.error().code));
  if (stream->head.status != 200)
    co_return std::unexpected<Answer>(explain_head(call, *stream, operation, ask.container));
  auto made = LogStream::make(call.services.executor, call.services.hangups, stream->upstream);
  if (!made || call.session->is_ending) co_return std::unexpected<Answer>(engine::explain_transport(EPROTO));
  holds.place = std::move(exchange.place);
  made->first->holds = std::move(holds);
  const auto [number, drop] = number_stream(call);
  call.session->streams[number] = {call.id, made->first};
  call.session->tasks.spawn("logs", feed(made->first, drop));
  co_return std::move(made->second);
}

// What an attach without stream shows. It is never sent as an attach: dockerd 20.10 would give a running container a
// pipe for its output that nobody reads (containerAttach in daemon/attach.go returns before it copies), and then hang
// with it in every later call on that container, its removal too.
protocol::ReadLogs logs_so_far(const protocol::AttachContainer& ask) {
  protocol::ReadLogs logs;
  logs.container = ask.container;
  logs.use_stdout = ask.use_stdout;
  logs.use_stderr = ask.use_stderr;
  if (!ask.logs) logs.tail = 0;
  return logs;
}

// Asked each time: a container ends without a word to us, and only we start it. Where dockerd does not say, it is asked
// for the attach, and says then.
net::awaitable<bool> runs(const Call& call, const Owned& owned) {
  Attaches& attaches = *owned->attaches;
  if (!owned->first_start_asked) co_return false;
  if (*attaches.starting > 0) co_return true;
  const auto reply = co_await call.services.docker.ask(engine::render_inspect(owned->id), call.in_flight->exchange);
  const auto inspected = reply && reply->status == 200 ? engine::read_inspect(reply->body) : fail("");
  if (!inspected || *attaches.starting > 0) co_return true;
  if (!is_running(inspected->container.status)) co_return false;
  attaches.runs_since(inspected->started_at.value);
  co_return true;
}

Refused too_many_attaches(const Call& call, const ContainerName& reference, Attaches& attaches) {
  if (attaches.take_one_of_the_run()) return {};
  return deny(call, reference.text(),
              {429, "attaches",
               "sallyport: this container was attached to " + std::to_string(limits::kMaxAttachesOfARun) +
                   " times since it was started, and dockerd may hold each until it ends; read its logs instead",
               1});
}

}  // namespace

AnswerTask answer(Call call, protocol::WaitContainer ask) {
  const Load load{call.endpoint->weight, engine::Holding::Stream};
  if (const Refused refused = admit(call, ask.container.text(), load)) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = grant(call, ask.container.text(), Weight::Read)) co_return *refused;
  engine::Exchange& exchange = call.in_flight->exchange;
  const auto stream =
      co_await call.services.docker.open_stream(engine::render_wait((*owned)->id, ask.condition), exchange);
  if (!stream) co_return engine::explain_transport(stream.error().code);
  if (stream->head.status != 200) co_return explain_head(call, *stream, engine::Operation::Wait, ask.container);
  // dockerd flushes its head once it has registered the wait: the client may start the container now.
  const protocol::Reply waiting = protocol::Waiting{};
  co_await send_reply(call.services, call.session, call.id, waiting, UniqueFd());
  const auto body = co_await stream->upstream->read_body(limits::kMaxUpstreamHeadBytes);
  if (!body)
    co_return protocol::Exited{-1,
                               "the wait was cut off: " + engine::explain_transport(body.error().code).message.value};
  const auto outcome = engine::read_wait(*body);
  if (!outcome) co_return protocol::Exited{-1, engine::explain_transport(EPROTO).message.value};
  if (ask.condition == protocol::WaitCondition::Removed && outcome->error.empty()) forget(*call.session, *owned);
  co_return protocol::Exited{outcome->status,
                             engine::explain_state_error(outcome->error, subject_of(**owned, ask.container))};
}

AnswerTask answer(Call call, protocol::AttachContainer ask) {
  Load load{call.endpoint->weight, engine::Holding::Stream};
  const Owned known = call.session->ledger.find(ask.container);
  if (ask.logs || !ask.stream) load.weight = weigh_log_read(known, docker_of(call));
  if (ask.stream) load.weight += weigh_inspect(known, docker_of(call)) - api::row_of(api::Verb::Inspect).weight;
  if (const Refused refused = admit(call, ask.container.text(), load)) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  for (const char c : ask.detach_keys.value)
    if (!detail::is_printable_ascii(c))
      co_return *deny(call, ask.container.text(), {400, "detachKeys", "sallyport: detachKeys is malformed", 0});
  // From before dockerd is asked whether it runs: a start meanwhile counts.
  const std::shared_ptr<Attaches> attaches = (*owned)->attaches;
  Attaches::Listed waiting(attaches, call.services.executor);
  const bool runs_now = !ask.stream || co_await runs(call, *owned);
  // Nothing suspends between these bounds and what is taken of them.
  const bool follows = ask.stream && (ask.use_stdout || ask.use_stderr);
  Refused refused = too_many_streams(call, ask.container);
  if (!refused && follows) refused = too_many_followers(call, ask.container);
  if (!refused && follows && runs_now) refused = too_many_attaches(call, ask.container, *attaches);
  if (!refused) refused = grant(call, ask.container.text(), Weight::Change);
  if (refused) co_return *refused;
  const Counted opening(call.session->streams_opening);
  if (!ask.stream && (ask.use_stdout || ask.use_stderr)) {
    auto logs = co_await open_logs(call, *owned, logs_so_far(ask), engine::Operation::Attach);
    if (!logs) co_return std::move(logs.error());
    co_return Answer(protocol::Hijacked{(*owned)->tty, {}}, std::move(*logs));
  }
  engine::Exchange& exchange = call.in_flight->exchange;
  StreamHolds holds;
  if (follows) holds.follower = Counted(call.session->followers);
  if (!runs_now) {
    const protocol::Reply told = protocol::Registered{(*owned)->tty};
    co_await send_reply(call.services, call.session, call.id, told, UniqueFd());
    if (!co_await waiting.wait_for_start(exchange)) co_return engine::explain_transport(ECANCELED);
  }
  const auto stream = co_await call.services.docker.open_stream(engine::render_attach((*owned)->id, ask), exchange);
  if (!stream) co_return engine::explain_transport(stream.error().code);
  if (!stream->head.upgraded_to_tcp) co_return explain_head(call, *stream, engine::Operation::Attach, ask.container);

  // Exactly 101 with Upgrade: tcp: dockerd speaks no more HTTP here, so the connection may leave this process.
  std::string early = stream->upstream->take_early();
  exchange.upstream.reset();
  UniqueFd connection = stream->upstream->release();
  UniqueFd duplicate = UniqueFd::adopt(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 3));
  if (!connection || !duplicate || early.size() > limits::kMaxUpstreamHeadBytes || call.session->is_ending)
    co_return engine::explain_transport(EPROTO);
  const auto [number, drop] = number_stream(call);
  holds.place = std::move(exchange.place);
  auto held = AttachStream::keep(call.services.hangups, std::move(duplicate), drop);
  if (!held) co_return engine::explain_transport(EPROTO);
  (*held)->holds = std::move(holds);  // until the gate has let go of it; of what dockerd may hold then: attaches.hpp
  call.session->streams[number] = {call.id, std::move(*held)};
  co_return Answer(protocol::Hijacked{(*owned)->tty, std::move(early)}, std::move(connection));
}

AnswerTask answer(Call call, protocol::ReadLogs ask) {
  const Load load{weigh_log_read(call.session->ledger.find(ask.container), docker_of(call)), engine::Holding::Stream};
  if (const Refused refused = admit(call, ask.container.text(), load)) co_return *refused;
  const auto owned = find_owned(call, ask.container);
  if (!owned) co_return owned.error();
  if (const Refused refused = too_many_streams(call, ask.container)) co_return *refused;
  if (ask.follow)
    if (const Refused refused = too_many_followers(call, ask.container)) co_return *refused;
  const Counted opening(call.session->streams_opening);
  if (const Refused refused = grant(call, ask.container.text(), Weight::Read)) co_return *refused;
  auto logs = co_await open_logs(call, *owned, std::move(ask), engine::Operation::Logs);
  if (!logs) co_return std::move(logs.error());
  co_return Answer(protocol::Streaming{(*owned)->tty}, std::move(*logs));
}

}  // namespace sallyport::keeper
