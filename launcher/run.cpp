#include "launcher/run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "launcher/private_broker.hpp"
#include "launcher/say.hpp"
#include "launcher/session_end.hpp"
#include "launcher/status.hpp"
#include "launcher/supervise.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/syscalls.hpp"

extern char** environ;

namespace sallyport::launcher {
namespace {

constexpr std::chrono::seconds kSetupDeadline{30};

Environment callers_environment() {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

struct Prepared {
  BrokerConfig config;
  Profile profile;
  Plan plan;
};
Result<Prepared> prepare(const Options& options) {
  Prepared prepared;
  prepared.config = TRY(configuration(options));
  TRY(check_span(prepared.config.uid_span));
  const ProfileName name = TRY(ProfileName::parse(options.subject));
  prepared.profile = TRY(load_profile(prepared.config.profile_directory, name));
  TRY(check_against(prepared.profile, prepared.config));
  const HostFacts host = TRY(gather_host_facts(prepared.profile.sandbox));
  prepared.plan = TRY(make_plan(prepared.profile, host, options.command, callers_environment()));
  return prepared;
}

// Nothing of the caller's but 0, 1, 2 and the status descriptor is in our tree from here on.
Result<> close_callers_descriptors(const Options& options) {
  for (int standard = 0; standard < 3; ++standard) {
    if (::fcntl(standard, F_GETFD) >= 0) continue;
    if (::open("/dev/null", O_RDWR) != standard) return fail("stand in for a closed standard descriptor");
  }
  std::array<int, 1> keep{};
  std::size_t count = 0;
  if (options.status_fd && *options.status_fd > 2) keep[count++] = *options.status_fd;
  if (const int error = close_all_but({keep.data(), count})) return fail_errno("close the caller's descriptors", error);
  if (!options.status_fd) return {};
  if (::fcntl(*options.status_fd, F_GETFD) < 0)
    return fail_errno("--status-fd " + std::to_string(*options.status_fd) + " is not an open descriptor");
  if (*options.status_fd > 2) ::fcntl(*options.status_fd, F_SETFD, FD_CLOEXEC);
  return {};
}

Result<UidRange> take_ids(const BrokerConfig& config) {
  const std::string& directory = config.runtime_directory;
  if (::mkdir(directory.c_str(), 0711) != 0 && errno != EEXIST)
    return fail_errno("make the runtime directory " + directory + " (choose another with --runtime-dir)");
  return take_uid_range(directory, config.uid_span.first, config.uid_span.last, limits::kRangeFreeWithin);
}

void say_what_is_not_enforced(std::string where, const std::vector<std::string>& limits) {
  for (const std::string& limit : limits) where += " " + limit;
  if (!limits.empty()) complain("not enforced " + where);
}

void warn_of_limits(const Plan& plan, const std::vector<std::string>& not_enforced_on_containers) {
  if (const std::string what = core_warning(); !what.empty()) complain(what);
  say_what_is_not_enforced("for a worker in this version:", plan.not_enforced);
  say_what_is_not_enforced("for containers on this host:", not_enforced_on_containers);
}

// What a failure before the worker has started means for whoever could try again.
enum class Failure : std::uint8_t { Misconfigured, MayPass, Other };

class Run {
 public:
  Run(const Options& options, Signals& signals, RunRecord& record)
      : options_(options), signals_(signals), record_(record) {}
  Result<> go();
  void wait_until_gone();
  Failure failure() const { return failure_; }

 private:
  Result<> prepare_to_launch();
  Result<> open_session();
  Result<> wait_for(int descriptor);
  Result<std::vector<UniqueFd>> receive_listeners();

  const Options& options_;
  Signals& signals_;
  RunRecord& record_;
  Failure failure_ = Failure::Other;
  Prepared prepared_;
  std::optional<UidRange> range_;
  std::optional<PrivateBroker> broker_;  // before the session: it ends after it
  std::optional<Sandbox> sandbox_;
  std::optional<BrokerSession> session_;
  std::vector<std::string> not_enforced_on_containers_;
  bool has_run_ = false;
};

// A wait of the time before the worker runs: ends early when init fails, when the caller gives up, or by its deadline.
Result<> Run::wait_for(int descriptor) {
  std::array<pollfd, 3> entries = {pollfd{descriptor, POLLIN, 0}, pollfd{sandbox_->control(), POLLIN, 0},
                                   pollfd{signals_.descriptor(), POLLIN, 0}};
  const int timeout = static_cast<int>(std::chrono::milliseconds(kSetupDeadline).count());
  int ready;
  do ready = ::poll(entries.data(), entries.size(), timeout);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_errno("wait for the session");
  if (ready == 0) return fail("the session was not open within " + std::to_string(kSetupDeadline.count()) + " s");
  if (entries[0].revents != 0) return {};
  if (entries[2].revents != 0) return fail("a signal came before the worker had started");
  failure_ = Failure::Other;  // of init, whoever else is waited for
  auto report = TRY(sandbox_->next_report());
  if (!report) return fail("the sandbox's init was killed");
  if (report->message.word == InitWord::Failed) return std::unexpected(explain(prepared_.plan, report->message));
  return fail("init said something out of turn");
}

Result<std::vector<UniqueFd>> Run::receive_listeners() {
  TRY(wait_for(sandbox_->control()));
  auto report = TRY(sandbox_->next_report());
  if (!report) return fail("the sandbox's init was killed");
  if (report->message.word == InitWord::Failed) return std::unexpected(explain(prepared_.plan, report->message));
  if (report->message.word != InitWord::Listening || report->descriptors.size() != prepared_.plan.listeners.size())
    return fail("init sent other listeners than planned");
  return std::move(report->descriptors);
}

Result<> Run::open_session() {
  const auto listeners = TRY(receive_listeners());
  failure_ = Failure::MayPass;
  session_.emplace(broker_ ? broker_->take_connection() : TRY(connect_to_broker(prepared_.config)));
  const BrokerSession::Offer offer{.profile = prepared_.profile,
                                   .plan = prepared_.plan,
                                   .range = *range_,
                                   .init = sandbox_->init(),
                                   .stream = sandbox_->stream().get(),
                                   .listeners = listeners};
  const auto opened = TRY(session_->open(offer, [this](int descriptor) { return wait_for(descriptor); }));
  sandbox_->stream().reset();
  failure_ = Failure::Other;
  record_.session = opened.session.text();
  speak_of_session(record_.session);
  for (const auto& limit : opened.not_enforced.items) not_enforced_on_containers_.push_back(limit.value);
  record_.not_enforced.insert(record_.not_enforced.end(), not_enforced_on_containers_.begin(),
                              not_enforced_on_containers_.end());
  const auto started = sandbox_->start_worker();
  // The broker may have ended it meanwhile: why says more than that init is dead.
  if (!started)
    if (const auto why = session_->says_why(limits::kBrokerSaysWhy)) return fail(*why);
  return started;
}

// What is wrong in a file is wrong until somebody mends it; a file that cannot be read just now may pass.
Result<> Run::prepare_to_launch() {
  auto prepared = prepare(options_);
  if (!prepared) {
    const int error = prepared.error().code;
    if (error == 0 || error == ENOENT || error == ENOTDIR || error == ELOOP) failure_ = Failure::Misconfigured;
    return std::unexpected(prepared.error());
  }
  prepared_ = *std::move(prepared);
  prepared_.plan.says_running = !notify_socket().empty();
  record_.not_enforced = prepared_.plan.not_enforced;
  return {};
}

Result<> Run::go() {
  TRY(prepare_to_launch());
  const Plan& plan = prepared_.plan;
  failure_ = Failure::MayPass;
  range_.emplace(TRY(take_ids(prepared_.config)));
  failure_ = Failure::Other;
  if (plan.opens_session() && options_.private_broker)
    broker_.emplace(TRY(PrivateBroker::start(options_, prepared_.config)));
  sandbox_.emplace(TRY(Sandbox::start(plan, *range_)));
  if (plan.opens_session()) TRY(open_session());
  warn_of_limits(plan, not_enforced_on_containers_);
  Supervisor supervisor(plan, *sandbox_, signals_, session_ ? &*session_ : nullptr);
  record_.outcome = supervisor.run();
  has_run_ = true;
  return {};
}

void Run::wait_until_gone() {
  if (has_run_ && session_) wait_for_session_end(*session_, signals_, record_.outcome);
}

RunRecord new_record(const Options& options) { return {.profile = options.subject, .instance = options.instance}; }

Result<Signals> take_over(const Options& options) {
  TRY(close_callers_descriptors(options));
  if (::geteuid() != 0)
    return fail("run needs root, to take uids and to mount: use sudo, or the unit sallyport-worker@.service");
  if (const int error = leave_the_callers_flushing()) return fail_errno("leave the caller's I/O flushing", error);
  return Signals::take();
}

void say_how_it_ended(const Outcome& outcome) {
  if (outcome.dropped_output_bytes > 0)
    complain(std::to_string(outcome.dropped_output_bytes) + " bytes of the worker's output were dropped");
  if (!outcome.reason.empty() && !outcome.was_said) complain(outcome.reason, Priority::Error);
}

// Tries once. True where it failed before the worker had started, and for what may pass.
bool try_to_run(const Options& options, Signals& signals, RunRecord& record) {
  record = new_record(options);
  Run running(options, signals, record);
  const auto outcome = running.go();
  if (!outcome) {
    record.outcome = Outcome{.ended = Outcome::Ended::NotBuilt, .reason = outcome.error().text()};
    record.outcome.is_misconfigured = running.failure() == Failure::Misconfigured;
    if (options.retry && running.failure() == Failure::MayPass) return true;
  }
  say_how_it_ended(record.outcome);
  running.wait_until_gone();
  return false;
}

// A newline in it would begin another word to systemd.
std::string one_line(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

// False: a signal asks to end first.
bool wait_before_next(std::chrono::seconds pause, Signals& signals, Outcome& outcome) {
  const auto until = std::chrono::steady_clock::now() + pause;
  for (;;) {
    for (const int signal : signals.pending())
      if (asks_to_end(signal)) outcome.asked_to_end_by = signal;
    if (outcome.asked_to_end_by != 0) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    if (left <= 0) return true;
    pollfd signalled{signals.descriptor(), POLLIN, 0};
    (void)::poll(&signalled, 1, static_cast<int>(left));
  }
}

void run_until_it_has_run(const Options& options, Signals& signals, RunRecord& record) {
  std::string said;
  for (std::chrono::seconds pause = limits::kFirstRetryOfALaunch; try_to_run(options, signals, record);
       pause = std::min(2 * pause, limits::kLastRetryOfALaunch)) {
    const std::string& why = record.outcome.reason;
    if (why != said)
      complain(why + "; it is tried again until it can be done, at least every " +
                   std::to_string(limits::kLastRetryOfALaunch.count()) + " s",
               Priority::Notice);
    said = why;
    // Ready, in that nothing is left that whoever has started the unit could mend in its files.
    tell_systemd("READY=1\nSTATUS=waiting: " + one_line(why));
    if (!wait_before_next(pause, signals, record.outcome))
      return complain(why + "; asked to end, it is not tried again");
  }
}

}  // namespace

int run(const Options& options) {
  speak_for(options.subject, options.instance);
  RunRecord record = new_record(options);
  if (auto signals = take_over(options)) {
    run_until_it_has_run(options, *signals, record);
  } else {
    record.outcome = Outcome{.ended = Outcome::Ended::NotBuilt, .reason = signals.error().text()};
    say_how_it_ended(record.outcome);
  }
  if (options.status_fd) write_status(*options.status_fd, record);
  return record.outcome.exit_code();
}

int print_plan(const Options& options) {
  const auto prepared = prepare(options);
  if (!prepared) {
    complain(prepared.error().text());
    return 125;
  }
  const std::string text = render_plan(prepared->plan);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t size = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (size < 0 && errno != EINTR) {
      complain(fail_errno("write the plan").error().text());
      return 125;
    }
    if (size > 0) done += static_cast<std::size_t>(size);
  }
  return 0;
}

}  // namespace sallyport::launcher
