#include "launcher/run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
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
#include "sallyport/poll_time.hpp"
#include "sallyport/printable.hpp"
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

class Run {
 public:
  Run(const Options& options, Signals& signals, RunRecord& record)
      : options_(options), signals_(signals), record_(record) {}
  Result<> go();
  void wait_until_gone();
  bool is_misconfigured() const { return is_misconfigured_; }
  int asked_to_end_by() const { return asked_to_end_by_; }

 private:
  Result<> prepare_to_launch();
  Result<> open_session();
  Result<> look_for_a_broker() const;
  Result<> wait_for(int descriptor);
  bool is_asked_to_end();
  Result<std::vector<UniqueFd>> receive_listeners();

  const Options& options_;
  Signals& signals_;
  RunRecord& record_;
  Prepared prepared_;
  std::optional<UidRange> range_;
  std::optional<PrivateBroker> broker_;  // before the session: it ends after it
  std::optional<Sandbox> sandbox_;
  std::optional<BrokerSession> session_;
  std::vector<std::string> not_enforced_on_containers_;
  bool has_run_ = false;
  bool is_misconfigured_ = false;  // it has failed for what the files say
  int asked_to_end_by_ = 0;        // a signal, before the worker has started
  std::vector<int> others_;
};

// Any other signal is the worker's, once there is one.
bool Run::is_asked_to_end() {
  const std::vector<int> signals = signals_.pending();
  asked_to_end_by_ = wish_to_end(signals);
  others_.insert(others_.end(), signals.begin(), signals.end());
  return asked_to_end_by_ != 0;
}

// A wait of the time before the worker runs: ends early when init fails, when the caller gives up, or by its deadline.
Result<> Run::wait_for(int descriptor) {
  std::array<pollfd, 3> entries = {pollfd{descriptor, POLLIN, 0}, pollfd{sandbox_->control(), POLLIN, 0},
                                   pollfd{signals_.descriptor(), POLLIN, 0}};
  const auto until = std::chrono::steady_clock::now() + kSetupDeadline;
  int ready;
  do ready = ::poll(entries.data(), entries.size(), milliseconds_until(until));
  while ((ready < 0 && errno == EINTR) || (ready == 1 && entries[2].revents != 0 && !is_asked_to_end()));
  if (ready < 0) return fail_errno("wait for the session");
  if (ready == 0)
    return fail_for_now("the session was not open within " + std::to_string(kSetupDeadline.count()) + " s");
  if (entries[0].revents != 0) return {};
  if (asked_to_end_by_ != 0) return fail("a signal came before the worker had started");
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
  session_.emplace(broker_ ? broker_->take_connection() : TRY(connect_to_broker(prepared_.config)));
  const BrokerSession::Offer offer{.profile = prepared_.profile,
                                   .plan = prepared_.plan,
                                   .range = *range_,
                                   .init = sandbox_->init(),
                                   .stream = sandbox_->stream().get(),
                                   .listeners = listeners};
  const auto opened = TRY(session_->open(offer, [this](int descriptor) { return wait_for(descriptor); }));
  sandbox_->stream().reset();
  record_.session = opened.session.text();
  speak_of_session(record_.session);
  for (const auto& limit : opened.not_enforced.items) not_enforced_on_containers_.push_back(printable(limit.value));
  record_.not_enforced.insert(record_.not_enforced.end(), not_enforced_on_containers_.begin(),
                              not_enforced_on_containers_.end());
  const auto started = sandbox_->start_worker();
  // The broker may have ended it meanwhile: why says more than that init is dead.
  if (!started)
    if (const auto why = session_->says_why(limits::kBrokerSaysWhy)) return fail(*why);
  return started;
}

Result<> Run::prepare_to_launch() {
  auto prepared = prepare(options_);
  if (!prepared) {
    is_misconfigured_ = is_misconfiguration(prepared.error());
    return std::unexpected(prepared.error());
  }
  prepared_ = *std::move(prepared);
  prepared_.plan.says_running = !notify_socket().empty();
  record_.not_enforced = prepared_.plan.not_enforced;
  return {};
}

// Before a sandbox is built, where it may well be that no broker would take it.
Result<> Run::look_for_a_broker() const {
  const bool waits_for_one = prepared_.plan.opens_session() && options_.retry && !options_.private_broker;
  if (waits_for_one) (void)TRY(connect_to_broker(prepared_.config));
  return {};
}

Result<> Run::go() {
  TRY(prepare_to_launch());
  const Plan& plan = prepared_.plan;
  TRY(look_for_a_broker());
  range_.emplace(TRY(take_ids(prepared_.config)));
  if (plan.opens_session() && options_.private_broker)
    broker_.emplace(TRY(PrivateBroker::start(options_, prepared_.config)));
  sandbox_.emplace(TRY(Sandbox::start(plan, *range_)));
  if (plan.opens_session()) TRY(open_session());
  warn_of_limits(plan, not_enforced_on_containers_);
  for (const int signal : others_) signals_.keep(signal);
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

// `--retry`: until the worker has run, or what fails will not pass.
class Tries {
 public:
  Tries(const Options& options, Signals& signals, RunRecord& record)
      : options_(options), signals_(signals), record_(record) {}
  void run();

 private:
  bool once();  // true: it is to be tried again
  bool is_tried_again(bool may_pass);
  void say_that_it_waits();
  bool wait(std::chrono::milliseconds pause);  // false: a signal asks to end first

  const Options& options_;
  Signals& signals_;
  RunRecord& record_;
  std::string said_;
  bool was_wrong_ = false;  // the files, when they were read last
};

// What is wrong in a file is wrong until somebody mends it. But it may be met half written: it must be wrong twice.
bool Tries::is_tried_again(bool may_pass) {
  if (!options_.retry || record_.outcome.asked_to_end_by != 0) return false;
  const bool is_wrong = record_.outcome.is_misconfigured;
  const bool was_wrong = std::exchange(was_wrong_, is_wrong);
  return is_wrong ? !was_wrong : may_pass;
}

bool Tries::once() {
  record_ = new_record(options_);
  Run running(options_, signals_, record_);
  const auto outcome = running.go();
  if (!outcome)
    record_.outcome = Outcome{.ended = Outcome::Ended::NotBuilt,
                              .is_misconfigured = running.is_misconfigured(),
                              .asked_to_end_by = running.asked_to_end_by(),
                              .reason = outcome.error().text()};
  record_.outcome.for_a_unit = options_.retry;
  const bool again = is_tried_again(!outcome && outcome.error().may_pass);
  if (!again) say_how_it_ended(record_.outcome);
  running.wait_until_gone();
  return again;
}

void Tries::say_that_it_waits() {
  const std::string& why = record_.outcome.reason;
  if (record_.outcome.is_misconfigured) return complain(why + "; it is looked at once more");
  if (why != said_)
    complain(why + "; it is tried again until it can be done, at least every " +
             std::to_string(limits::kLastRetryOfALaunch.count()) + " s");
  said_ = why;
  // Ready, in that nothing is left that whoever has started the unit could mend in its files.
  tell_systemd("READY=1\nSTATUS=waiting: " + printable(why));
}

bool Tries::wait(std::chrono::milliseconds pause) {
  const auto until = std::chrono::steady_clock::now() + pause;
  for (;;) {
    record_.outcome.asked_to_end_by = wish_to_end(signals_.pending());
    if (record_.outcome.asked_to_end_by != 0) return false;
    const int left = milliseconds_until(until);
    if (left == 0) return true;
    pollfd signalled{signals_.descriptor(), POLLIN, 0};
    (void)::poll(&signalled, 1, left);
  }
}

// Of many that wait for one broker each has another pause: half of it is by chance.
std::chrono::milliseconds by_chance(std::chrono::milliseconds pause) {
  std::uint16_t random = 0;
  (void)::getrandom(&random, sizeof random, GRND_NONBLOCK);
  return pause / 2 + pause / 2 * random / 65535;
}

void Tries::run() {
  for (std::chrono::seconds pause = limits::kFirstRetryOfALaunch; once();
       pause = std::min(2 * pause, limits::kLastRetryOfALaunch)) {
    say_that_it_waits();
    if (!wait(by_chance(pause))) return complain(record_.outcome.reason + "; asked to end, it is not tried again");
  }
}

}  // namespace

int run(const Options& options) {
  speak_for(options.subject, options.instance);
  RunRecord record = new_record(options);
  if (auto signals = take_over(options)) {
    Tries(options, *signals, record).run();
  } else {
    record.outcome = Outcome{.ended = Outcome::Ended::NotBuilt,
                             .is_misconfigured = signals.error().code == EBADF,  // --status-fd
                             .reason = signals.error().text()};
    say_how_it_ended(record.outcome);
  }
  if (options.status_fd) write_status(*options.status_fd, record);
  return record.outcome.exit_code();
}

int print_plan(const Options& options) {
  const auto prepared = prepare(options);
  if (!prepared) {
    complain(prepared.error().text());
    return is_misconfiguration(prepared.error()) ? kMisconfigured : 125;
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
