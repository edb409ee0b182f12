#include "launcher/child_setup.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sallyport/syscalls.hpp"

namespace sallyport::launcher {
namespace {

constexpr const char* kWorkplace = "/tmp";  // covered by the new root until it becomes /
constexpr int kListenBacklog = 128;
// Least, usual and most bytes of each of a TCP socket's two buffers: they count against the whole host's tcp_mem.
constexpr const char* kTcpBuffers = "4096 16384 65536";

int outcome(long result) noexcept { return result < 0 ? errno : 0; }

// --- the steps, in the order of kSandboxSteps ---

int close_foreign_descriptors(StepContext& context) noexcept { return close_all_but(context.plan.keep); }

int follow_the_launcher(StepContext& context) noexcept { return die_with_the_launcher(context.plan.control); }

int take_a_usual_place(StepContext&) noexcept { return leave_what_the_caller_gave(); }

int wait_for_ids(StepContext& context) noexcept { return hear(context.plan.control, kIdsAreMapped); }

// No uid 0 is mapped, so leaving the unmapped root keeps the capabilities in this user namespace.
int become_init(StepContext& context) noexcept {
  if (const int error = outcome(::syscall(SYS_setgroups, 0, nullptr))) return error;
  if (const int error = outcome(::syscall(SYS_setresgid, kInitIdInside, kInitIdInside, kInitIdInside))) return error;
  if (const int error = outcome(::syscall(SYS_setresuid, kInitIdInside, kInitIdInside, kInitIdInside))) return error;
  return die_with_the_launcher(context.plan.control);
}

int leave_the_hosts_mounts(StepContext&) noexcept {
  return outcome(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
}

int mount_new_root(StepContext&) noexcept {
  ::umask(0);
  if (::mount("sandbox", kWorkplace, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m,nr_inodes=512") != 0)
    return errno;
  return outcome(::chdir(kWorkplace));
}

// Takes what open() has answered.
int write_whole(int file, const char* text, std::size_t size) noexcept {
  if (file < 0) return errno;
  errno = EIO;  // of a short write
  const int error = ::write(file, text, size) == static_cast<ssize_t>(size) ? 0 : errno;
  ::close(file);
  return error;
}

int make_file(const ChildEntry& entry, std::size_t size) noexcept {
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return write_whole(::open(entry.target, kNew, 0444), entry.source, size);
}

int attach_tree(const ChildEntry& entry) noexcept {
  const int error = entry.source_is_file ? make_file(entry, 0) : outcome(::mkdir(entry.target, 0755));
  if (error != 0) return error;
  return outcome(::move_mount(entry.tree, "", AT_FDCWD, entry.target, MOVE_MOUNT_F_EMPTY_PATH));
}

int make_entry(const ChildEntry& entry) noexcept {
  using Kind = RootEntry::Kind;
  switch (entry.kind) {
    case Kind::Directory: return outcome(::mkdir(entry.target, 0755));
    case Kind::File: return make_file(entry, entry.source_size);
    case Kind::Link: return outcome(::symlink(entry.source, entry.target));
    case Kind::HostTree:
    case Kind::Device: return attach_tree(entry);
    case Kind::Tmpfs:
      if (::mkdir(entry.target, 0755) != 0) return errno;
      return outcome(::mount("tmpfs", entry.target, "tmpfs", MS_NOSUID | MS_NODEV, entry.source));
    case Kind::Proc:
      if (::mkdir(entry.target, 0755) != 0) return errno;
      return outcome(
          ::mount("proc", entry.target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible,subset=pid"));
  }
  return EINVAL;
}

// Every target lies in directories that we have just made on our own tmpfs: no link of anybody's can lead out of it.
int furnish_root(StepContext& context) noexcept {
  for (const ChildEntry& entry : context.plan.root) {
    ++context.object;
    if (const int error = make_entry(entry)) return error;
  }
  return 0;
}

int enter_root(StepContext&) noexcept {
  if (pivot_root(".", ".") != 0) return errno;
  if (::umount2(".", MNT_DETACH) != 0)
    return errno;  // the old root lies on top of the new one after pivot_root(".", ".")
  return outcome(::chdir("/"));
}

int write_setting(const char* path, const char* value) noexcept {
  return write_whole(::open(path, O_WRONLY | O_CLOEXEC), value, std::strlen(value));
}

int forbid_user_namespaces(StepContext&) noexcept { return write_setting("/proc/sys/user/max_user_namespaces", "0"); }

int bound_tcp_memory(StepContext& context) noexcept {
  if (!context.plan.has_loopback) return 0;
  if (const int error = write_setting("/proc/sys/net/ipv4/tcp_rmem", kTcpBuffers)) return error;
  return write_setting("/proc/sys/net/ipv4/tcp_wmem", kTcpBuffers);
}

int bring_up_loopback(StepContext& context) noexcept {
  if (!context.plan.has_loopback) return 0;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return errno;
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;  // the kernel gives it 127.0.0.1/8 and ::1 by itself
  const int error = outcome(::ioctl(socket, SIOCSIFFLAGS, &request));
  ::close(socket);
  return error;
}

int set_hostname(StepContext& context) noexcept {
  return outcome(::sethostname(context.plan.hostname, context.plan.hostname_size));
}

// Keys of the launcher's session are not the worker's. A kernel without keys has none to hide.
int join_new_keyring(StepContext&) noexcept {
  const int error = outcome(::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr));
  return error == ENOSYS ? 0 : error;
}

int open_listener(const ChildListener& listener) noexcept {
  const int socket = ::socket(listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  const int one = 1;
  const auto* address = reinterpret_cast<const sockaddr*>(&listener.address);
  if (::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) return -1;
  if (::bind(socket, address, listener.size) != 0 || ::listen(socket, kListenBacklog) != 0) return -1;
  return socket;
}

// Made here, in the sandbox's namespaces, and served by gate and relay outside.
int listen_for_the_broker(StepContext& context) noexcept {
  if (!context.plan.opens_session) return 0;
  std::array<int, limits::kMaxForwards + 1> sockets{};
  std::size_t count = 0;
  for (const ChildListener& listener : context.plan.listeners) {
    context.object = static_cast<std::int32_t>(count);
    if (count == sockets.size()) return E2BIG;
    const int socket = open_listener(listener);
    if (socket < 0) return errno;
    sockets[count++] = socket;
  }
  if (!send_word(context.plan.control, {.word = InitWord::Listening}, {sockets.data(), count})) return errno;
  for (std::size_t i = 0; i < count; ++i) ::close(sockets[i]);
  return 0;
}

int seal_root(StepContext&) noexcept {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  return outcome(::mount_setattr(AT_FDCWD, "/", 0, &attributes, sizeof attributes));
}

// For good, and for init and the worker alike: with the bounding and ambient sets empty and the securebits locked
// neither a setuid-root program nor a change of uid brings a capability back, once each has emptied its own sets.
int give_up_capabilities(StepContext&) noexcept {
  for (int capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // past the last one that this kernel has
    return errno;
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  constexpr unsigned long kLocked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  static_assert(kLocked == 0xef);
  return outcome(::prctl(PR_SET_SECUREBITS, kLocked, 0, 0, 0));
}

int wait_for_the_session(StepContext& context) noexcept {
  return context.plan.opens_session ? hear(context.plan.control, kStartTheWorker) : 0;
}

// What needs no mapped user comes first: the launcher writes the map meanwhile.
constexpr std::array kSandboxSteps = {
    Step{"close foreign descriptors", close_foreign_descriptors},
    Step{"follow the launcher's death", follow_the_launcher},
    Step{"take a usual place at processor and disk", take_a_usual_place},
    Step{"forbid user namespaces", forbid_user_namespaces},
    Step{"leave the host's mounts", leave_the_hosts_mounts},
    Step{"bound the memory of TCP", bound_tcp_memory},
    Step{"bring up the loopback", bring_up_loopback},
    Step{"set the hostname", set_hostname},
    Step{"join a new keyring", join_new_keyring},
    Step{"wait for the map of ids", wait_for_ids},
    Step{"become init's user", become_init},
    Step{"mount the new root", mount_new_root},
    Step{"furnish the new root", furnish_root},
    Step{"enter the new root", enter_root},
    Step{"listen for the broker", listen_for_the_broker},
    Step{"make the root read-only", seal_root},
    Step{"give up capabilities for good", give_up_capabilities},
    Step{"wait for the session", wait_for_the_session},
};

[[noreturn]] void fail_child(int control, StepList list, std::size_t step, int error, std::int32_t object) noexcept {
  (void)send_word(control, {.word = InitWord::Failed,
                            .list = list,
                            .step = static_cast<std::uint8_t>(step),
                            .code = error,
                            .object = object});
  ::_exit(125);
}

void run_steps(StepList list, std::span<const Step> steps, const ChildPlan& plan, int control) noexcept {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    StepContext context{plan};
    if (const int error = steps[i].run(context)) fail_child(control, list, i, error, context.object);
  }
}

int hear_of_children() noexcept {
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  return ::sigprocmask(SIG_BLOCK, &children, nullptr) == 0 ? ::signalfd(-1, &children, SFD_CLOEXEC) : -1;
}

[[noreturn]] void run_worker(const ChildPlan& plan, int go) noexcept {
  // The steps of the worker close everything but 0 to 3; these copies, in ascending order, go with the exec.
  ChildPlan own = plan;
  own.control = ::fcntl(plan.control, F_DUPFD_CLOEXEC, kWorkerStreamFd + 1);
  own.go = ::fcntl(go, F_DUPFD_CLOEXEC, kWorkerStreamFd + 1);
  if (own.control < 0 || own.go < 0) fail_child(plan.control, StepList::Worker, 0, errno, -1);
  const int control = own.control;
  run_steps(StepList::Worker, worker_steps(), own, control);
  int error = ENOENT;
  for (const char* const* program = plan.programs; *program != nullptr; ++program) {
    ::execve(*program, plan.argv, plan.envp);
    if (errno != ENOENT && errno != ENOTDIR) error = errno;  // what stops a program that exists says more
    if (error != ENOENT && error != EACCES) break;
  }
  fail_child(control, StepList::Exec, 0, error, -1);
}

}  // namespace

std::span<const Step> sandbox_steps() noexcept { return kSandboxSteps; }

bool send_word(int control, const InitMessage& message, std::span<const int> descriptors) noexcept {
  iovec part{const_cast<InitMessage*>(&message), sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char space[CMSG_SPACE((limits::kMaxForwards + 1) * sizeof(int))] = {};
  if (!descriptors.empty()) {
    header.msg_control = space;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(control, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message);
}

int close_all_but(std::span<const int> keep) noexcept {
  unsigned first = 3;
  for (const int descriptor : keep) {
    const auto kept = static_cast<unsigned>(descriptor);
    if (kept > first && close_range(first, kept - 1, 0) != 0) return errno;
    first = kept + 1;
  }
  return outcome(close_range(first, ~0U, 0));
}

int hear(int peer, char expected) noexcept {
  char word = 0;
  ssize_t size;
  do size = ::read(peer, &word, 1);
  while (size < 0 && errno == EINTR);
  if (size < 0) return errno;
  if (size == 0) ::_exit(125);  // nobody is left to be told
  return word == expected ? 0 : EPROTO;
}

int die_with_the_launcher(int control) noexcept {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return errno;
  // It may have died before the line above: then its end of the socket is closed.
  pollfd peer{control, POLLRDHUP, 0};
  if (::poll(&peer, 1, 0) != 0) ::_exit(125);
  return 0;
}

int empty_capabilities() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2]{};
  return outcome(::syscall(SYS_capset, &header, none));
}

void run_child(const ChildPlan& plan) noexcept {
  run_steps(StepList::Sandbox, kSandboxSteps, plan, plan.control);
  ChildPlan own = plan;
  int go[2];
  own.signals = hear_of_children();
  if (own.signals < 0 || ::pipe2(go, O_CLOEXEC) != 0) fail_child(plan.control, StepList::Init, 0, errno, -1);
  own.go = go[1];
  int worker_pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&worker_pidfd);
  arguments.exit_signal = SIGCHLD;
  const pid_t worker = clone3(arguments);
  if (worker == 0) run_worker(plan, go[0]);
  if (worker < 0) fail_child(plan.control, StepList::Init, 0, errno, -1);
  const std::array descriptors = {worker_pidfd};
  if (!send_word(plan.control, {.word = InitWord::Started}, descriptors)) ::_exit(125);
  run_steps(StepList::Init, init_steps(), own, plan.control);
  run_init(own, worker);
}

}  // namespace sallyport::launcher
