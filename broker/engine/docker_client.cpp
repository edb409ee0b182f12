#include "broker/engine/docker_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "broker/async/tasks.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"

namespace sallyport::engine {

using async::kUseTuple;

namespace {
constexpr std::chrono::milliseconds kDeadlineGrain{500};
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

DockerClient::DockerClient(net::any_io_executor executor, std::string socket_path)
    : executor_(std::move(executor)), socket_path_(std::move(socket_path)), clock_(executor_) {}
DockerClient::~DockerClient() = default;

Result<std::shared_ptr<Upstream>> DockerClient::connect() {
  if (busy_.size() >= limits::kMaxDockerdConnections)
    return fail_errno("connect to dockerd: too many connections", EAGAIN);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path)
    return fail("connect to dockerd: the path of its socket is too long");
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  UniqueFd fd = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("make a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int code = errno;
    if (code != EAGAIN) facts_.reset();  // whoever listens there next may be another dockerd
    return fail_errno("connect to dockerd at " + socket_path_, code);
  }
  return std::make_shared<Upstream>(executor_, std::move(fd));
}

std::shared_ptr<Upstream> DockerClient::take_idle(Check check) {
  while (!idle_.empty()) {
    std::shared_ptr<Upstream> upstream = std::move(idle_.back());
    idle_.pop_back();
    if (check == Check::No || upstream->is_alive()) return upstream;
    facts_.reset();  // dockerd does not close idle connections: it has gone, and perhaps come back
  }
  return nullptr;
}

void DockerClient::give_back(std::shared_ptr<Upstream> upstream) {
  if (!upstream->is_reusable() || idle_.size() >= limits::kMaxIdleUpstreams) return;
  idle_.push_back(std::move(upstream));
}

net::awaitable<Result<Reply>> DockerClient::ask(std::string request, Exchange& exchange, std::chrono::seconds limit) {
  for (;;) {
    if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
    // A GET finds out by itself, and is asked again; for what must not be done twice the connection is looked at first.
    const bool repeatable = request.starts_with("GET ");
    std::shared_ptr<Upstream> upstream = take_idle(repeatable ? Check::No : Check::Yes);
    const bool kept = upstream != nullptr;
    for (int tries = 0; upstream == nullptr; ++tries) {
      auto connected = connect();
      if (connected) {
        upstream = std::move(*connected);
      } else if (connected.error().code == EAGAIN && tries < 100 && !exchange.cancelled) {
        co_await async::sleep_for(std::chrono::milliseconds(20));  // its backlog is full for the moment
      } else {
        co_return std::unexpected(std::move(connected).error());
      }
    }
    Result<Reply> reply;
    {
      const Busy busy(*this, upstream, exchange, limit);
      reply = co_await upstream->exchange(request, limits::kMaxReplyBytes);
    }
    if (reply) {
      give_back(std::move(upstream));
      co_return reply;
    }
    const int code = reply.error().code;
    const bool closed_before_answer = (code == ECONNRESET || code == EPIPE) && !upstream->has_answered();
    if (!kept || !closed_before_answer) co_return reply;
    facts_.reset();
    if (!repeatable) co_return reply;
  }
}

net::awaitable<Result<DockerClient::Stream>> DockerClient::open_stream(std::string request, Exchange& exchange) {
  if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
  std::shared_ptr<Upstream> upstream = CO_TRY(connect());
  ReplyHead head;
  {
    const Busy busy(*this, upstream, exchange, limits::kUpstreamDeadline);
    CO_TRY(co_await upstream->send(request));
    head = CO_TRY(co_await upstream->read_head());
  }
  exchange.upstream = upstream;
  if (exchange.cancelled) co_return fail_errno("ask dockerd", ECANCELED);
  co_return Stream{std::move(upstream), head};
}

net::awaitable<Result<EngineFacts>> DockerClient::facts() {
  // Loses no time where they are known; a connection that died since is noticed here, by nobody having used it.
  if (std::shared_ptr<Upstream> upstream = take_idle(Check::Yes)) idle_.push_back(std::move(upstream));
  if (facts_) co_return *facts_;
  Exchange exchange;
  const Reply version = CO_TRY(co_await ask(render_version(), exchange, std::chrono::seconds(10)));
  const EngineVersion versions = CO_TRY(read_version(version.body));
  if (!version_at_least(versions.newest, kApiVersion) || !version_at_least(kApiVersion, versions.oldest)) {
    co_return fail("dockerd speaks API " + versions.oldest + " to " + versions.newest + ", and not " +
                   std::string(kApiVersion) + ", which this broker needs");
  }
  const Reply info = CO_TRY(co_await ask(render_info(), exchange, std::chrono::seconds(30)));
  EngineInfo told = CO_TRY(read_info(info.body));
  if (told.cgroup_driver != "cgroupfs" && told.cgroup_driver != "systemd")
    co_return fail("dockerd uses a cgroup driver that this broker does not know (cgroupfs and systemd are known)");
  facts_ = EngineFacts{told.cgroup_driver == "systemd", std::move(told.not_enforced)};
  co_return *facts_;
}

net::awaitable<void> DockerClient::watch_deadlines() {
  for (;;) {
    watch_sleeps_ = busy_.empty();
    if (watch_sleeps_) clock_.expires_after(std::chrono::hours(24));  // until somebody becomes busy
    else clock_.expires_after(kDeadlineGrain);
    co_await clock_.async_wait(kUseTuple);
    const auto now = std::chrono::steady_clock::now();
    for (Upstream* upstream : busy_)
      if (upstream->deadline <= now) upstream->expire();
  }
}

}  // namespace sallyport::engine
