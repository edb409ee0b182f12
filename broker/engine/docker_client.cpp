#include "broker/engine/docker_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "broker/async/tasks.hpp"
#include "broker/engine/containers_cores.hpp"
#include "broker/engine/read_reply.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/log.hpp"

namespace sallyport::engine {

using async::kUseTuple;

namespace {
constexpr std::chrono::milliseconds kDeadlineGrain{500};
constexpr std::chrono::seconds kVersionWithin{10};  // dockerd answers this from memory
constexpr std::chrono::seconds kInfoWithin{30};     // and counts containers and images for this
constexpr std::chrono::hours kAsleep{24};

// dockerd's words (moby, api/server/middleware/version.go), before it has done anything.
bool refuses_our_version(unsigned status, std::string_view body) {
  return status == 400 && read_error_message(body).starts_with("client version ");
}
}  // namespace

// Registers a connection for deadlines, and with its exchange for cancelling, for the length of a scope.
class DockerClient::Busy {
 public:
  Busy(DockerClient& client, std::shared_ptr<Upstream> upstream, Exchange& exchange, std::chrono::seconds limit)
      : client_(client), upstream_(std::move(upstream)), exchange_(exchange) {
    upstream_->deadline = std::chrono::steady_clock::now() + limit;
    client_.busy_.insert(upstream_.get());
    exchange_.upstream = upstream_;
    if (client_.watch_sleeps_) client_.watch_sleeps_ = false, client_.clock_.cancel();
  }
  ~Busy() {
    client_.busy_.erase(upstream_.get());
    if (exchange_.upstream == upstream_) exchange_.upstream.reset();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  DockerClient& client_;
  std::shared_ptr<Upstream> upstream_;
  Exchange& exchange_;
};

DockerClient::DockerClient(net::any_io_executor executor, std::string socket_path, const PlaceBounds& bounds,
                           MemoryGauge memory)
    : executor_(std::move(executor)),
      socket_path_(std::move(socket_path)),
      places_(bounds),
      memory_(std::move(memory)),
      clock_(executor_) {}
DockerClient::~DockerClient() = default;

Result<std::shared_ptr<Upstream>> DockerClient::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path)
    return fail("connect to dockerd: the path of its socket is too long");
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  UniqueFd fd = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("make a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int code = errno;
    if (code != EAGAIN) forget_dockerd();  // whoever listens there next may be another dockerd
    return fail_errno("connect to dockerd at " + socket_path_, code);
  }
  ucred listener{};
  socklen_t size = sizeof listener;
  dockerd_ = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 ? listener.pid : 0;
  return std::make_shared<Upstream>(executor_, std::move(fd));
}

net::awaitable<Result<std::shared_ptr<Upstream>>> DockerClient::connect_patiently(const Exchange& exchange) {
  for (int tries = 0;; ++tries) {
    auto connected = connect();
    if (connected || connected.error().code != EAGAIN || tries == 100 || exchange.cancelled) co_return connected;
    co_await async::sleep_for(std::chrono::milliseconds(20));  // its backlog is full for the moment
  }
}

std::shared_ptr<Upstream> DockerClient::take_idle(Check check) {
  while (!idle_.empty()) {
    std::shared_ptr<Upstream> upstream = std::move(idle_.back());
    idle_.pop_back();
    if (check == Check::No || upstream->is_alive()) return upstream;
    forget_dockerd();  // dockerd does not close idle connections: it has gone, and perhaps come back
  }
  return nullptr;
}

void DockerClient::give_back(std::shared_ptr<Upstream> upstream) {
  if (!upstream->is_reusable() || idle_.size() >= limits::kMaxIdleUpstreams) return;
  idle_.push_back(std::move(upstream));
}

// The keeper's own requests wait for each other, and never for a session's.
net::awaitable<Result<Place>> DockerClient::keepers_place(std::chrono::seconds limit) {
  const auto give_up = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (auto place = places_.take_for_keeper()) co_return std::move(*place);
    if (std::chrono::steady_clock::now() > give_up) co_return fail_errno("ask dockerd: wait for others", ETIMEDOUT);
    co_await async::sleep_for(std::chrono::milliseconds(20));
  }
}

// Where no idle connection told that dockerd has been replaced, its refusal of our version does.
net::awaitable<Result<Reply>> DockerClient::ask(Request request, Exchange& exchange, std::chrono::seconds limit) {
  Place own;
  if (!exchange.place) own = CO_TRY(co_await keepers_place(limit));
  MemoryGauge* const memory = exchange.place ? &memory_ : nullptr;
  for (bool again = true;; again = false) {
    const ApiVersion chosen = CO_TRY(co_await version());
    auto reply = co_await ask_with_place(request.in(chosen), exchange, limit, memory);
    if (!again || !reply || !refuses_our_version(reply->status, reply->body)) co_return reply;
    forget_dockerd();
  }
}

net::awaitable<Result<Reply>> DockerClient::ask_with_place(std::string request, Exchange& exchange,
                                                           std::chrono::seconds limit, MemoryGauge* memory) {
  for (;;) {
    if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
    // A GET finds out by itself, and is asked again; for what must not be done twice the connection is looked at first.
    const bool repeatable = request.starts_with("GET ");
    std::shared_ptr<Upstream> upstream = take_idle(repeatable ? Check::No : Check::Yes);
    const bool kept = upstream != nullptr;
    if (!kept) upstream = CO_TRY(co_await connect_patiently(exchange));
    Result<Reply> reply;
    {
      const Busy busy(*this, upstream, exchange, limit);
      reply = co_await upstream->exchange(request, limits::kMaxReplyBytes, memory);
    }
    if (reply) {
      give_back(std::move(upstream));
      co_return reply;
    }
    const int code = reply.error().code;
    const bool closed_before_answer = (code == ECONNRESET || code == EPIPE) && !upstream->has_answered();
    if (!kept || !closed_before_answer) co_return reply;
    forget_dockerd();
    if (!repeatable) co_return reply;
  }
}

net::awaitable<Result<DockerClient::Stream>> DockerClient::open_stream(Request request, Exchange& exchange) {
  for (bool again = true;; again = false) {
    const ApiVersion chosen = CO_TRY(co_await version());
    if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
    Stream stream;
    stream.upstream = CO_TRY(co_await connect_patiently(exchange));
    {
      const Busy busy(*this, stream.upstream, exchange, limits::kUpstreamDeadline);
      CO_TRY(co_await stream.upstream->send(request.in(chosen)));
      stream.head = CO_TRY(co_await stream.upstream->read_head());
      if (stream.head.status >= 400)
        stream.refusal = CO_TRY(co_await stream.upstream->read_body(limits::kMaxUpstreamHeadBytes));
    }
    if (again && refuses_our_version(stream.head.status, stream.refusal)) {
      forget_dockerd();
      continue;
    }
    exchange.upstream = stream.upstream;
    if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
    co_return stream;
  }
}

void DockerClient::forget_dockerd() {
  version_.reset();
  facts_.reset();
}

// Asked by one for all who wait, with its answer, good or bad: where dockerd has been replaced they come together.
net::awaitable<Result<ApiVersion>> DockerClient::version() {
  while (!version_ && version_asked_) {
    const std::shared_ptr<VersionAsked> other = version_asked_;
    while (version_asked_ == other) co_await async::sleep_for(std::chrono::milliseconds(5));
    if (other->answer) co_return *other->answer;
  }
  if (version_) co_return *version_;
  const auto asked = std::make_shared<VersionAsked>();
  version_asked_ = asked;
  const std::unique_ptr<DockerClient, void (*)(DockerClient*)> over(
      this, [](DockerClient* self) { self->version_asked_.reset(); });  // however it ends
  asked->answer = co_await ask_version();
  co_return *asked->answer;
}

net::awaitable<Result<ApiVersion>> DockerClient::ask_version() {
  Exchange exchange;
  const Reply reply = CO_TRY(co_await ask_with_place(render_version(), exchange, kVersionWithin, nullptr));
  if (reply.status != 200)
    co_return fail_errno("ask dockerd for its version: it answered " + std::to_string(reply.status), EPROTO);
  const EngineVersion offered = CO_TRY(read_version(reply.body));
  const auto chosen = choose_version(offered);
  const std::string found = chosen ? "dockerd is asked in API " + chosen->text() : chosen.error().text();
  // Once, not at each try: the reaper, for one, tries again and again.
  if (std::exchange(version_said_, found) != found) chosen ? log::info(found) : log::error(found);
  if (chosen) version_ = *chosen;
  co_return chosen;
}

net::awaitable<Result<EngineFacts>> DockerClient::facts() {
  Exchange exchange;
  co_return co_await facts(exchange);
}

net::awaitable<Result<EngineFacts>> DockerClient::facts(Exchange& exchange) {
  // Loses no time where they are known; a connection that died since is noticed here, by nobody having used it.
  if (std::shared_ptr<Upstream> upstream = take_idle(Check::Yes)) idle_.push_back(std::move(upstream));
  if (facts_) co_return *facts_;
  const Reply info = CO_TRY(co_await ask(render_info(), exchange, kInfoWithin));
  if (info.status != 200)
    co_return fail_errno("ask dockerd for its facts: it answered " + std::to_string(info.status), EPROTO);
  EngineInfo told = CO_TRY(read_info(info.body));
  if (told.cgroup_driver != "cgroupfs" && told.cgroup_driver != "systemd")
    co_return fail("dockerd uses a cgroup driver that this broker does not know (cgroupfs and systemd are known)");
  facts_ = EngineFacts{told.cgroup_driver == "systemd", std::move(told.not_enforced), core_limit()};
  co_return *facts_;
}

std::int64_t DockerClient::core_limit() {
  const std::int64_t limit = core_limit_from(dockerd_);
  const std::string found = limit == 0 ? core_limit_warning(core_pattern()) : "";
  if (std::exchange(core_said_, found) != found && !found.empty()) log::warning(found);
  return limit;
}

net::awaitable<void> DockerClient::watch_deadlines() {
  for (;;) {
    watch_sleeps_ = busy_.empty();
    if (watch_sleeps_) clock_.expires_after(kAsleep);  // until somebody becomes busy
    else clock_.expires_after(kDeadlineGrain);
    co_await clock_.async_wait(kUseTuple);
    const auto now = std::chrono::steady_clock::now();
    for (Upstream* upstream : busy_)
      if (upstream->deadline <= now) upstream->expire();
  }
}

}  // namespace sallyport::engine
