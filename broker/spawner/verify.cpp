#include "broker/spawner/verify.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <charconv>
#include <sstream>

#include "sallyport/limits.hpp"
#include "sallyport/syscalls.hpp"
#include "sallyport/uid_range.hpp"

namespace sallyport::spawner {

namespace {

Result<std::string> read_proc_file(int directory, const std::string& path) {
  const UniqueFd file = UniqueFd::adopt(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno("open " + path);
  std::array<char, 4096> buffer;  // the kernel's own bound on a uid_map that anybody writes
  const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
  if (size < 0) return fail_errno("read " + path);
  if (static_cast<std::size_t>(size) == buffer.size()) return fail("read " + path + ": longer than any that is ours");
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

// /proc/PID of the process behind the pidfd: that it is alive after the open proves that the pid was not another's
// then.
Result<UniqueFd> open_proc_directory(int pidfd) {
  const std::string path = "/proc/" + std::to_string(TRY(pid_of_init(pidfd)));
  UniqueFd directory = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno("open " + path);
  if (pidfd_send_signal(pidfd, 0) != 0) return fail_errno("init: ended while it was checked");
  return directory;
}

// Each line of a map is "INSIDE OUTSIDE COUNT"; the outside ids must be init's and the worker's, once each.
Result<> verify_id_map(int proc_directory, const std::string& map, std::uint32_t base) {
  std::istringstream lines(TRY(read_proc_file(proc_directory, map)));
  const std::uint64_t init = base + static_cast<std::uint32_t>(limits::UidPart::Init);
  const std::uint64_t worker = base + static_cast<std::uint32_t>(limits::UidPart::Worker);
  std::uint64_t inside = 0, outside = 0, count = 0;
  bool has_init = false, has_worker = false;
  while (lines >> inside >> outside >> count) {
    for (std::uint64_t id = outside; id < outside + count && id < outside + 3; ++id) {
      bool& seen = id == init ? has_init : has_worker;
      if ((id != init && id != worker) || seen)
        return fail("init's " + map + " maps host id " + std::to_string(id) + ", which is not the sandbox's of range " +
                    std::to_string(base));
      seen = true;
    }
  }
  if (!lines.eof()) return fail("init's " + map + " is unreadable");
  if (!has_init || !has_worker) return fail("init's " + map + " does not map the range " + std::to_string(base));
  return {};
}

struct NamespaceId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const NamespaceId&) const = default;
};

Result<NamespaceId> network_namespace_of_process(int proc_directory) {
  struct stat info;
  if (::fstatat(proc_directory, "ns/net", &info, 0) != 0) return fail_errno("read init's network namespace");
  return NamespaceId{info.st_dev, info.st_ino};
}

Result<NamespaceId> network_namespace_of_socket(int socket, const std::string& what) {
  const UniqueFd network = UniqueFd::adopt(::ioctl(socket, SIOCGSKNS));
  if (!network) return fail_errno(what + ": read its network namespace");
  struct stat info;
  if (::fstat(network.get(), &info) != 0) return fail_errno(what + ": read its network namespace");
  return NamespaceId{info.st_dev, info.st_ino};
}

Result<int> socket_option(int socket, int option, const std::string& what) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket, SOL_SOCKET, option, &value, &size) != 0) return fail_errno(what + ": not a socket");
  return value;
}

enum class Domain { UnixOnly, UnixOrInternet };

Result<> verify_stream_socket(int socket, Domain domain, const std::string& what) {
  const int family = TRY(socket_option(socket, SO_DOMAIN, what));
  if (family != AF_UNIX && (domain == Domain::UnixOnly || family != AF_INET))
    return fail(what + ": address family " + std::to_string(family) + " is not allowed here");
  if (TRY(socket_option(socket, SO_TYPE, what)) != SOCK_STREAM) return fail(what + ": not a stream socket");
  if (family == AF_INET && TRY(socket_option(socket, SO_PROTOCOL, what)) != IPPROTO_TCP)
    return fail(what + ": an internet socket that is not TCP");
  return {};
}

Result<> verify_listener(int socket, Domain domain, const NamespaceId& network, const std::string& what) {
  TRY(verify_stream_socket(socket, domain, what));
  if (TRY(socket_option(socket, SO_ACCEPTCONN, what)) == 0) return fail(what + ": it does not listen");
  if (TRY(network_namespace_of_socket(socket, what)) != network)
    return fail(what + ": it lives in another network namespace than the sandbox's init");
  return {};
}

Result<> verify_connected(int socket, const std::string& what) {
  TRY(verify_stream_socket(socket, Domain::UnixOnly, what));
  if (TRY(socket_option(socket, SO_ACCEPTCONN, what)) != 0) return fail(what + ": it listens");
  sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
    return fail_errno(what + ": not connected");
  return {};
}

}  // namespace

Result<pid_t> pid_of_init(int pidfd) {
  if (pidfd_send_signal(pidfd, 0) != 0) return fail_errno("init: not a pidfd of a live process");
  const std::string info = TRY(read_proc_file(AT_FDCWD, "/proc/self/fdinfo/" + std::to_string(pidfd)));
  constexpr std::string_view kKey = "\nPid:\t";
  const std::size_t at = info.find(kKey);
  if (at == std::string::npos) return fail("init: the descriptor is not a pidfd");
  pid_t pid = 0;
  const char* begin = info.data() + at + kKey.size();
  if (std::from_chars(begin, info.data() + info.size(), pid).ec != std::errc() || pid <= 0)
    return fail("init: it has ended, or lives in a pid namespace that the broker cannot see");
  return pid;
}

Result<SessionInputs> sort_descriptors(const protocol::spawner::StartSession& request, std::vector<UniqueFd> received) {
  if (request.forward_listeners > limits::kMaxForwards)
    return fail("the session has more than " + std::to_string(limits::kMaxForwards) + " forwards");
  const bool has_lock = request.uid_base != 0;
  const std::size_t wanted = 1U + (has_lock ? 1 : 0) + (request.has_docker ? 2 : 0) + request.forward_listeners;
  if (received.size() != wanted)
    return fail("the session came with " + std::to_string(received.size()) + " descriptors instead of " +
                std::to_string(wanted));
  SessionInputs inputs;
  auto next = received.begin();
  inputs.init = std::move(*next++);
  if (has_lock) inputs.uid_lock = std::move(*next++);
  if (request.has_docker) {
    inputs.docker_listener = std::move(*next++);
    inputs.stream = std::move(*next++);
  }
  for (; next != received.end(); ++next) inputs.forward_listeners.push_back(std::move(*next));
  return inputs;
}

Result<> verify_uid_range(const BrokerConfig& config, std::uint32_t base, int lock) {
  const UidSpan& span = config.uid_span;
  const std::string name = "uid range " + std::to_string(base);
  if (base == 0 || base < span.first || (base - span.first) % limits::kUidsPerSession != 0 ||
      std::uint64_t{base} + limits::kUidsPerSession - 1 > span.last)
    return fail(name + ": not one of uid_span " + std::to_string(span.first) + "-" + std::to_string(span.last) +
                "; launcher and broker must read the same broker.toml");
  const std::string path = uid_lock_path(config.runtime_directory, base);
  const UniqueFd fresh = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fresh) return fail_errno(name + ": open its lock " + path);
  struct stat ours, theirs;
  if (::fstat(fresh.get(), &ours) != 0 || ::fstat(lock, &theirs) != 0) return fail_errno(name + ": stat its lock");
  if (!S_ISREG(ours.st_mode) || ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
    return fail(name + ": the passed lock is not " + path +
                "; launcher and broker must use the same runtime directory");
  if (::flock(fresh.get(), LOCK_EX | LOCK_NB) == 0) return fail(name + ": nobody holds its lock " + path);
  if (errno != EWOULDBLOCK) return fail_errno(name + ": try its lock " + path);
  // Somebody holds it. If that is another open file than the passed one, this fails; if it is the passed one, it is a
  // no-op.
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) return fail(name + ": its lock is held by another than the launcher");
  return {};
}

Result<> verify_sandbox(std::uint32_t uid_base, const SessionInputs& inputs) {
  const UniqueFd proc_directory = TRY(open_proc_directory(inputs.init.get()));
  if (uid_base != 0) {
    TRY(verify_id_map(proc_directory.get(), "uid_map", uid_base));
    TRY(verify_id_map(proc_directory.get(), "gid_map", uid_base));
  }
  const NamespaceId network = TRY(network_namespace_of_process(proc_directory.get()));
  if (inputs.docker_listener)
    TRY(verify_listener(inputs.docker_listener.get(), Domain::UnixOnly, network, "the sandbox's docker listener"));
  if (inputs.stream) TRY(verify_connected(inputs.stream.get(), "the worker's stream"));
  for (std::size_t i = 0; i < inputs.forward_listeners.size(); ++i)
    TRY(verify_listener(inputs.forward_listeners[i].get(), Domain::UnixOrInternet, network,
                        "the listener of forward " + std::to_string(i)));
  if (pidfd_send_signal(inputs.init.get(), 0) != 0) return fail_errno("init: ended while it was checked");
  return {};
}

}  // namespace sallyport::spawner
