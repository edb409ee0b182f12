// TRUSTED SIDE. The way to dockerd: a pool of kept-alive connections, one request at a time on each, and connections of
// their own for what streams. Every exchange has a deadline or can be cancelled; a connection with any surprise is
// closed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "broker/engine/memory_gauge.hpp"
#include "broker/engine/places.hpp"
#include "broker/engine/render.hpp"
#include "broker/engine/upstream.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"

namespace sallyport::engine {

// What somebody else may cancel while it runs.
struct Exchange {
  std::shared_ptr<Upstream> upstream;
  Place place;  // that the session took for it; without one it is the keeper's own request
  bool cancelled = false;
  std::function<void()> on_cancel;  // of whoever waits for something else than dockerd
  void cancel() {
    cancelled = true;
    if (upstream) upstream->abort();
    if (on_cancel) on_cancel();
  }
};

// Facts of dockerd that decide what we send. Known before any session or create; its API version decides how, and is
// known before any request.
struct EngineFacts {
  bool systemd_cgroups = false;
  std::vector<std::string> not_enforced;  // limits of [docker] that this host's kernel cannot set
  std::int64_t core_limit = 1;            // that it can give a container
};

class DockerClient {
 public:
  DockerClient(net::any_io_executor executor, std::string socket_path, const PlaceBounds& bounds, MemoryGauge memory);
  ~DockerClient();

  // A whole request and its whole reply, over the pool. Only a GET is asked again, once, where a kept connection had
  // been closed by dockerd before it answered a byte. In the API version that this dockerd was found to speak.
  net::awaitable<Result<Reply>> ask(Request request, Exchange& exchange,
                                    std::chrono::seconds limit = limits::kUpstreamDeadline);

  struct Stream {
    std::shared_ptr<Upstream> upstream;
    ReplyHead head;
    std::string refusal;  // the whole body where the status says that this is no stream
  };
  // A request on a connection of its own, up to the head of the reply, and to its end where it is a refusal. The caller
  // reads on, without deadline; it cancels by `exchange`, whose place it holds for as long as the connection is open.
  net::awaitable<Result<Stream>> open_stream(Request request, Exchange& exchange);

  // Asks dockerd where they are not known, or where connections have been lost since.
  net::awaitable<Result<EngineFacts>> facts();
  net::awaitable<Result<EngineFacts>> facts(Exchange& exchange);  // on the place of a session's request

  Places& places() { return places_; }
  MemoryGauge& memory() { return memory_; }

  // Runs for as long as the client does: enforces deadlines.
  net::awaitable<void> watch_deadlines();

 private:
  class Busy;
  net::awaitable<Result<Place>> keepers_place(std::chrono::seconds limit);
  net::awaitable<Result<Reply>> ask_with_place(std::string request, Exchange& exchange, std::chrono::seconds limit,
                                               MemoryGauge* memory);
  // Asked under the place of the request that needs it, which has no connection of its own meanwhile.
  net::awaitable<Result<ApiVersion>> version();
  net::awaitable<Result<ApiVersion>> ask_version();
  void forget_dockerd();
  std::int64_t core_limit();
  Result<std::shared_ptr<Upstream>> connect();
  net::awaitable<Result<std::shared_ptr<Upstream>>> connect_patiently(const Exchange& exchange);
  enum class Check : bool { No, Yes };
  std::shared_ptr<Upstream> take_idle(Check check);
  void give_back(std::shared_ptr<Upstream> upstream);

  net::any_io_executor executor_;
  std::string socket_path_;
  Places places_;
  MemoryGauge memory_;
  std::vector<std::shared_ptr<Upstream>> idle_;
  std::unordered_set<Upstream*> busy_;  // those with a deadline that may pass
  std::optional<ApiVersion> version_;
  struct VersionAsked {
    std::optional<Result<ApiVersion>> answer;  // none where whoever asked was cancelled
  };
  std::shared_ptr<VersionAsked> version_asked_;  // while somebody asks
  std::string version_said_;                     // to the log
  pid_t dockerd_ = 0;                            // who listens at its socket; 1 where systemd does for it
  std::string core_said_;                        // to the log
  std::optional<EngineFacts> facts_;
  net::steady_timer clock_;
  bool watch_sleeps_ = false;
};

}  // namespace sallyport::engine
