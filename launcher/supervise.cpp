#include "launcher/supervise.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "launcher/say.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/poll_time.hpp"

namespace sallyport::launcher {
namespace {

constexpr std::array kForwarded = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH};
constexpr std::chrono::milliseconds kLooksAtItsTerminal{500};
// Statuses of timeout(1), where it has one.
constexpr int kTimeUp = 124;
constexpr int kCouldNotBeBuilt = 125;
constexpr const char* kBrokerStops = "the broker ended the session: the broker is stopping";

}  // namespace

bool asks_to_end(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT; }

int wish_to_end(const std::vector<int>& signals) {
  const auto last = std::find_if(signals.rbegin(), signals.rend(), asks_to_end);
  return last == signals.rend() ? 0 : *last;
}

int Outcome::exit_code() const {
  if (time_up) return kTimeUp;
  switch (ended) {
    case Ended::Worker: return for_a_unit && worker->shell_code() == kMisconfigured ? 1 : worker->shell_code();
    case Ended::InitGone: return 128 + SIGKILL;  // the kernel has killed the worker with its init
    case Ended::NotBuilt:
      if (asked_to_end_by != 0) return 128 + asked_to_end_by;
      if (is_misconfigured) return kMisconfigured;
      break;
    case Ended::BrokerGone:
      if (asked_to_end_by != 0) return 128 + asked_to_end_by;
      if (for_a_unit && broker_stops) return 128 + SIGTERM;  // no fault of the unit's, which is started again
      break;
  }
  return kCouldNotBeBuilt;
}

Result<Signals> Signals::take() {
  // Whatever the caller ignored or blocked: SIGCHLD ignored would lose exit statuses, SIGPIPE would end us for a reader
  // who left.
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  // Stopped by its terminal the launcher would keep neither time limit nor TERM, and the worker would run on.
  for (const int stop : {SIGTSTP, SIGTTIN, SIGTTOU}) ::sigaction(stop, &action, nullptr);
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int signal : kForwarded) ::sigaddset(&wanted, signal);
  if (::sigprocmask(SIG_SETMASK, &wanted, nullptr) != 0) return fail_errno("block the signals to forward");
  Signals signals;
  signals.descriptor_ = UniqueFd::adopt(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.descriptor_) return fail_errno("make a descriptor for signals");
  return signals;
}

std::vector<int> Signals::pending() {
  std::vector<int> result = std::exchange(kept_, {});
  signalfd_siginfo info;
  while (::read(descriptor(), &info, sizeof info) == sizeof info) result.push_back(static_cast<int>(info.ssi_signo));
  return result;
}

Supervisor::Supervisor(const Plan& plan, Sandbox& sandbox, Signals& signals, BrokerSession* session)
    : plan_(plan),
      sandbox_(sandbox),
      signals_(signals),
      session_(session),
      budget_(plan.output_bytes),
      input_(STDIN_FILENO, std::move(sandbox.pipes().input)),
      output_(std::move(sandbox.pipes().output), STDOUT_FILENO, budget_),
      error_(std::move(sandbox.pipes().error), STDERR_FILENO, budget_),
      grace_(plan.grace.value_or(limits::kTermGrace)) {}

Outcome Supervisor::run() {
  start_the_clock();
  hear_signals();  // those that came while the session was opened
  while (!outcome_) poll_once();
  prefer_the_cause();
  if (session_ != nullptr && outcome_->ended == Outcome::Ended::Worker)
    session_->worker_ended(*outcome_->worker, time_up_);
  if (session_ != nullptr && session_->broker_stops()) blame_the_stop();
  sandbox_.kill_and_wait();  // before the rest of the output: then the pipes have an end
  if (kills_next_) deadline_ = Clock::now() + limits::kTermGrace;  // the grace was the worker's
  next_word_.reset();
  drain_output();
  outcome_->time_up = time_up_;
  if (time_up_ && outcome_->reason.empty()) {
    outcome_->reason = "the worker's time was up (limits.time, " + std::to_string(plan_.time->count()) + " s)";
    outcome_->was_said = true;
  }
  outcome_->dropped_output_bytes = budget_.dropped() + output_.left() + error_.left();
  return *outcome_;
}

// The broker says why it ends a session before it kills: who then sees only a dead init, or a worker killed with it,
// looks whether it has said so.
void Supervisor::prefer_the_cause() {
  const auto& worker = outcome_->worker;
  const bool killed_worker = worker && worker->signalled && worker->value == SIGKILL && !time_up_;
  if (session_ == nullptr || (!init_is_gone_ && !killed_worker)) return;
  if (auto why = session_->says_why(init_is_gone_ ? limits::kBrokerSaysWhy : std::chrono::milliseconds(0)))
    outcome_ = Outcome{.ended = Outcome::Ended::BrokerGone, .worker = worker, .reason = *std::move(why)};
}

void Supervisor::blame_the_stop() {
  if (outcome_->ended == Outcome::Ended::Worker)
    outcome_ = Outcome{.ended = Outcome::Ended::BrokerGone, .worker = outcome_->worker, .reason = kBrokerStops};
  outcome_->broker_stops = true;
  if (outcome_->ended == Outcome::Ended::BrokerGone) outcome_->asked_to_end_by = callers_wish_;
}

void Supervisor::end(Outcome::Ended how, std::string reason) {
  if (!outcome_) outcome_ = Outcome{.ended = how, .reason = std::move(reason)};
}

// What init says waits in its socket until it is needed: who wakes for each word takes the processor from the worker.
// The last word is read when init has ended, the first one as soon as a signal is to be passed on.
void Supervisor::poll_once() {
  const bool is_awaited = plan_.says_running && !runs_;
  const bool listens = session_ != nullptr || is_awaited || (!worker_ && !early_signals_.empty());
  std::array<pollfd, 7> entries;
  entries[0] = {sandbox_.init().fd(), POLLIN, 0};
  entries[1] = {signals_.descriptor(), POLLIN, 0};
  entries[2] = {session_ != nullptr ? session_->descriptor() : -1, POLLIN, 0};
  entries[3] = input_.wanted().value_or(pollfd{-1, 0, 0});
  entries[4] = output_.wanted().value_or(pollfd{-1, 0, 0});
  entries[5] = error_.wanted().value_or(pollfd{-1, 0, 0});
  entries[6] = {listens ? sandbox_.control() : -1, POLLIN, 0};
  if (::poll(entries.data(), entries.size(), poll_timeout()) < 0 && errno != EINTR)
    return end(Outcome::Ended::NotBuilt, fail_errno("wait for the worker").error().text());
  if (entries[1].revents != 0) hear_signals();
  if (entries[3].revents != 0) input_.step();
  if (entries[4].revents != 0) output_.step();
  if (entries[5].revents != 0) error_.step();
  check_the_clock();
  if (entries[6].revents != 0 && !outcome_ && init_speaks()) hear_init();  // a signal may have had it heard before
  if (entries[0].revents != 0) hear_inits_end();
  if (entries[2].revents != 0 && !outcome_) hear_broker();
  say_if_dropping();
  tell_systemd_what_is_due();
}

void Supervisor::hear_inits_end() {
  while (!outcome_) hear_init();
}

bool Supervisor::init_speaks() const {
  pollfd said{sandbox_.control(), POLLIN, 0};
  return ::poll(&said, 1, 0) == 1;
}

void Supervisor::find_worker() {
  if (!worker_ && !outcome_ && init_speaks()) hear_init();
}

void Supervisor::hear_init() {
  auto report = sandbox_.next_report();
  if (!report) return end(Outcome::Ended::NotBuilt, report.error().text());
  if (!*report) {
    init_is_gone_ = true;
    const bool running = static_cast<bool>(worker_);
    return end(running ? Outcome::Ended::InitGone : Outcome::Ended::NotBuilt, "the sandbox's init was killed");
  }
  const InitMessage& message = (*report)->message;
  switch (message.word) {
    case InitWord::Failed:
      end(Outcome::Ended::NotBuilt, explain(plan_, message).text());
      outcome_->is_misconfigured = names_what_is_not_there(message);
      return;
    case InitWord::Running:
      runs_ = true;
      next_word_ = Clock::now();
      return;
    case InitWord::Started:
      if ((*report)->descriptors.size() != 1) return end(Outcome::Ended::NotBuilt, "init sent no pidfd of the worker");
      worker_ = ProcessHandle(std::move((*report)->descriptors[0]));
      for (const int signal : early_signals_) signal_worker(signal);
      early_signals_.clear();
      return;
    case InitWord::Ended:
      outcome_ = Outcome{.ended = Outcome::Ended::Worker, .worker = ExitStatus{message.signalled, message.code}};
      return;
    case InitWord::Listening: break;
  }
  end(Outcome::Ended::NotBuilt, "init said something out of turn");
}

// That the worker runs, again where it was not heard; and, while a worker that was asked to end has its grace, again
// and again that this takes time: who is stopped has the unit's own time otherwise, and a launcher that hangs no more
// than this.
void Supervisor::tell_systemd_what_is_due() {
  if (!next_word_ || Clock::now() < *next_word_) return;
  next_word_.reset();
  if (runs_ && tries_to_say_so_ > 0) {
    --tries_to_say_so_;
    if (tell_systemd("READY=1\nSTATUS=the worker runs")) tries_to_say_so_ = 0;
  }
  const std::chrono::microseconds needed = limits::kTimeAskedFor + limits::kLauncherWaits + limits::kTermGrace;
  if (kills_next_) tell_systemd("EXTEND_TIMEOUT_USEC=" + std::to_string(needed.count()));
  if (kills_next_ || (runs_ && tries_to_say_so_ > 0)) next_word_ = Clock::now() + limits::kAsksForTimeEvery;
}

void Supervisor::hear_signals() {
  const std::vector<int> signals = signals_.pending();
  if (const int wish = wish_to_end(signals)) callers_wish_ = wish;
  for (const int signal : signals) {
    const bool has_it = signal == SIGTERM && std::exchange(we_have_asked_, false);
    if (!has_it) signal_worker(signal);
    was_asked_ |= signal == SIGTERM;
    if (signal == SIGTERM && plan_.grace && !kills_next_) kill_after_grace();
    if (signal == SIGTERM && kills_next_) next_word_ = Clock::now();  // systemd's time has just begun
  }
}

void Supervisor::kill_after_grace() {
  kills_next_ = true;
  asked_at_ = Clock::now();
  deadline_ = asked_at_ + grace_;
  next_word_ = Clock::now();
}

void Supervisor::let_broker_bound_the_grace(std::chrono::seconds most) {
  grace_ = std::min(grace_, most);
  if (kills_next_) deadline_ = std::min(*deadline_, Clock::now() + grace_);
}

void Supervisor::signal_worker(int signal) {
  find_worker();
  if (!worker_) return early_signals_.push_back(signal);
  (void)worker_.send_signal(signal);  // it may have ended; init's word follows
}

void Supervisor::hear_broker() {
  BrokerSession::Heard heard = session_->hear();
  using What = BrokerSession::Heard::What;
  switch (heard.what) {
    case What::Ended: return end(Outcome::Ended::BrokerGone, std::move(heard.text));
    case What::Notice: return say(heard.text);
    case What::EndWorker: break;
  }
  if (heard.within < grace_) heard.text += " (within stop_within of broker.toml)";
  let_broker_bound_the_grace(heard.within);
  ask_to_end(heard.text);
}

void Supervisor::say(const std::string& what) {
  if (!say_in_journal(what, Priority::Warning)) error_.say(what);
}

// At once: whoever reads the output of a worker that runs for days must not take it for silent.
void Supervisor::say_if_dropping() {
  if (budget_.dropped() == 0 || std::exchange(said_dropping_, true)) return;
  say("the worker's output has reached limits.output (" + std::to_string(plan_.output_bytes) +
      " bytes): all of it from here on is dropped");
}

void Supervisor::start_the_clock() {
  if (plan_.time) deadline_ = Clock::now() + *plan_.time;
}

void Supervisor::check_the_clock() {
  if (!deadline_ || Clock::now() < *deadline_) return;
  if (!kills_next_) {
    time_up_ = true;
    return ask_to_end("the worker's time is up (limits.time, " + std::to_string(plan_.time->count()) + " s)");
  }
  signal_worker(SIGKILL);
  if (!std::exchange(said_killing_, true))
    say("the worker has not ended within " +
        std::to_string(std::chrono::floor<std::chrono::seconds>(Clock::now() - asked_at_).count()) +
        " s of SIGTERM: it gets SIGKILL");
  deadline_ = Clock::now() + limits::kTermGrace;
}

// Once: a second SIGTERM means "at once" to many a worker, rq's among them.
void Supervisor::ask_to_end(const std::string& why) {
  const bool has_it = std::exchange(was_asked_, true);
  if (!has_it) signal_worker(SIGTERM);
  we_have_asked_ |= !has_it;
  if (!kills_next_) kill_after_grace();
  const auto left = std::chrono::ceil<std::chrono::seconds>(*deadline_ - Clock::now());
  say(why +
      (has_it ? ": the worker has had SIGTERM, and gets SIGKILL after "
              : ": the worker gets SIGTERM, and SIGKILL after ") +
      std::to_string(left.count()) + " s");
}

int Supervisor::time_to_wait() const {
  if (!deadline_ && !next_word_) return -1;
  constexpr auto kNever = Clock::time_point::max();
  const auto next = std::min(deadline_.value_or(kNever), next_word_.value_or(kNever));
  return milliseconds_until(next);
}

int Supervisor::poll_timeout() {
  constexpr auto kLook = static_cast<int>(kLooksAtItsTerminal.count());
  const int left = time_to_wait();
  if (!input_.waits_for_a_terminal()) return left;
  return left < 0 ? kLook : std::min(left, kLook);
}

// The sandbox is dead, so this ends with what the pipes still hold, unless the reader of our output hangs: then a
// signal or the time limit lets go of it, or kTermGrace where the worker was asked to end; what is left is dropped.
void Supervisor::drain_output() {
  for (;;) {
    output_.read_the_rest();
    error_.read_the_rest();
    if (output_.done() && error_.done()) return;
    std::array<pollfd, 3> entries = {output_.wanted().value_or(pollfd{-1, 0, 0}),
                                     error_.wanted().value_or(pollfd{-1, 0, 0}),
                                     pollfd{signals_.descriptor(), POLLIN, 0}};
    const int ready = ::poll(entries.data(), entries.size(), time_to_wait());
    if (ready == 0 || (ready < 0 && errno != EINTR)) return;
    if (entries[0].revents != 0) output_.step();
    if (entries[1].revents != 0) error_.step();
    if (entries[2].revents != 0 && wish_to_end(signals_.pending()) != 0) return;
  }
}

}  // namespace sallyport::launcher
