#include "unit/spawner/fake_sandbox.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <fstream>
#include <stdexcept>

#include "sallyport/limits.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner_test {

namespace {

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

void raise_loopback() {
  const UniqueFd socket = UniqueFd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) give_up("raise lo");
}

UniqueFd tcp_listener() {
  UniqueFd socket = UniqueFd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("bind");
  if (::listen(socket.get(), 512) != 0) give_up("listen");
  return socket;
}

std::uint16_t port_of(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) give_up("getsockname");
  return ntohs(address.sin_port);
}

void leave_a_daemon() {
  if (::fork() != 0) return;
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_IGN);
  for (;;) ::pause();
}

[[noreturn]] void init_main(const SandboxShape& shape, int channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(channel, 3);
  channel = 3;
  close_range(4, ~0U, 0);  // the test's own descriptors: a copy here would keep them open
  char byte;
  if (::read(channel, &byte, 1) != 1) ::_exit(1);  // the maps are written now
  raise_loopback();
  std::vector<UniqueFd> made;
  made.push_back(unix_listener());
  for (int i = 0; i < shape.tcp_listeners; ++i) made.push_back(tcp_listener());
  std::vector<int> numbers;
  for (const UniqueFd& fd : made) numbers.push_back(fd.get());
  if (!send_datagram(channel, std::as_bytes(std::span("x", 1)), numbers)) ::_exit(2);
  made.clear();
  if (::read(channel, &byte, 1) == 1) leave_a_daemon();  // the word to start the worker
  for (;;) ::pause();
}

void write_map(pid_t pid, const char* file, const std::string& text) {
  std::ofstream out("/proc/" + std::to_string(pid) + "/" + file);
  out << text << std::flush;
  if (!out) give_up(std::string("write ") + file);
}

}  // namespace

UniqueFd unix_listener() {
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // the kernel chooses an abstract name (unix(7), autobind)
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) != 0) give_up("autobind");
  if (::listen(socket.get(), 64) != 0) give_up("listen");
  return socket;
}

UniqueFd unix_listener_at(const std::string& path, mode_t mode) {
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("bind " + path);
  if (::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), 512) != 0) give_up("listen");
  return socket;
}

FakeSandbox make_sandbox(const SandboxShape& shape) {
  auto [ours, theirs] = *seqpacket_pair();
  ::fcntl(theirs.get(), F_SETFL, 0);
  ::fcntl(ours.get(), F_SETFL, 0);
  FakeSandbox sandbox;
  clone_args arguments{};
  int pidfd = -1;
  arguments.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD | (shape.own_user_namespace ? CLONE_NEWUSER : 0);
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  sandbox.init_pid = clone3(arguments);
  if (sandbox.init_pid < 0) give_up("clone3");
  if (sandbox.init_pid == 0) {
    ours.reset();
    init_main(shape, theirs.get());
  }
  theirs.reset();
  sandbox.init = Child::from_pidfd(UniqueFd::adopt(pidfd));
  if (shape.own_user_namespace) {
    const std::string honest =
        "999 " + std::to_string(shape.uid_base) + " 1\n1000 " + std::to_string(shape.uid_base + 1) + " 1\n";
    write_map(sandbox.init_pid, "uid_map", shape.uid_map.empty() ? honest : shape.uid_map);
    write_map(sandbox.init_pid, "gid_map", shape.gid_map.empty() ? honest : shape.gid_map);
  }
  if (::write(ours.get(), "x", 1) != 1) give_up("start init");
  std::array<std::byte, 8> buffer;
  auto made = receive_datagram(ours.get(), buffer);
  if (!made || made->fds.size() != 1U + static_cast<std::size_t>(shape.tcp_listeners)) give_up("listeners of init");
  sandbox.docker_listener = std::move(made->fds[0]);
  for (std::size_t i = 1; i < made->fds.size(); ++i) {
    sandbox.tcp_ports.push_back(port_of(made->fds[i].get()));
    sandbox.tcp_listeners.push_back(std::move(made->fds[i]));
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
  sandbox.stream = UniqueFd::adopt(ends[0]);
  sandbox.worker_stream = UniqueFd::adopt(ends[1]);
  const std::string path = "/proc/" + std::to_string(sandbox.init_pid) + "/ns/net";
  sandbox.network = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  sandbox.init_channel = std::move(ours);
  return sandbox;
}

void start_worker(const FakeSandbox& sandbox) {
  if (::write(sandbox.init_channel.get(), "x", 1) != 1) give_up("start the worker");
}

UniqueFd make_inside(const FakeSandbox& sandbox, UniqueFd (*make)()) {
  const UniqueFd home = UniqueFd::adopt(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (::setns(sandbox.network.get(), CLONE_NEWNET) != 0) give_up("setns");
  UniqueFd made = make();
  const int error = errno;
  if (::setns(home.get(), CLONE_NEWNET) != 0) give_up("setns back");
  errno = error;
  return made;
}

UniqueFd connect_inside(const FakeSandbox& sandbox, std::uint16_t port) {
  UniqueFd socket =
      make_inside(sandbox, [] { return UniqueFd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); });
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("connect");
  return socket;
}

}  // namespace sallyport::spawner_test
