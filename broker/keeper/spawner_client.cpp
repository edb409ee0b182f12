#include "broker/keeper/spawner_client.hpp"

namespace sallyport::keeper {

namespace spawner = protocol::spawner;

namespace {
constexpr std::chrono::seconds kAskAgain{5};  // the spawner tries for its deadline once, and then once each time
}  // namespace

SpawnerClient::SpawnerClient(net::any_io_executor executor, UniqueFd channel)
    : executor_(executor),
      channel_(executor, std::move(channel), limits::kMaxSmallMessageBytes, async::Sending::WithSendmsg) {}

net::awaitable<void> SpawnerClient::receive(OnChildEnded on_child_ended, OnDialDone on_dial_done, OnClosed on_closed) {
  std::string why;
  for (;;) {
    auto received = co_await channel_.receive();
    if (!received || received->bytes.empty()) {
      why = received ? "the spawner has ended" : received.error().text();
      break;
    }
    auto answer = decode_message<spawner::FromSpawnerEnvelope>(received->bytes);
    if (!answer) {
      why = "the spawner sent what cannot be read: " + answer.error().text();
      break;
    }
    if (const auto* ended = std::get_if<spawner::ChildEnded>(&answer->message)) {
      on_child_ended(*ended);
    } else if (const auto* dialed = std::get_if<spawner::DialDone>(&answer->message)) {
      on_dial_done(*dialed, received->fds.size() == 1 ? std::move(received->fds[0]) : UniqueFd());
    } else if (const auto found = waiting_.extract(answer->number); !found.empty()) {
      found.mapped()->set(std::make_shared<Answer>(std::move(answer->message), std::move(received->fds)));
    } else {
      why = "the spawner answered what was not asked";
      break;
    }
  }
  closed_ = true;
  channel_.close();
  for (const auto& [number, waiting] : waiting_) waiting->set(nullptr);
  waiting_.clear();
  on_closed(why);
}

net::awaitable<Result<>> SpawnerClient::send(const spawner::ToSpawner& request, const std::vector<int>& fds,
                                             std::shared_ptr<Waiting> waiting) {
  const spawner::ToSpawnerEnvelope envelope{waiting ? ++last_number_ : 0, request};
  const std::vector<std::byte> bytes = encode_message(envelope);
  for (;;) {
    if (closed_) co_return fail("ask the spawner: it has ended");
    const auto sent = channel_.send(bytes, fds);
    if (sent) break;
    if (sent.error().code != EAGAIN) co_return std::unexpected(sent.error());
    CO_TRY(co_await channel_.wait_writable());
  }
  if (waiting) waiting_.emplace(envelope.number, std::move(waiting));  // nothing suspends since it was sent
  co_return Result<>{};
}

net::awaitable<Result<SpawnerClient::Answer>> SpawnerClient::ask(spawner::ToSpawner request, std::vector<int> fds) {
  const auto waiting = std::make_shared<Waiting>(executor_);
  CO_TRY(co_await send(request, fds, waiting));
  co_await waiting->wait();
  const std::shared_ptr<Answer> answer = *waiting->value();
  if (!answer) co_return fail("ask the spawner: it has ended");
  co_return std::move(*answer);
}

net::awaitable<Result<>> SpawnerClient::remove_cgroup(spawner::RemoveCgroup request,
                                                      std::function<void(const std::string& why)> on_failure) {
  std::string said;
  for (;;) {
    const Answer answer = CO_TRY(co_await ask(request));
    const auto* failed = std::get_if<spawner::SpawnFailed>(&answer.message);
    if (failed == nullptr) co_return Result<>{};
    if (said != failed->reason.value) on_failure(said = failed->reason.value);
    co_await async::sleep_for(kAskAgain);
  }
}

net::awaitable<Result<>> SpawnerClient::dial(spawner::Dial request) {
  const spawner::ToSpawner message = std::move(request);
  co_return co_await send(message, {}, nullptr);
}

net::awaitable<Result<>> SpawnerClient::stops_within(std::chrono::seconds time) {
  const spawner::ToSpawner message = spawner::StopsWithin{static_cast<std::uint32_t>(time.count())};
  co_return co_await send(message, {}, nullptr);
}

}  // namespace sallyport::keeper
