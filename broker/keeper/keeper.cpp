#include "broker/keeper/keeper.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>

#include "broker/async/malloc_tuning.hpp"
#include "broker/keeper/admission.hpp"
#include "broker/keeper/control.hpp"
#include "broker/keeper/ending.hpp"
#include "broker/keeper/forwards.hpp"
#include "broker/keeper/random_hex.hpp"
#include "broker/keeper/reaper.hpp"
#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"
#include "sallyport/log.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::chrono::seconds kReapOnlyWithin{60};

// One id per state directory, for good: containers that a dead broker left carry it.
Result<std::string> broker_id(const std::string& state_directory) {
  const std::string path = state_directory + "/broker-id";
  UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno("open " + path);
  char text[32] = {};
  const ssize_t size = ::pread(file.get(), text, sizeof text, 0);
  const std::string_view known(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  if (known.size() == 17 && known.ends_with('\n') && detail::all(known.substr(0, 16), detail::is_lower_hex))
    return std::string(known.substr(0, 16));
  if (!known.empty())
    return fail("read " + path + ": it is malformed; if no broker runs, remove it with what is in sessions/");
  const std::string made = random_hex(8) + "\n";
  if (::pwrite(file.get(), made.data(), made.size(), 0) != static_cast<ssize_t>(made.size()))
    return fail_errno("write " + path);
  return made.substr(0, 16);
}

// As far as it goes; returns how many files may be open.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) (void)::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// A broker for one run, or one that only reaps, needs no room for other sessions, and nobody waits for it.
bool is_for_one(const KeeperInputs& inputs) { return inputs.private_peer || inputs.reap_only; }
std::size_t sessions_of(const KeeperInputs& inputs) {
  return is_for_one(inputs) ? 1 : std::min<std::size_t>(inputs.config.max_sessions, limits::kMaxSessions);
}

Result<engine::PlaceBounds> bound_connections(const KeeperInputs& inputs, std::size_t descriptors) {
  const std::size_t openers = is_for_one(inputs) ? 0 : limits::kMaxWaitingForPlace;
  const engine::PlaceBounds bounds = TRY(engine::bounds_that_fit(sessions_of(inputs), openers, descriptors));
  const std::string why = ", because this process may have " + std::to_string(descriptors) +
                          " open files only: raise LimitNOFILE of the broker's unit (ulimit -n)";
  if (bounds.share < limits::kDockerdShare)
    log::warning("each session has " + std::to_string(bounds.share) + " connections to dockerd of its own instead of " +
                 std::to_string(limits::kDockerdShare) + why);
  if (bounds.common < limits::kCommonDockerdConnections)
    log::warning("sessions share " + std::to_string(bounds.common) + " connections to dockerd instead of " +
                 std::to_string(limits::kCommonDockerdConnections) + why);
  return bounds;
}

class Keeper {
 public:
  Keeper(net::io_context& io, KeeperInputs& inputs, std::string broker, AuditTrail audit,
         const engine::PlaceBounds& bounds, engine::MemoryGauge memory)
      : io_(io),
        services_{io.get_executor(),
                  inputs.config,
                  std::move(broker),
                  std::move(audit),
                  Accounts(inputs.config.state_directory),
                  engine::DockerClient(io.get_executor(), inputs.config.docker_socket, bounds, std::move(memory)),
                  SpawnerClient(io.get_executor(), std::move(inputs.spawner_channel)),
                  HangupWatch(io.get_executor()),
                  async::TaskGroup(io.get_executor(), on_bug())},
        signals_(io, SIGTERM, SIGINT, SIGHUP) {
    services_.on_session_gone = [this] { leave_if_done(); };
  }

  Result<> start(KeeperInputs& inputs, std::vector<LeftLedger> left) {
    is_private_ = static_cast<bool>(inputs.private_peer);
    services_.tasks.spawn("spawner", listen_to_spawner());
    services_.tasks.spawn("deadlines", services_.docker.watch_deadlines());
    services_.tasks.spawn("hangups", services_.hangups.run());
    services_.tasks.spawn("signals", wait_for_signals());
    TRY(heed_signals());
    know_what_is_left(services_, left);
    services_.tasks.spawn("reaper", reap_all(std::move(left), inputs.reap_only));
    if (inputs.control_listener)
      services_.tasks.spawn("control socket", accept_control(services_, std::move(inputs.control_listener)));
    if (inputs.private_peer) services_.tasks.spawn("private session", serve_private(std::move(inputs.private_peer)));
    return {};
  }
  int exit_code() const { return exit_code_; }

 private:
  void bug(const std::string& task, const std::string& what) {
    if (services_.stopping && all_are_ending()) return;
    log::error("task \"" + task + "\" failed: " + what);
    if (!services_.stopping) return leave(1);  // the next broker reaps
    if (std::exchange(exit_code_, 1) != 0) return;
    end_all();  // no grace any more, but in order, as far as that goes
    services_.tasks.spawn("leave after a fault", leave_later());
  }
  async::TaskGroup::OnBug on_bug() {
    return [this](const std::string& task, const std::string& what) { bug(task, what); };
  }
  void leave(int code) {
    exit_code_ = code;
    io_.stop();
  }
  void leave_if_done() {
    if (!services_.stopping || !services_.sessions.empty() || services_.operators_waiting > 0) return;
    tell_counted();
    leave(exit_code_);
  }
  // What no session will tell any more.
  void tell_counted() {
    const auto tell = [this](AuditQuota& quota) {
      // A private broker ends with each run; what it has kept, the next one tells.
      const bool is_kept = is_private_ && quota.save;
      const auto written =
          is_kept ? services_.audit.write_counted_now_and_then(quota) : services_.audit.write_counted(quota);
      if (written) return;
      log::error(written.error().text() + ": " + std::to_string(quota.untold()) + " records of " +
                 (quota.profile.empty() ? "refused openings are told here only"
                                        : "profile " + quota.profile + " wait for the next broker"));
      if (quota.save) quota.save();
    };
    for (const auto& [name, accounts] : services_.accounts.all()) tell(accounts->quota());
    tell(services_.knocks);
  }
  net::awaitable<void> leave_later() {
    co_await async::sleep_for(limits::kEndPatience);
    leave(1);
  }
  void end_all() {
    const auto sessions = services_.sessions;
    for (const auto& [id, session] : sessions) end_for_the_stop(services_, session);
  }
  bool all_are_ending() const {
    return std::ranges::all_of(services_.sessions, [](const auto& entry) { return entry.second->is_ending; });
  }
  // In order; whoever asks twice does not want to wait for workers.
  void stop() {
    if (std::exchange(services_.stopping, true)) {
      end_all();
    } else {
      const auto sessions = services_.sessions;
      std::chrono::seconds longest{0};
      for (const auto& [id, session] : sessions) longest = std::max(longest, let_end_for_the_stop(services_, session));
      if (!sessions.empty()) services_.tasks.spawn("time to stop", ask_for_time(longest + limits::kLauncherWaits));
      if (longest > longest.zero())
        log::info("workers have SIGTERM, and at most " + std::to_string(longest.count()) +
                  " s to end; a second SIGTERM ends them at once");
    }
    leave_if_done();
  }
  // Piece by piece, so that systemd does not wait for a broker that hangs as long as for one that works.
  net::awaitable<void> ask_for_time(std::chrono::seconds at_most) {
    for (const auto until = Clock::now() + at_most; Clock::now() < until && !services_.sessions.empty();) {
      const auto asked = co_await services_.spawner.stops_within(limits::kTimeAskedFor);
      if (!asked) co_return log::warning(asked.error().text());
      co_await async::sleep_for(limits::kAsksForTimeEvery);
    }
  }

  void reopen_trail() {
    if (const auto done = services_.audit.reopen(); done) log::info("the audit trail is opened anew, as SIGHUP asks");
    else log::error(done.error().text() + ": the trail goes on in the files that were open");
  }

  net::awaitable<void> listen_to_spawner() {
    const auto find = [this](const SessionId& id) {
      const auto found = services_.sessions.find(id.text());
      return found == services_.sessions.end() ? nullptr : found->second;
    };
    co_await services_.spawner.receive(
        [this, find](const protocol::spawner::ChildEnded& child) {
          if (child.kind == protocol::spawner::ChildKind::Init) return;  // watched by its pidfd (open_session.cpp)
          constexpr const char* kNames[] = {"init", "gate", "relay"};
          const std::string who = kNames[static_cast<std::size_t>(child.kind)];
          const std::string how =
              (child.signalled ? " was killed by signal " : " ended with ") + std::to_string(child.value);
          if (const SessionPtr session = find(child.session))
            end_session(services_, session, who + ".ended", who + how);
        },
        [this, find](const protocol::spawner::DialDone& done, UniqueFd upstream) {
          if (const SessionPtr session = find(done.session)) finish_dial(services_, session, done, std::move(upstream));
        },
        [this](const std::string& why) {
          log::error(why + ": the broker cannot go on");
          leave(1);
        });
  }

  // Until here they have been blocked: the kernel's own answer to SIGTERM would leave sessions to the next broker.
  static Result<> heed_signals() {
    sigset_t heard;
    ::sigemptyset(&heard);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&heard, signal);
    if (::sigprocmask(SIG_UNBLOCK, &heard, nullptr) != 0) return fail_errno("unblock signals");
    return {};
  }

  net::awaitable<void> wait_for_signals() {
    for (;;) {
      auto [error, number] = co_await signals_.async_wait(async::kUseTuple);
      if (error) co_return;
      if (number == SIGHUP) {
        reopen_trail();
        continue;
      }
      log::info("the broker is stopping");
      stop();
    }
  }

  net::awaitable<void> reap_all(std::vector<LeftLedger> left, bool then_exit) {
    if (then_exit) services_.tasks.spawn("give up", give_up());
    co_await reap(services_, std::move(left), on_bug());
    if (then_exit) leave(0);
  }
  net::awaitable<void> give_up() {
    co_await async::sleep_for(kReapOnlyWithin);
    for (const auto& [id, left] : services_.left)
      log::error("session " + id + " of an earlier broker is still there: " + left.why,
                 {.session = id, .profile = left.profile.text()});
    leave(1);
  }

  net::awaitable<void> serve_private(UniqueFd peer) {
    const auto who = peer_of(peer.get());
    if (!who || who->uid != 0) {
      log::error("a private broker serves root only");
      co_return leave(1);
    }
    co_await converse(services_, std::move(peer));
    stop();
  }

  net::io_context& io_;
  Services services_;
  net::signal_set signals_;
  int exit_code_ = 0;
  bool is_private_ = false;
};

}  // namespace

int run_keeper(KeeperInputs inputs) {
  async::tune_malloc();
  ::umask(0077);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write
  const auto report = [](const Error& error) {
    log::error(error.text());
    return 1;
  };
  const auto bounds = bound_connections(inputs, raise_descriptor_limit());
  if (!bounds) return report(bounds.error());
  auto memory =
      engine::MemoryGauge::open(std::max(bounds->sessions * limits::kMemoryPerSession, limits::kLeastMemoryCeiling));
  if (!memory) return report(memory.error());
  auto broker = broker_id(inputs.config.state_directory);
  if (!broker) return report(broker.error());
  auto audit = AuditTrail::open(inputs.config.log_directory, *broker);
  if (!audit) return report(audit.error());
  if (const auto made = make_ledger_directory(inputs.config.state_directory); !made) return report(made.error());
  if (const auto made = Accounts::make_directory(inputs.config.state_directory); !made) return report(made.error());
  auto left = read_left_ledgers(inputs.config.state_directory);
  if (!left) return report(left.error());

  // Never destroyed: coroutines that still run when the broker leaves live in io and refer to the keeper, and the
  // keeper's own descriptors refer to io, so neither could go first. The process ends right after.
  static net::io_context& io = *new net::io_context(1);
  static Keeper& keeper = *new Keeper(io, inputs, std::move(*broker), std::move(*audit), *bounds, std::move(*memory));
  UniqueFd ready = std::move(inputs.ready);
  if (const auto started = keeper.start(inputs, std::move(*left)); !started) return report(started.error());
  if (const int code = seccomp::install(seccomp::Filter::Keeper); code != 0)
    return report(fail_errno("install the keeper's seccomp filter", code).error());
  if (ready && ::write(ready.get(), "1", 1) != 1) log::warning("nobody hears that the broker is ready");
  ready.reset();
  io.run();
  return keeper.exit_code();
}

}  // namespace sallyport::keeper
