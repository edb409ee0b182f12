#include "broker/spawner/spawner.hpp"

#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "broker/spawner/container_cgroups.hpp"
#include "broker/spawner/dialing.hpp"
#include "broker/spawner/keeper_link.hpp"
#include "broker/spawner/left_ranges.hpp"
#include "broker/spawner/session.hpp"
#include "broker/spawner/start_session.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"
#include "sallyport/service_manager.hpp"

namespace sallyport::spawner {

namespace {

namespace messages = protocol::spawner;
using namespace std::chrono_literals;

using Time = Poller::Clock::time_point;
constexpr auto kRetrySoon = 1ms;  // most processes are dead within a few of these
constexpr auto kRetryLater = 10ms;
constexpr auto kRetryLocksAtLast = 250ms;

// A pass over thousands of processes takes long: the others have four fifths of the time.
Poller::Clock::duration pause_after(Time begun, Poller::Clock::duration least) {
  return std::max(least, 4 * (Poller::Clock::now() - begun));
}

void tell_systemd(const std::string& state) {
  if (const auto told = notify_systemd(state); !told) log::warning(told.error().text());
}

class Spawner {
 public:
  Spawner(Poller& poller, SpawnerInputs inputs);
  Result<int> run();

 private:
  void handle(Incoming incoming);
  using Number = std::uint32_t;  // of a request
  void answer(Number number, const messages::TakeRange& request, std::vector<UniqueFd> fds);
  void answer(Number number, const messages::StartSession& request, std::vector<UniqueFd> fds);
  void answer(Number, const messages::Dial& request, std::vector<UniqueFd> fds) { dialing_.take(request, fds); }
  void answer(Number number, const messages::KillProcesses& request, std::vector<UniqueFd> fds);
  void answer(Number number, const messages::TakeOver& request, std::vector<UniqueFd> fds);
  void answer(Number number, const messages::RemoveCgroup& request, std::vector<UniqueFd> fds);
  void answer(Number, const messages::StopsWithin& request, std::vector<UniqueFd>) {
    tell_systemd("EXTEND_TIMEOUT_USEC=" +
                 std::to_string(std::chrono::microseconds(std::chrono::seconds(request.seconds)).count()));
  }

  Result<> watch_processes(Session& session);
  void tell_end(const SessionId& id, messages::ChildKind kind);

  Result<bool> kill_once(const SessionId& id);
  std::string who_is_left(const SessionId& id) const;
  void begin_kill(const SessionId& id, Number number);
  void kill_until(const SessionId& id, Number number, Time deadline);
  void take_left_locks(Poller::Clock::duration pause);
  struct Removal;
  void remove_until(const std::shared_ptr<Removal>& removal);
  void keep_range(const SessionId& id);
  Result<bool> remove_once(Removal& removal);

  void lose_keeper(const Error& error);
  void pass_on_signals();
  void keeper_is_ready();
  void end_everything();
  int keeper_exit_code();

  Poller& poller_;
  SpawnerInputs inputs_;
  std::optional<CgroupRoot> cgroup_root_;
  ContainerCgroups containers_;
  KeeperLink keeper_;
  std::map<SessionId, std::unique_ptr<Session>> sessions_;
  std::map<SessionId, UidRange> taken_ranges_;  // of sessions that are not started yet
  std::set<SessionId> stuck_;                   // whose cgroup could not be removed yet
  LeftRanges left_ranges_;
  bool taking_left_locks_ = false;
  Dialing dialing_;
  std::optional<int> exit_code_;
  Watch keeper_watch_;
  Watch ready_watch_;
  Watch signal_watch_;
};

Spawner::Spawner(Poller& poller, SpawnerInputs inputs)
    : poller_(poller),
      inputs_(std::move(inputs)),
      keeper_(poller, std::move(inputs_.keeper_channel)),
      left_ranges_(inputs_.config.runtime_directory, inputs_.config.uid_span),
      dialing_(poller, keeper_, sessions_, inputs_) {}

Result<int> Spawner::run() {
  if (auto root = CgroupRoot::find()) {
    cgroup_root_ = std::move(*root);
  } else {
    log::warning("sessions have no cgroup of their own, processes are killed by pidfd alone: " + root.error().text());
  }
  containers_ = TRY(ContainerCgroups::find());
  TRY(keeper_.start([this](Incoming incoming) { handle(std::move(incoming)); },
                    [this](const Error& error) { lose_keeper(error); }));
  keeper_watch_ =
      TRY(poller_.watch(inputs_.keeper.handle().fd(), EPOLLIN, [this] { exit_code_ = keeper_exit_code(); }));
  signal_watch_ = TRY(poller_.watch(inputs_.signals.get(), EPOLLIN, [this] { pass_on_signals(); }));
  if (inputs_.ready) ready_watch_ = TRY(poller_.watch(inputs_.ready.get(), EPOLLIN, [this] { keeper_is_ready(); }));
  while (!exit_code_) TRY(poller_.run_once());
  end_everything();
  return *exit_code_;
}

void Spawner::handle(Incoming incoming) {
  std::visit([&](const auto& request) { answer(incoming.number, request, std::move(incoming.fds)); }, incoming.message);
}

// --- TakeRange, StartSession ---

void Spawner::answer(Number number, const messages::TakeRange& request, std::vector<UniqueFd>) {
  const UidSpan& span = inputs_.config.uid_span;
  auto range = take_uid_range(inputs_.config.runtime_directory, span.first, span.last);
  if (!range)
    return keeper_.answer(number, {messages::SpawnFailed{range.error().text().substr(0, limits::kMaxReasonBytes)}, {}});
  const std::uint32_t base = range->base;
  taken_ranges_.insert_or_assign(request.session, std::move(*range));
  keeper_.answer(number, {messages::RangeTaken{base}, {}});
}

void Spawner::answer(Number number, const messages::StartSession& request, std::vector<UniqueFd> fds) {
  std::optional<UidRange> taken;  // let go of with whatever refuses the session
  if (auto found = taken_ranges_.extract(request.session)) taken = std::move(found.mapped());
  const auto refuse = [&](const Error& error) {
    log::warning("session " + request.session.text() + " refused: " + error.text(),
                 {.session = request.session.text()});
    keeper_.answer(number, {messages::SpawnFailed{error.text().substr(0, limits::kMaxReasonBytes)}, {}});
  };
  if (sessions_.size() >= inputs_.config.max_sessions)
    return refuse(Error{"max_sessions (" + std::to_string(inputs_.config.max_sessions) + ") are open", 0});
  if (sessions_.contains(request.session)) return refuse(Error{"a session of this id exists", 0});
  for (const auto& [id, other] : sessions_)
    if (request.uid_base != 0 && other->uid_base == request.uid_base)
      return refuse(Error{"uid range " + std::to_string(request.uid_base) + " belongs to session " + id.text(), 0});

  const StartTools tools{inputs_.config, inputs_.programs, cgroup_root_ ? &*cgroup_root_ : nullptr,
                         inputs_.root_mount_point.c_str()};
  auto started = start_session(tools, request, std::move(fds), std::move(taken));
  if (!started) {
    if (cgroup_root_) (void)cgroup_root_->remove(request.session);
    return refuse(started.error());
  }
  Session& session = *started->session;
  if (auto watched = watch_processes(session); !watched) return refuse(watched.error());
  sessions_.emplace(request.session, std::move(started->session));
  keeper_.answer(number, {messages::Started{}, std::move(started->channels)});
}

Result<> Spawner::watch_processes(Session& session) {
  const SessionId id = session.id;
  const auto watch = [&](const ProcessHandle& process, messages::ChildKind kind) {
    return poller_.watch(process.fd(), EPOLLIN, [this, id, kind] { tell_end(id, kind); });
  };
  session.init_watch = TRY(watch(session.init, messages::ChildKind::Init));
  if (session.gate) session.gate_watch = TRY(watch(session.gate.handle(), messages::ChildKind::Gate));
  if (session.relay) session.relay_watch = TRY(watch(session.relay.handle(), messages::ChildKind::Relay));
  return {};
}

void Spawner::tell_end(const SessionId& id, messages::ChildKind kind) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  messages::ChildEnded ended{id, kind, false, 0};
  if (kind == messages::ChildKind::Init) {
    session.init_watch.reset();  // init is the launcher's child: its status is not ours to read
  } else {
    const bool is_gate = kind == messages::ChildKind::Gate;
    (is_gate ? session.gate_watch : session.relay_watch).reset();
    const auto status = (is_gate ? session.gate : session.relay).try_reap();
    if (status && *status) ended = {id, kind, (*status)->signalled, (*status)->value};
  }
  if (!session.being_killed) keeper_.tell({ended, {}});
}

// --- KillProcesses ---

// True once all are dead. An error where that cannot be told, with all killed that could be: the caller tries again.
Result<bool> Spawner::kill_once(const SessionId& id) {
  Result<bool> dead = true;
  if (const auto found = sessions_.find(id); found != sessions_.end()) {
    dead = found->second->kill_and_check();
    dialing_.start_waiting();  // on the places of dialers that were killed
  } else if (cgroup_root_) {
    dead = cgroup_root_->kill(id);  // what a spawner before us has left
  }
  return both(std::move(dead), containers_.kill(id));
}

// For whoever has to find out what the kernel holds them up with.
std::string Spawner::who_is_left(const SessionId& id) const {
  std::set<pid_t> pids;
  containers_.add_processes(id, pids);
  if (cgroup_root_) cgroup_root_->add_processes(id, pids);
  std::string words;
  for (const pid_t pid : pids) words += (words.empty() ? ": " : ", ") + std::to_string(pid);
  return words;
}

void Spawner::kill_until(const SessionId& id, Number number, Time deadline) {
  const Time begun = Poller::Clock::now();
  const Result<bool> dead = kill_once(id);
  if (dead && *dead) return keeper_.answer(number, {messages::ProcessesDead{}, {}});
  if (Poller::Clock::now() >= deadline) {
    const std::string reason = dead
                                   ? "processes of the session do not end after SIGKILL" + who_is_left(id)
                                   : "whether processes of the session are left cannot be told: " + dead.error().text();
    log::error("session " + id.text() + ": " + reason, {.session = id.text()});
    return keeper_.answer(number, {messages::SpawnFailed{reason.substr(0, limits::kMaxReasonBytes)}, {}});
  }
  const auto retry = deadline - begun > limits::kKillDeadline - 50ms ? kRetrySoon : kRetryLater;
  poller_.after(pause_after(begun, retry), [this, id, number, deadline] { kill_until(id, number, deadline); });
}

// In a turn of its own: of several sessions that end together each pass is behind what the others have asked meanwhile.
void Spawner::begin_kill(const SessionId& id, Number number) {
  if (const auto found = sessions_.find(id); found != sessions_.end()) found->second->being_killed = true;
  const Time deadline = Poller::Clock::now() + limits::kKillDeadline;
  poller_.after({}, [this, id, number, deadline] { kill_until(id, number, deadline); });
}

void Spawner::answer(Number number, const messages::KillProcesses& request, std::vector<UniqueFd>) {
  begin_kill(request.session, number);
}

// --- TakeOver ---

void Spawner::answer(Number number, const messages::TakeOver& request, std::vector<UniqueFd>) {
  left_ranges_.add(request.session, request.uid_base);
  begin_kill(request.session, number);
  if (taking_left_locks_) (void)left_ranges_.take_locks();
  else take_left_locks(kRetryLater);
}

// A launcher that is on its way out, or that has been quicker than we, may still hold one.
void Spawner::take_left_locks(Poller::Clock::duration pause) {
  taking_left_locks_ = !left_ranges_.take_locks();
  if (!taking_left_locks_) return;
  poller_.after(pause,
                [this, pause] { take_left_locks(std::min<Poller::Clock::duration>(2 * pause, kRetryLocksAtLast)); });
}

// --- RemoveCgroup ---

struct Spawner::Removal {
  SessionId id;
  bool systemd_driver = false;
  bool keeps_range = false;
  Number number = 0;
  Time deadline;
  bool slice_asked = false;
  bool is_hopeless = false;  // waiting is no use
  bool is_repeated = false;  // tried for the whole of its deadline before: others do not wait for it again
  std::optional<Child> systemctl;
};

// True once all is gone.
Result<bool> Spawner::remove_once(Removal& removal) {
  Result<bool> done = kill_once(removal.id);  // a cgroup with a process in it cannot be removed
  if (cgroup_root_) done = both(std::move(done), cgroup_root_->remove(removal.id));
  if (!removal.systemd_driver) return both(std::move(done), containers_.remove(removal.id));
  if (removal.systemctl && removal.systemctl->handle().has_ended()) removal.systemctl.reset();
  if (!TRY(containers_.has_slice(removal.id))) return done;
  if (!removal.slice_asked) {
    auto child =
        ContainerCgroups::stop_slice(removal.id, inputs_.programs.systemctl.get(), inputs_.programs.null_device.get());
    removal.is_hopeless = !child;
    removal.systemctl = TRY(std::move(child));
    removal.slice_asked = true;
  }
  return both(std::move(done), false);
}

// Its containers' files are on the host as long as they are left, under its uids.
void Spawner::keep_range(const SessionId& id) {
  if (const auto found = sessions_.find(id); found != sessions_.end() && found->second->uid_lock)
    left_ranges_.keep(id, found->second->uid_base, std::move(found->second->uid_lock));
  if (const auto taken = taken_ranges_.find(id); taken != taken_ranges_.end())
    left_ranges_.keep(id, taken->second.base, std::move(taken->second.lock));
}

void Spawner::remove_until(const std::shared_ptr<Removal>& removal) {
  const Time begun = Poller::Clock::now();
  const Result<bool> done = remove_once(*removal);
  if (done && *done) {
    if (removal->keeps_range) keep_range(removal->id);
    else left_ranges_.release(removal->id);
    sessions_.erase(removal->id);  // with it goes our hold on the uid range
    taken_ranges_.erase(removal->id);
    stuck_.erase(removal->id);
    return keeper_.answer(removal->number, {messages::CgroupRemoved{}, {}});
  }
  if (removal->is_hopeless || removal->is_repeated || Poller::Clock::now() >= removal->deadline) {
    // The session stays, and its uid range with it: nobody may share a uid with what is still there.
    const std::string reason = done ? "the session's cgroup is still in use" : done.error().text();
    if (!removal->is_repeated)
      log::error("session " + removal->id.text() + ": " + reason, {.session = removal->id.text()});
    stuck_.insert(removal->id);
    return keeper_.answer(removal->number, {messages::SpawnFailed{reason.substr(0, limits::kMaxReasonBytes)}, {}});
  }
  poller_.after(pause_after(begun, kRetryLater), [this, removal] { remove_until(removal); });
}

void Spawner::answer(Number number, const messages::RemoveCgroup& request, std::vector<UniqueFd>) {
  const auto limit = request.systemd_driver ? limits::kSliceDeadline : limits::kCgroupDeadline;
  const bool is_repeated = stuck_.contains(request.session);  // then systemd has been asked, too
  remove_until(
      std::make_shared<Removal>(Removal{request.session, request.systemd_driver, request.keeps_range, number,
                                        Poller::Clock::now() + limit, is_repeated, false, is_repeated, std::nullopt}));
}

// --- the broker's own life ---

void Spawner::lose_keeper(const Error& error) {
  // A keeper that ends by itself closes its channel a moment before, and its exit code counts.
  if (exit_code_ || (error.code != EPROTO && inputs_.keeper.handle().has_ended(2000))) return;
  log::error("the keeper is lost and will be killed: " + error.text());
  (void)inputs_.keeper.handle().send_signal(SIGKILL);
}

void Spawner::pass_on_signals() {
  signalfd_siginfo info;
  while (::read(inputs_.signals.get(), &info, sizeof info) == sizeof info) {
    const bool ends = info.ssi_signo != SIGHUP;
    if (ends) tell_systemd("STOPPING=1");
    (void)inputs_.keeper.handle().send_signal(ends ? SIGTERM : SIGHUP);
  }
}

void Spawner::keeper_is_ready() {
  char byte = 0;
  const bool ready = ::read(inputs_.ready.get(), &byte, 1) == 1;
  ready_watch_.reset();
  inputs_.ready.reset();
  if (ready) tell_systemd("READY=1");
}

int Spawner::keeper_exit_code() {
  const auto status = inputs_.keeper.try_reap();
  keeper_watch_.reset();
  if (!status || !*status) return 1;
  if (!(*status)->signalled) return (*status)->value;
  log::error("the keeper was killed by signal " + std::to_string((*status)->value));
  return 1;
}

// The keeper is gone: what it did not end is ended here. Containers are left to the next broker's reaping, but their
// processes die now.
void Spawner::end_everything() {
  keeper_.close();
  const auto deadline = Poller::Clock::now() + limits::kKillDeadline;
  for (const auto& [id, session] : sessions_) session->waiting_dials.clear();  // killing makes places for them
  Result<bool> dead = false;
  while (!(dead && *dead) && Poller::Clock::now() < deadline) {
    dead = true;
    for (const auto& [id, session] : sessions_) dead = both(std::move(dead), kill_once(id));
    if (!(dead && *dead)) ::usleep(5'000);
  }
  if (cgroup_root_)
    for (const auto& [id, session] : sessions_) (void)cgroup_root_->remove(id);
  if (!dead) log::error("whether processes of sessions are left cannot be told: " + dead.error().text());
  if (dead && !*dead) log::error("processes of sessions do not end after SIGKILL");
}

}  // namespace

int run_spawner(SpawnerInputs inputs) {
  auto poller = Poller::create();
  if (!poller) {
    log::error(poller.error().text());
    return 1;
  }
  Spawner spawner(**poller, std::move(inputs));
  const auto code = spawner.run();
  if (!code) log::error("the spawner stops: " + code.error().text());
  return code.value_or(1);
}

}  // namespace sallyport::spawner
