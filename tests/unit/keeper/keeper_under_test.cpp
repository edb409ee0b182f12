#include "keeper_under_test.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "broker/keeper/keeper.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/syscalls.hpp"

#ifdef SALLYPORT_ASAN
// Of freed memory, 256 MiB by default: tests look at what the keeper's process holds.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=4"; }
#endif

namespace sallyport::testing_support {

namespace spawner = protocol::spawner;

namespace {

UniqueFd listen_at(const std::string& path, int type) {
  UniqueFd fd = UniqueFd::adopt(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 16) != 0)
    std::abort();
  return fd;
}

UniqueFd connect_to(const std::string& path) {
  UniqueFd fd = UniqueFd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
  return fd;
}

BrokerConfig config_in(const std::string& directory) {
  BrokerConfig config;
  config.profile_directory = directory + "/profiles";
  config.state_directory = directory + "/state";
  config.log_directory = directory + "/log";
  config.runtime_directory = directory;
  config.docker_socket = directory + "/docker.sock";
  config.open = {{*ProfileName::parse("worker"), {::getuid(), kUser}, {}}};
  return config;
}

}  // namespace

std::optional<Received> receive_within(int socket, int milliseconds) {
  pollfd entry{socket, POLLIN, 0};
  if (::poll(&entry, 1, milliseconds) != 1) return {};
  std::vector<std::byte> buffer(limits::kMaxMessageBytes);
  auto datagram = receive_datagram(socket, buffer);
  if (!datagram) return Received{};  // reset: as good as closed
  buffer.resize(datagram->size);
  return Received{std::move(buffer), std::move(datagram->fds)};
}

KeeperUnderTest::KeeperUnderTest(const Options& options) {
  char made[] = "/tmp/sallyport-keeper-XXXXXX";
  directory_ = ::mkdtemp(made);
  for (const char* part : {"/profiles", "/state", "/state/sessions", "/log"})
    std::filesystem::create_directories(directory_ + part);
  std::ofstream(directory_ + "/profiles/worker.toml") << options.profile;
  ::chmod((directory_ + "/profiles/worker.toml").c_str(), 0644);
  if (!options.ledger_session.empty()) {
    std::ofstream(directory_ + "/state/broker-id") << "00112233445566ff\n";
    std::ofstream(directory_ + "/state/sessions/" + options.ledger_session) << options.ledger_text;
  }
  for (const auto& [session, text] : options.more_ledgers)
    std::ofstream(directory_ + "/state/sessions/" + session) << text;
  dockerd_ = std::make_unique<FakeDockerd>(directory_ + "/docker.sock");
  reap_only_ = options.reap_only;
  max_sessions_ = options.max_sessions;
  ballast_ = options.ballast;
  ballast_waits_ = options.ballast_waits;
  open_files_ = options.open_files;
  if (options.start) start();
}

void KeeperUnderTest::start() {
  auto [ours, keepers] = *seqpacket_pair();
  UniqueFd listener = listen_at(directory_ + "/broker.sock", SOCK_SEQPACKET);
  keeper_pid_ = ::fork();
  if (keeper_pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Nothing of the test stays open in the keeper: a fake dockerd that has gone away must be gone.
    ::dup2(listener.release(), 200);
    ::dup2(keepers.release(), 201);
    (void)ours.release();
    const int log = ::open((directory_ + "/broker.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(log, STDERR_FILENO);
    close_range(3, 199, 0);
    close_range(202, ~0U, 0);
    const rlimit files{open_files_, open_files_};
    if (open_files_ != 0 && ::setrlimit(RLIMIT_NOFILE, &files) != 0) std::abort();
    keeper::KeeperInputs inputs;
    inputs.config = config_in(directory_);
    inputs.config.max_sessions = max_sessions_;
    inputs.reap_only = reap_only_;
    if (!reap_only_) inputs.control_listener = UniqueFd::adopt(200);
    inputs.spawner_channel = UniqueFd::adopt(201);
    if (ballast_ > 0)
      std::thread([bytes = ballast_, word = ballast_waits_ ? directory_ + "/ballast" : ""] {
        std::this_thread::sleep_for(std::chrono::milliseconds(word.empty() ? 200 : 0));
        while (!word.empty() && ::access(word.c_str(), F_OK) != 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        const std::vector<char> ballast(bytes, 'x');
        for (;;) ::pause();
      }).detach();
    ::_exit(keeper::run_keeper(std::move(inputs)));
  }
  keeper_ = ProcessHandle(UniqueFd::adopt(pidfd_open(keeper_pid_)));
  spawner_end_ = std::move(ours);
  spawner_ = std::thread([this] { run_spawner(); });
  init_pid_ = ::fork();
  if (init_pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0U, 0);
    for (;;) ::pause();
  }
}

void KeeperUnderTest::restart() {
  (void)exit_code(10'000);
  spawner_.join();
  kill_init();
  ::unlink((directory_ + "/broker.sock").c_str());
  start();
}

KeeperUnderTest::~KeeperUnderTest() {
  control_.reset();
  gate_.reset();
  dockerd_->go_away();
  if (keeper_pid_ > 0 && keeper_) {
    ::kill(keeper_pid_, SIGKILL);
    ::waitpid(keeper_pid_, nullptr, 0);
  }
  if (spawner_.joinable()) spawner_.join();
  kill_init();
  if (testing::Test::HasFailure()) std::cerr << log();
  std::filesystem::remove_all(directory_);
}

void KeeperUnderTest::kill_init() {
  if (init_pid_ <= 0) return;
  ::kill(init_pid_, SIGKILL);
  ::waitpid(init_pid_, nullptr, 0);
  init_pid_ = -1;
}

std::optional<int> KeeperUnderTest::exit_code(int milliseconds) {
  if (keeper_pid_ <= 0) return {};
  if (!keeper_.has_ended(milliseconds)) return {};
  int status = 0;
  ::waitpid(keeper_pid_, &status, 0);
  keeper_pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Starts nothing: a session's gate is this test.
void KeeperUnderTest::run_spawner() {
  std::vector<std::uint32_t> held;  // take-overs that are not answered yet
  for (;;) {
    auto received = receive_within(spawner_end_.get(), 60'000);
    if (!received || received->bytes.empty()) return;
    const auto request = decode_message<spawner::ToSpawnerEnvelope>(received->bytes);
    if (!request) return;
    const auto answer = [&](const spawner::FromSpawner& message, std::span<const int> fds = {}) {
      const spawner::FromSpawnerEnvelope envelope{request->number, message};
      (void)send_datagram(spawner_end_.get(), encode_message(envelope), fds);
    };
    const std::lock_guard lock(mutex_);
    if (const auto* take = std::get_if<spawner::TakeRange>(&request->message)) {
      if (ledger_ends_with_range_.exchange(false)) {
        session_ = take->session.text();
        let_ledger_grow(false);
      }
      answer(spawner::RangeTaken{next_uid_base_});
    } else if (const auto* start = std::get_if<spawner::StartSession>(&request->message)) {
      events_.push_back("start " + std::to_string(received->fds.size()));
      events_.push_back("start with the ledger\n" + ledger_of(start->session.text()));
      auto [tests, keepers] = *seqpacket_pair();
      auto [tests_relay, keepers_relay] = *seqpacket_pair();
      next_gate_ = std::move(tests);
      next_relay_ = std::move(tests_relay);
      std::vector<int> fds = {keepers.get()};
      if (start->forward_listeners > 0) fds.push_back(keepers_relay.get());
      answer(spawner::Started{}, fds);
    } else if (const auto* dial = std::get_if<spawner::Dial>(&request->message)) {
      const auto trail = audit();
      const auto recorded = std::ranges::count_if(
          trail, [](const std::string& line) { return line.contains(R"("event":"forward","decision":"ALLOW")"); });
      events_.push_back("dial with " + std::to_string(recorded) + " forwards recorded");
      events_.push_back("dial " + dial->address.value + (dial->tcp ? ":" + std::to_string(dial->port) : "") +
                        " with the group " + std::to_string(dial->extra_group));
      events_.emplace_back("dial");
      if (dials_end_with_ != 0) tell_keeper(spawner::DialDone{dial->session, dial->connection, dials_end_with_});
    } else if (std::holds_alternative<spawner::KillProcesses>(request->message)) {
      while (holds_kills_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      events_.emplace_back("kill");
      answer(spawner::ProcessesDead{});
      if (spawner_dies_after_kill_) return spawner_end_.reset();
    } else if (const auto* take_over = std::get_if<spawner::TakeOver>(&request->message)) {
      events_.push_back("take-over " + take_over->session.text() + " " + std::to_string(take_over->uid_base) +
                        " after " + std::to_string(dockerd_->times("DELETE ")) + " removals");
      if (mute_take_over_ == take_over->session.text()) continue;
      held.push_back(request->number);
      if (held.size() < take_overs_together_) continue;
      for (const std::uint32_t number : held)
        (void)send_datagram(spawner_end_.get(),
                            encode_message(spawner::FromSpawnerEnvelope{number, spawner::ProcessesDead{}}));
      held.clear();
      take_overs_together_ = 0;
    } else if (const auto* remove = std::get_if<spawner::RemoveCgroup>(&request->message)) {
      events_.push_back("remove-cgroup " + remove->session.text() + (remove->keeps_range ? " keeping its uids" : ""));
      spawner::FromSpawner message = spawner::CgroupRemoved{};
      if (stubborn_cgroups_ > 0 && stubborn_cgroups_-- > 0) message = spawner::SpawnFailed{"still in use"};
      answer(message);
    }
  }
}

void KeeperUnderTest::tell_keeper(const spawner::FromSpawner& message) {
  (void)send_datagram(spawner_end_.get(), encode_message(spawner::FromSpawnerEnvelope{0, message}));
}

void KeeperUnderTest::tell_keeper_of_dial(const spawner::DialDone& done, int upstream) {
  const int fds[] = {upstream};
  (void)send_datagram(spawner_end_.get(), encode_message(spawner::FromSpawnerEnvelope{0, done}), fds);
}

UniqueFd KeeperUnderTest::connect() const { return connect_to(directory_ + "/broker.sock"); }

void KeeperUnderTest::say_hello(int control, std::uint32_t uid_base) {
  handshake::OpenSession hello;
  hello.profile = *ProfileName::parse("worker");
  const auto profile = load_profile(directory_ + "/profiles", hello.profile);
  if (!profile) return ADD_FAILURE() << profile.error().text(), void();
  hello.profile_hash = profile->hash;
  hello.has_docker = true;
  hello.uid_base = uid_base;
  const UniqueFd launcher = UniqueFd::adopt(pidfd_open(::getpid()));
  const UniqueFd init = UniqueFd::adopt(pidfd_open(init_pid_));
  ::unlink((directory_ + "/inside.sock").c_str());
  const UniqueFd listener = listen_at(directory_ + "/inside.sock", SOCK_STREAM);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  const UniqueFd stream = UniqueFd::adopt(ends[0]);
  const UniqueFd other = UniqueFd::adopt(ends[1]);
  const UniqueFd uid_lock =
      UniqueFd::adopt(::open((directory_ + "/uid-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (uid_base != 0) (void)::flock(uid_lock.get(), LOCK_EX | LOCK_NB);
  std::vector<int> fds = {launcher.get(), init.get()};
  if (uid_base != 0) fds.push_back(uid_lock.get());
  fds.insert(fds.end(), {listener.get(), stream.get()});
  std::vector<UniqueFd> forwards;
  for (std::size_t i = 0; i < profile->forwards.size(); ++i) {
    const std::string path = directory_ + "/forward-" + std::to_string(i) + ".sock";
    ::unlink(path.c_str());
    forwards.push_back(listen_at(path, SOCK_STREAM));
    fds.push_back(forwards.back().get());
  }
  hello.forward_listeners = static_cast<std::uint8_t>(forwards.size());
  (void)send_datagram(control, encode_message(handshake::ToKeeper(hello)), fds);
}

std::optional<std::string> refusal_in(const handshake::FromKeeper& answer) {
  if (const auto* refused = std::get_if<handshake::Refused>(&answer)) return refused->reason.value;
  if (const auto* refused = std::get_if<handshake::RefusedForNow>(&answer)) return refused->reason.value;
  return std::nullopt;
}

bool KeeperUnderTest::hears_of_the_stop() const {
  const auto received = receive_within(control_.get(), 5000);
  if (!received) return false;
  const auto word = decode_message<handshake::FromKeeper>(received->bytes);
  return word && std::holds_alternative<handshake::EndWorker>(*word);
}

void KeeperUnderTest::worker_ends() const {
  (void)send_datagram(control_.get(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{})));
}

bool KeeperUnderTest::open(std::uint32_t uid_base, int milliseconds) {
  control_ = connect();
  say_hello(control_.get(), uid_base);
  const auto received = receive_within(control_.get(), milliseconds);
  if (!received) return refusal_ = "no answer", false;
  const auto answer = decode_message<handshake::FromKeeper>(received->bytes);
  if (!answer) return refusal_ = answer.error().text(), false;
  if (const auto refused = refusal_in(*answer)) return refusal_ = *refused, false;
  session_ = std::get<handshake::Opened>(*answer).session.text();
  {
    const std::lock_guard lock(mutex_);
    gate_ = std::move(next_gate_);
    relay_ = std::move(next_relay_);
  }
  kept_.clear();
  const auto welcome = reply(0);
  tally_ = {};
  if (fds_.size() == 1)
    if (auto opened = protocol::SharedTally::open(fds_.front().get())) tally_ = std::move(*opened);
  fds_.clear();
  return welcome && std::holds_alternative<protocol::Welcome>(welcome->reply);
}

void KeeperUnderTest::send(protocol::RequestId id, const protocol::Request& request) {
  send_raw(encode_message(protocol::RequestEnvelope{id, request}));
}
void KeeperUnderTest::send_raw(std::span<const std::byte> bytes, std::span<const int> fds) {
  for (int tries = 0; tries < 500; ++tries) {
    const auto sent = send_datagram(gate_.get(), bytes, fds);
    if (sent || sent.error().code != EAGAIN) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

std::optional<protocol::ReplyEnvelope> KeeperUnderTest::reply(protocol::RequestId id, int milliseconds) {
  if (const auto found = kept_.find(id); found != kept_.end()) {
    protocol::ReplyEnvelope envelope = std::move(found->second);
    kept_.erase(found);
    return envelope;
  }
  for (;;) {
    auto received = receive_within(gate_.get(), milliseconds);
    if (!received || received->bytes.empty()) return {};
    for (UniqueFd& fd : received->fds) fds_.push_back(std::move(fd));
    Reader replies(received->bytes);
    while (replies.left() > 0) {
      protocol::ReplyEnvelope envelope;
      if (!decode_next(replies, envelope)) return {};
      kept_.emplace(envelope.id, std::move(envelope));
    }
    if (const auto found = kept_.find(id); found != kept_.end()) return std::move(kept_.extract(found).mapped());
  }
}

protocol::Reply KeeperUnderTest::ask(const protocol::Request& request) {
  const protocol::RequestId id = ++last_id_;
  send(id, request);
  for (;;) {
    auto envelope = reply(id);
    if (!envelope) return protocol::Failed{0, "no reply", 0};
    if (!std::holds_alternative<protocol::Waiting>(envelope->reply) &&
        !std::holds_alternative<protocol::ListItem>(envelope->reply))
      return std::move(envelope->reply);
  }
}

protocol::CreateContainer KeeperUnderTest::create_request(const char* name) const {
  protocol::CreateContainer create;
  create.image = *ImageRef::parse("docker.io/library/busybox:latest");
  if (name != nullptr) create.name = *ContainerName::parse(name);
  return create;
}

std::vector<std::string> KeeperUnderTest::spawner_events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}
bool KeeperUnderTest::spawner_saw(const std::string& event, int milliseconds) const {
  return eventually(
      [&] {
        const std::vector<std::string> events = spawner_events();
        return std::ranges::find(events, event) != events.end();
      },
      milliseconds);
}

std::size_t KeeperUnderTest::own_memory() const {
  std::ifstream statm("/proc/" + std::to_string(keeper_pid_) + "/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  std::size_t shared = 0;
  statm >> size >> resident >> shared;
  return (resident - shared) * 4096;
}

}  // namespace sallyport::testing_support
