#include "unit/spawner/harness.hpp"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "broker/spawner/spawner.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::spawner_test {

namespace {

const std::string kProbe = SALLYPORT_TEST_BIN_DIR "/spawner_probe";

UniqueFd open_path(const std::string& path) {
  UniqueFd fd = UniqueFd::adopt(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) throw std::runtime_error("open " + path);
  return fd;
}

// Lives until the test closes its end (then exits 9) or sends its exit code.
[[noreturn]] void stand_in_for_the_keeper(int life) {
  unsigned char code = 0;
  ::_exit(::read(life, &code, 1) == 1 ? code : 9);
}

[[noreturn]] void spawner_main(spawner::SpawnerInputs inputs, int life) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  have_all_that_must_go();
  if (::chdir(inputs.config.runtime_directory.c_str()) != 0) ::_exit(98);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  inputs.signals = UniqueFd::adopt(::signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK));
  const pid_t keeper = ::fork();
  if (keeper == 0) {
    ::sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
    inputs.keeper_channel.reset();
    stand_in_for_the_keeper(life);
  }
  ::close(life);
  inputs.keeper = *Child::from_pid(keeper);
  if (auto locked = spawner::lock_down_spawner(); !locked) {
    std::fprintf(stderr, "%s\n", locked.error().text().c_str());
    ::_exit(99);
  }
  ::_exit(spawner::run_spawner(std::move(inputs)));
}

}  // namespace

Harness::Harness(HarnessShape shape) {
  std::string pattern = "/tmp/spawner-test-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
  directory_ = pattern;
  ::chmod(directory_.c_str(), 0711);
  ::mkdir((directory_ + "/empty").c_str(), 0700);
  config_.runtime_directory = directory_;
  config_.docker_socket = directory_ + "/docker.sock";
  config_.max_sessions = shape.max_sessions;
  // Two runs at one time must not share a uid: each gate's uid may have one process.
  config_.uid_span.first = 1'000'000U + static_cast<std::uint32_t>(::getpid() % 10'000) * 2'000U;
  config_.uid_span.last = config_.uid_span.first + shape.uids - 1;
  if (shape.own_cgroup) cgroup_ = make_cgroup("spawner-test-" + directory_.substr(directory_.rfind('-') + 1));

  auto [ours, theirs] = *seqpacket_pair();
  int life[2];
  if (::pipe2(life, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  spawner_pid_ = ::fork();
  if (spawner_pid_ == 0) {
    ours.reset();
    ::close(life[1]);
    spawner::SpawnerInputs inputs;
    inputs.config = config_;
    if (!cgroup_.empty()) std::ofstream(cgroup_ + "/cgroup.procs") << "0" << std::flush;
    inputs.programs.gate = open_path(shape.gate_program.empty() ? kProbe : shape.gate_program);
    if (shape.has_systemctl) inputs.programs.systemctl = open_path(kProbe);
    inputs.programs.relay = open_path(shape.relay_program.empty() ? kProbe : shape.relay_program);
    inputs.programs.null_device = UniqueFd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
    inputs.docker_group = shape.docker_group;
    inputs.keeper_channel = std::move(theirs);
    inputs.root_mount_point = directory_ + "/empty";
    spawner_main(std::move(inputs), life[0]);
  }
  spawner_ = *Child::from_pid(spawner_pid_);
  ::close(life[0]);
  keeper_life_ = UniqueFd::adopt(life[1]);
  channel_ = std::move(ours);
}

Harness::~Harness() {
  keeper_life_.reset();
  channel_.reset();
  if (spawner_) (void)spawner_.handle().has_ended(8000);
  spawner_ = Child();
  if (!cgroup_.empty()) eventually([&] { return ::rmdir(cgroup_.c_str()) == 0; });
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

UidRange Harness::take_range() const {
  return *take_uid_range(config_.runtime_directory, config_.uid_span.first, config_.uid_span.last);
}

bool Harness::is_free(std::uint32_t base) const { return lock_uid_range(config_.runtime_directory, base).has_value(); }

SessionId Harness::new_session() const {
  static std::mt19937_64 random(std::random_device{}());
  std::array<char, 13> text{};
  std::snprintf(text.data(), text.size(), "%012llx", static_cast<unsigned long long>(random() & 0xffffffffffffULL));
  return *SessionId::parse(text.data());
}

void Harness::send(const messages::ToSpawner& message, const std::vector<int>& fds, std::uint32_t number) const {
  const messages::ToSpawnerEnvelope envelope{number, message};
  if (auto sent = send_datagram(channel_.get(), encode_message(envelope), fds); !sent)
    throw std::runtime_error(sent.error().text());
}

void Harness::send_raw(const std::string& bytes) const {
  if (!send_datagram(channel_.get(), std::as_bytes(std::span(bytes)))) throw std::runtime_error("send");
}

std::optional<Heard> Harness::hear(std::chrono::milliseconds limit) {
  if (came_by_itself_.empty()) return receive(limit);
  Heard first = std::move(came_by_itself_.front());
  came_by_itself_.pop_front();
  return first;
}

std::optional<Heard> Harness::receive(std::chrono::milliseconds limit) {
  pollfd entry{channel_.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
  std::array<std::byte, 8192> buffer;
  auto datagram = receive_datagram(channel_.get(), buffer);
  if (!datagram || datagram->size == 0) return std::nullopt;
  auto answer = decode_message<messages::FromSpawnerEnvelope>(std::span(buffer).first(datagram->size));
  if (!answer) throw std::runtime_error(answer.error().text());
  return Heard{answer->number, std::move(answer->message), std::move(datagram->fds)};
}

messages::StartSession Harness::request_for(const SessionId& session, const FakeSandbox& sandbox,
                                            std::uint32_t uid_base) const {
  return {session, uid_base, static_cast<bool>(sandbox.docker_listener),
          static_cast<std::uint8_t>(sandbox.tcp_listeners.size())};
}

std::vector<int> Harness::fds_for(const FakeSandbox& sandbox, const UidRange& range) const {
  std::vector<int> fds{sandbox.init.handle().fd()};
  if (range.lock) fds.push_back(range.lock.get());
  if (sandbox.docker_listener) {
    fds.push_back(sandbox.docker_listener.get());
    fds.push_back(sandbox.stream.get());
  }
  for (const UniqueFd& listener : sandbox.tcp_listeners) fds.push_back(listener.get());
  return fds;
}

std::vector<pid_t> Harness::children() const {
  const std::string task = "/proc/" + std::to_string(spawner_pid_) + "/task/" + std::to_string(spawner_pid_);
  std::istringstream words(read_file(task + "/children"));
  std::vector<pid_t> pids;
  for (pid_t pid = 0; words >> pid;) pids.push_back(pid);
  if (!pids.empty()) pids.erase(pids.begin());  // the eldest is the stand-in
  return pids;
}

void Harness::keeper_exits(int code) {
  const auto byte = static_cast<unsigned char>(code);
  if (::write(keeper_life_.get(), &byte, 1) != 1) throw std::runtime_error("write");
  channel_.reset();
}

std::optional<ExitStatus> Harness::wait_for_spawner(std::chrono::milliseconds limit) {
  if (!spawner_.handle().has_ended(static_cast<int>(limit.count()))) return std::nullopt;
  return *spawner_.try_reap();
}

RunningSession start_session(Harness& harness, SandboxShape shape) {
  RunningSession running;
  running.id = harness.new_session();
  running.range = harness.take_range();
  shape.uid_base = running.range.base;
  running.sandbox = make_sandbox(shape);
  harness.send(harness.request_for(running.id, running.sandbox, running.range.base),
               harness.fds_for(running.sandbox, running.range));
  std::vector<UniqueFd> channels;
  harness.hear_one<messages::Started>(&channels);
  running.gate = std::move(channels.at(0));
  if (shape.tcp_listeners > 0) running.relay = std::move(channels.at(1));
  return running;
}

std::string hear_probe(int channel) {
  pollfd entry{channel, POLLIN, 0};
  if (::poll(&entry, 1, 8000) != 1) return "(silence)";
  std::array<char, 8192> buffer;
  const ssize_t size = ::recv(channel, buffer.data(), buffer.size(), 0);
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : "(closed)";
}

std::string ask_probe(int channel, const std::string& question) {
  if (::send(channel, question.data(), question.size(), MSG_NOSIGNAL) < 0) return "(closed)";
  return hear_probe(channel);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string own_cgroup() {
  std::string own = read_file("/proc/self/cgroup");
  own = own.substr(own.find("0::") + 3);
  own = own.substr(0, own.find('\n'));
  for (const char* root : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"})
    if (std::filesystem::exists(root + own + "/cgroup.controllers")) return root + (own == "/" ? "" : own);
  throw std::runtime_error("no cgroup2 hierarchy is mounted");
}

std::string make_cgroup(const std::string& name) {
  const std::string path = own_cgroup() + "/" + name;
  std::filesystem::create_directory(path);
  return path;
}

std::string cgroup_of(const SessionId& session) {
  const std::string path = own_cgroup() + "/sallyport-" + session.text();
  return std::filesystem::exists(path) ? path : "";
}

void have_all_that_must_go() {
  const gid_t groups[] = {4711, 4712};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  bool done = ::setgroups(2, groups) == 0 && ::syscall(SYS_capget, &header, sets) == 0;
  for (auto& set : sets) set.inheritable = set.permitted;
  done = done && ::syscall(SYS_capset, &header, sets) == 0;
  for (int capability = 0; capability < 64; ++capability)
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
  for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_MSGQUEUE, RLIMIT_MEMLOCK}) {
    rlimit limit{};
    done = done && ::getrlimit(resource, &limit) == 0;
    limit.rlim_cur = limit.rlim_max;
    done = done && ::setrlimit(resource, &limit) == 0;
  }
  done = done && ::dup2(::open("/etc/passwd", O_RDONLY | O_CLOEXEC), 200) == 200;
  ::umask(0);
  if (!done) ::_exit(97);
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace sallyport::spawner_test
