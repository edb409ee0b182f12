// TRUSTED SIDE. sallyport-broker: two processes from the start, so that neither holds all. The keeper (child) has
// dockerd's group, an ordinary uid and no capability; the spawner (parent, systemd's main process) has capabilities and
// not that group. They share one channel, and each ends when the other does.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <string>
#include <tuple>

#include "broker/keeper/keeper.hpp"
#include "broker/options.hpp"
#include "broker/privileges.hpp"
#include "broker/process_start.hpp"
#include "broker/span_in_use.hpp"
#include "broker/spawner/spawner.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/log.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/service_manager.hpp"

namespace sallyport {
namespace {

struct Broker {
  keeper::KeeperInputs keeper;
  spawner::SpawnerInputs spawner;
  KeeperIdentity identity;
  UniqueFd lock;
};

Result<> connect_processes(Broker& broker) {
  std::tie(broker.keeper.spawner_channel, broker.spawner.keeper_channel) = TRY(seqpacket_pair());
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("make a pipe");
  broker.spawner.ready = UniqueFd::adopt(ready[0]);
  broker.keeper.ready = UniqueFd::adopt(ready[1]);
  return {};
}

Result<Broker> prepare(const Options& options, const BrokerConfig& config) {
  Broker broker;
  broker.spawner.programs = TRY(spawner::open_programs());
  broker.identity = TRY(identify_keeper(config));
  if (options.private_fd) broker.keeper.private_peer = TRY(adopt_private_peer(*options.private_fd));
  TRY(make_directories(config, broker.identity));
  broker.lock = TRY(lock_broker(config));
  if (!options.private_fd)
    if (const std::string who = foreign_processes(config); !who.empty()) log::warning(who);
  if (!options.private_fd && !options.reap_only) broker.keeper.control_listener = TRY(make_control_socket(config));
  TRY(connect_processes(broker));
  broker.keeper.config = broker.spawner.config = config;
  broker.keeper.reap_only = options.reap_only;
  broker.spawner.docker_group = broker.identity.docker_group;
  broker.spawner.root_mount_point = root_mount_point(config);
  return broker;
}

// Blocked before the fork, so that one that comes at once is not lost and ends nobody: it waits in the spawner's
// signalfd, or until the keeper listens.
Result<sigset_t> block_signals() {
  sigset_t heard;
  sigemptyset(&heard);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&heard, signal);
  if (::sigprocmask(SIG_BLOCK, &heard, nullptr) != 0) return fail_errno("block signals");
  return heard;
}

// The trust change of the keeper: from root to a user that has nothing but dockerd's group.
Result<int> run_as_keeper(Broker& broker) {
  broker.spawner = {};
  // A terminal's ^C reaches it once, by the spawner.
  (void)::setsid();
  [[maybe_unused]] const int held = broker.lock.release();  // until this process ends
  if (const int error = leave_no_core(); error != 0) return fail_errno("limit core files", error);
  const KeeperIdentity& identity = broker.identity;
  if (const int error = become({identity.uid, identity.gid, identity.docker_group}); error != 0)
    return fail_errno("drop the keeper's privileges", error);
  for (const std::string& directory : {broker.keeper.config.state_directory, broker.keeper.config.log_directory})
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0)
      return fail_errno("the keeper's user " + broker.keeper.config.user + " cannot use " + directory +
                        "; each directory above it must let others pass (chmod o+x)");
  return keeper::run_keeper(std::move(broker.keeper));
}

Result<int> run_as_spawner(Broker& broker, const sigset_t& blocked, Child keeper) {
  const bool made_socket = static_cast<bool>(broker.keeper.control_listener);
  const std::string socket = broker.spawner.config.control_socket();
  broker.keeper = {};
  broker.spawner.keeper = std::move(keeper);
  broker.spawner.signals = UniqueFd::adopt(::signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!broker.spawner.signals) return fail_errno("make a signalfd");
  TRY(spawner::lock_down_spawner());
  const int code = spawner::run_spawner(std::move(broker.spawner));
  if (made_socket) (void)::unlink(socket.c_str());  // nobody accepts there any more
  return code;
}

Result<int> run_broker(const Options& options) {
  TRY(normalise_process(options.private_fd));
  log::get_ready();
  const auto config = configure(options);
  if (!config) {
    log::error(config.error().text());
    return is_misconfiguration(config.error()) ? kMisconfigured : 1;
  }
  Broker broker = TRY(prepare(options, *config));
  const sigset_t blocked = TRY(block_signals());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork the keeper");
  if (pid == 0) return run_as_keeper(broker);
  Child keeper = TRY(Child::from_pid(pid));
  return run_as_spawner(broker, blocked, std::move(keeper));
}

}  // namespace
}  // namespace sallyport

int main(int argc, char** argv) {
  const auto code = sallyport::run_broker(sallyport::parse_options(argc, argv));
  if (!code) sallyport::log::error(code.error().text());
  return code.value_or(1);
}
