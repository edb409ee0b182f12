#include "broker/process_start.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "sallyport/log.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport {

namespace {

using namespace std::chrono_literals;
constexpr auto kLockWait = 8s;  // an earlier broker ends its sessions within limits::kSessionEndDeadline

// A user given by number need not be in /etc/passwd; its group is then of the same number.
gid_t primary_group_of(uid_t uid) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/etc/passwd", "re"), std::fclose);
  while (const passwd* entry = file ? ::fgetpwent(file.get()) : nullptr)
    if (entry->pw_uid == uid) return entry->pw_gid;
  return uid;
}

Result<gid_t> docker_group(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    return fail_errno("find dockerd's socket " + path + "; start dockerd first, or name its socket with docker_socket");
  if (!S_ISSOCK(info.st_mode)) return fail(path + " is not a socket; name dockerd's with docker_socket");
  const mode_t both = S_IRGRP | S_IWGRP;
  if (info.st_gid == 0 || (info.st_mode & both) != both)
    return fail(path +
                " is not open to a group of its own, which the keeper could join without being root; give it one: "
                "dockerd --group docker (the default where the group exists), mode 0660");
  return info.st_gid;
}

Result<> make_parents(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST)
      return fail_errno("make the directory " + path.substr(0, slash));
  return {};
}

struct DirectoryOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

// A link is followed where it is root's: the directory above may be the keeper's, as a private broker's is, and what is
// opened here is given to the keeper.
Result<UniqueFd> open_directory(const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  UniqueFd directory = UniqueFd::adopt(::open(path.c_str(), kFlags | O_NOFOLLOW));
  if (directory || (errno != ELOOP && errno != ENOTDIR)) return directory;
  const UniqueFd link = UniqueFd::adopt(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info{};
  std::string target(PATH_MAX, '\0');
  if (!link || ::fstat(link.get(), &info) != 0) return fail_errno("open the directory " + path);
  const ssize_t size = ::readlinkat(link.get(), "", target.data(), target.size());
  if (size < 0) return fail("open the directory " + path + ": it is none");
  if (info.st_uid != 0) return fail("the directory " + path + " is a link of uid " + std::to_string(info.st_uid));
  target.resize(static_cast<std::size_t>(size));
  if (!target.starts_with('/')) target = path.substr(0, path.rfind('/') + 1) + target;
  return UniqueFd::adopt(::open(target.c_str(), kFlags));
}

Result<> make_directory(const std::string& path, mode_t mode, DirectoryOwner owner) {
  TRY(make_parents(path));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make the directory " + path);
  const UniqueFd directory = TRY(open_directory(path));
  if (!directory) return fail_errno("open the directory " + path);
  struct stat info;
  if (::fstat(directory.get(), &info) != 0) return fail_errno("stat " + path);
  if (info.st_uid != 0 && info.st_uid != owner.uid)
    return fail("the directory " + path + " belongs to uid " + std::to_string(info.st_uid) +
                "; chown it to root, or give another place");
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail("the directory " + path + " may be written by others; chmod 0755 it, or give another place");
  if (::fchown(directory.get(), owner.uid, owner.gid) != 0) return fail_errno("chown " + path);
  if (::fchmod(directory.get(), mode) != 0) return fail_errno("chmod " + path);
  return {};
}

// Not longer than an address has room for (check_usable).
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Result<UniqueFd> seqpacket_socket() {
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("make a socket");
  return socket;
}

}  // namespace

Result<> normalise_process(std::optional<int> kept_fd) {
  if (::geteuid() != 0 || ::getuid() != 0)
    return fail(
        "sallyport-broker must be started as root: it starts processes of other uids in namespaces of their own "
        "and drops everything else itself");
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return fail_errno("open /dev/null");
  // What the caller left open, two long-lived processes would hold for good.
  const auto kept = static_cast<unsigned>(kept_fd.value_or(2));
  if ((kept > 3 && close_range(3, kept - 1, 0) != 0) || close_range(std::max(kept, 2U) + 1, ~0U, 0) != 0)
    return fail_errno("close inherited descriptors");
  // The spawner may do without them, and one may be dockerd's.
  if (::setgroups(0, nullptr) != 0) return fail_errno("leave the caller's groups");
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGKILL && signal != SIGSTOP) ::signal(signal, SIG_DFL);  // what the caller ignored we must not
  ::signal(SIGPIPE, SIG_IGN);                                               // whoever reads stderr may go
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return fail_errno("unblock signals");
  ::umask(0077);
  rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno("read the limit of open files");
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno("raise the limit of open files");
  return {};
}

Result<KeeperIdentity> identify_keeper(const BrokerConfig& config) {
  KeeperIdentity keeper;
  if (config.user_id == 0)
    return fail("the keeper's user \"" + config.user + "\" does not exist; make it (useradd --system " + config.user +
                "), or name another with user = in broker.toml");
  keeper.uid = config.user_id;
  keeper.gid = primary_group_of(keeper.uid);
  if (keeper.gid == 0)
    return fail("the keeper's user " + config.user + " has root's group as its own; give it another");
  if (keeper.uid >= config.uid_span.first && keeper.uid <= config.uid_span.last)
    return fail("the keeper's user " + config.user +
                " lies within uid_span, whose uids belong to sessions; move either");
  keeper.docker_group = TRY(docker_group(config.docker_socket));
  return keeper;
}

std::string root_mount_point(const BrokerConfig& config) { return config.runtime_directory + "/empty"; }

Result<> make_directories(const BrokerConfig& config, const KeeperIdentity& keeper) {
  const DirectoryOwner keepers{keeper.uid, keeper.gid};
  if (::chdir("/") != 0) return fail_errno("change to /");  // --config may have been relative
  TRY(make_directory(config.state_directory, 0700, keepers));
  TRY(make_directory(config.log_directory, 0750, keepers));
  TRY(make_directory(config.runtime_directory, 0711, {}));
  TRY(make_directory(config.runtime_directory + "/uids", 0700, {}));
  return make_directory(root_mount_point(config), 0700, {});
}

Result<UniqueFd> lock_broker(const BrokerConfig& config) {
  const std::string path = config.state_directory + "/lock";
  UniqueFd lock = UniqueFd::adopt(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!lock) return fail_errno("open the lock " + path);
  const auto deadline = std::chrono::steady_clock::now() + kLockWait;
  bool said = false;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock " + path);
    if (std::chrono::steady_clock::now() >= deadline)
      return fail("another broker holds " + path + "; stop it, or give this one a state directory of its own");
    if (!std::exchange(said, true)) log::info("waiting for an earlier broker to end (" + path + ")");
    std::this_thread::sleep_for(50ms);
  }
  return lock;
}

Result<UniqueFd> make_control_socket(const BrokerConfig& config) {
  const std::string path = config.control_socket();
  const sockaddr_un address = address_of(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd probe = TRY(seqpacket_socket());
  if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN)
    return fail("another broker serves " + path + "; stop it, or give this one a runtime directory of its own");
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return fail(path + " exists and is not a socket; remove it");
    if (::unlink(path.c_str()) != 0) return fail_errno("remove the old socket " + path);
  }
  UniqueFd listener = TRY(seqpacket_socket());
  // Everybody may connect; who may open which profile is decided by the kernel's word on the peer (SO_PEERCRED).
  const mode_t before = ::umask(0111);
  const int bound = ::bind(listener.get(), generic, sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return fail_errno("bind " + path, error);
  if (::listen(listener.get(), 128) != 0) return fail_errno("listen on " + path);
  return listener;
}

Result<UniqueFd> adopt_private_peer(int fd) {
  const std::string what = "--private-fd " + std::to_string(fd);
  int type = 0, domain = 0;
  socklen_t size = sizeof type;
  if (fd < 3 || ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX || type != SOCK_SEQPACKET)
    return fail(what + ": not a SOCK_SEQPACKET socket; `sallyport run --private-broker` passes one");
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return fail_errno(what);
  return UniqueFd::adopt(fd);
}

}  // namespace sallyport
