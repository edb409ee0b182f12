#include "launcher/private_broker.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "launcher/child_setup.hpp"
#include "launcher/dispatch.hpp"
#include "launcher/say.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

extern char** environ;

namespace sallyport::launcher {
namespace {

constexpr int kPrivateFd = 3;  // what the broker is told by --private-fd
constexpr int kPatience = 1000 * static_cast<int>(limits::kEndPatience.count());  // milliseconds

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

// Ours, but that it is not the unit: what it told systemd would be taken for our word.
std::vector<char*> environment_of_its_own() {
  std::vector<char*> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("NOTIFY_SOCKET=")) result.push_back(*entry);
  result.push_back(nullptr);
  return result;
}

Result<> make_parent(const std::string& path) {
  if (::mkdir(path.c_str(), 0711) != 0 && errno != EEXIST) return fail_errno("make " + path);
  return {};
}

// Held for as long as it is open; empty: another run holds it. A link is not followed, for the directory above may be
// the keeper's.
Result<UniqueFd> hold_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + path);
  UniqueFd held = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!held) return fail_errno("open the private broker's directory " + path);
  if (::flock(held.get(), LOCK_EX | LOCK_NB) == 0) return held;
  if (errno != EWOULDBLOCK) return fail_errno("lock " + path);
  return UniqueFd();
}

struct Place {
  std::string state, log;
  UniqueFd state_lock, log_lock;
};

// The first that is free.
Result<Place> take_place(const std::string& profile, const BrokerConfig& config) {
  TRY(make_parent(config.state_directory));
  TRY(make_parent(config.log_directory));
  for (std::uint32_t number = 0; number < config.max_sessions; ++number) {
    const std::string name = "/private-" + profile + "." + std::to_string(number);
    Place place{config.state_directory + name, config.log_directory + name, {}, {}};
    place.state_lock = TRY(hold_directory(place.state));
    if (!place.state_lock) continue;
    place.log_lock = TRY(hold_directory(place.log));
    if (place.log_lock) return place;
  }
  return fail_for_now("profile " + profile + " has " + std::to_string(config.max_sessions) +
                      " runs with private brokers already: max_sessions in broker.toml allows no more");
}

// No PDEATHSIG: if we are killed, the broker sees its connection close and cleans up after us.
Result<Child> spawn(const std::string& program, const std::vector<std::string>& arguments, int connection) {
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> environment = environment_of_its_own();
  int pidfd = -1;
  clone_args clone{};
  clone.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  clone.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  clone.exit_signal = SIGCHLD;
  const pid_t pid = clone3(clone);
  if (pid < 0) return fail_errno("start " + program);
  if (pid > 0) return Child::from_pidfd(UniqueFd::adopt(pidfd));
  ::setsid();  // a terminal's ^C is for the worker; the broker ends when the session does
  int ready = 0;
  if (connection == kPrivateFd) ready = ::fcntl(connection, F_SETFD, 0);
  if (connection >= 0 && connection != kPrivateFd) ready = ::dup2(connection, kPrivateFd);
  const int keep = kPrivateFd;
  if (ready < 0 || default_signals() != 0 || close_all_but({&keep, connection >= 0 ? 1U : 0U}) != 0) ::_exit(125);
  ::execve(program.c_str(), argv.data(), environment.data());
  ::_exit(125);
}

std::vector<std::string> broker_arguments(const Options& options, const BrokerConfig& config, const std::string& state,
                                          const std::string& log) {
  std::vector<std::string> arguments = {"sallyport-broker"};
  if (options.config) arguments.insert(arguments.end(), {"--config", *options.config});
  arguments.insert(arguments.end(),
                   {"--profile-dir", config.profile_directory, "--state-dir", state, "--log-dir", log, "--runtime-dir",
                    config.runtime_directory, "--docker-socket", config.docker_socket});
  return arguments;
}

}  // namespace

Result<PrivateBroker> PrivateBroker::start(const Options& options, const BrokerConfig& config) {
  PrivateBroker broker;
  broker.program_ = TRY(find_program("sallyport-broker"));
  Place place = TRY(take_place(options.subject, config));
  broker.arguments_ = broker_arguments(options, config, place.state, place.log);
  broker.state_directory_ = std::move(place.state);
  broker.state_lock_ = std::move(place.state_lock);
  broker.log_lock_ = std::move(place.log_lock);
  auto [ours, theirs] = TRY(seqpacket_pair());
  auto arguments = broker.arguments_;
  arguments.insert(arguments.end(), {"--private-fd", std::to_string(kPrivateFd)});
  broker.process_ = TRY(spawn(broker.program_, arguments, theirs.get()));
  broker.connection_ = std::move(ours);
  return broker;
}

bool PrivateBroker::ended_well() {
  (void)process_.handle().has_ended(kPatience);
  const auto status = process_.try_reap();
  return status && *status && (*status)->shell_code() == 0;
}

bool PrivateBroker::reap() {
  auto arguments = arguments_;
  arguments.push_back("--reap-only");
  process_ = Child();  // killed, where it hangs
  auto reaper = spawn(program_, arguments, -1);
  if (!reaper) return false;
  process_ = std::move(*reaper);
  return ended_well();
}

void PrivateBroker::finish() {
  if (!process_) return;
  connection_.reset();
  if (!ended_well() && !reap())
    return complain("the private broker died and what it left could not be removed; its ledger is in " +
                    state_directory_);
  std::error_code error;
  // A ledger that outlives its session tells of containers that dockerd has not removed (broker/keeper/reaper.hpp), and
  // of creates whose outcome is unknown (broker/keeper/late_creates.hpp).
  if (!std::filesystem::is_empty(state_directory_ + "/sessions", error) && !error)
    return complain(
        "a container of this run, or of one before it, is left, or dockerd may still make one; in some minutes "
        "`sallyport-broker --reap-only --state-dir " +
        state_directory_ + "` removes it, or the next run");
}

}  // namespace sallyport::launcher
