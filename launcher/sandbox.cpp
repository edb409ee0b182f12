#include "launcher/sandbox.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <string>

#include "launcher/child_plan.hpp"
#include "sallyport/seqpacket.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::launcher {
namespace {

constexpr unsigned kMemoryDevices = 1;  // major number of null, zero, full, random and urandom (linux/major.h)

// Namespaces of sandboxes that have ended count against max_*_namespaces until the kernel has cleaned up: 40 to 70 ms
// for a network namespace.
constexpr int kCloneAttempts = 25;
constexpr int kCloneRetryMicroseconds = 10'000;

// A private copy of a host directory or file, cut off from the host's mounts, with the attributes that it will keep.
Result<UniqueFd> open_tree_of(const RootEntry& entry) {
  const bool device = entry.kind == RootEntry::Kind::Device;
  const unsigned recursive = device ? 0 : AT_RECURSIVE;
  UniqueFd tree = UniqueFd::adopt(::open_tree(AT_FDCWD, entry.source.c_str(),
                                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | recursive));
  if (!tree) return fail_errno("bind " + entry.source + " of the host at " + entry.target);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV);
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | recursive, &attributes, sizeof attributes) != 0)
    return fail_errno("make the bind of " + entry.source + " read-only");
  struct stat status{};
  if (device &&
      (::fstat(tree.get(), &status) != 0 || !S_ISCHR(status.st_mode) || major(status.st_rdev) != kMemoryDevices))
    return fail(entry.source + " of the host is not the device of that name");
  return tree;
}

Result<std::vector<UniqueFd>> open_trees(const Plan& plan) {
  std::vector<UniqueFd> trees;
  for (const RootEntry& entry : plan.root)
    if (entry.kind == RootEntry::Kind::HostTree || entry.kind == RootEntry::Kind::Device)
      trees.push_back(TRY(open_tree_of(entry)));
  return trees;
}

struct Pipe {
  UniqueFd read_end, write_end;
};
// Owned by the worker, so that it can open /dev/stdout again. The launcher's end does not block: that flag belongs to
// an end of a pipe, so the worker cannot clear it.
Result<Pipe> make_pipe(std::uint32_t worker) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("make a pipe");
  Pipe pipe{UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
  if (::fchown(ends[0], worker, worker) != 0) return fail_errno("give a pipe to the worker's user");
  return pipe;
}

Result<std::pair<UniqueFd, UniqueFd>> socket_pair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("make a socket pair");
  return std::pair(UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1]));
}

// Through /proc of another process; the whole of it in one write, as the kernel wants it. False: errno says why.
bool write_at_once(const std::string& path, const std::string& text) {
  const UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return false;
  errno = EIO;  // of a short write
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Result<> write_map(pid_t pid, const char* name, const UidRange& range) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const std::string map = std::to_string(kWorkerIdInside) + " " + std::to_string(range.uid(limits::UidPart::Worker)) +
                          " 1\n" + std::to_string(kInitIdInside) + " " +
                          std::to_string(range.uid(limits::UidPart::Init)) + " 1\n";
  if (!write_at_once(path, map))
    return fail_errno("write the map of ids " + path +
                      " (writing it needs CAP_SETUID and CAP_SETGID, and /proc of this pid namespace)");
  return {};
}

// Written from outside: with CAP_SYS_RESOURCE it becomes the least that whoever is inside may ask for (proc(5)).
Result<> offer_first(pid_t init) {
  const std::string path = "/proc/" + std::to_string(init) + "/oom_score_adj";
  if (!write_at_once(path, std::to_string(limits::kOomScoreOfHostile)))
    return fail_errno("offer the sandbox first where memory is short: write " + path);
  return {};
}

std::string remedy_for_clone(int error) {
  switch (error) {
    case EPERM:
      return " (run as root; inside another sandbox user namespaces may be off: see kernel.unprivileged_userns_clone "
             "and user.max_user_namespaces)";
    case ENOSPC:
      return " (a limit in /proc/sys/user/max_*_namespaces is reached: raise it, or end other sandboxes; ended ones "
             "are cleaned up a moment late)";
    case EINVAL:
      return " (this kernel lacks one of the user, pid, mount, network, ipc, uts and cgroup namespaces; Linux 6.1 or "
             "newer is needed)";
    case EAGAIN: return " (too many processes: see ulimit -u)";
    default: return "";
  }
}

// Makes a uid of the session the effective one, capabilities kept, while the clone makes the user namespace: whoever
// does that owns it, and the kernel adds all that is counted per uid in it (inotify, processes, pending signals) to the
// owner's account outside. Were that root, one worker could use up what every other sandbox, and root itself, may have.
class AsOwner {
 public:
  explicit AsOwner(std::uint32_t uid) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2]{};
    if (::syscall(SYS_capget, &header, sets) != 0 || ::syscall(SYS_setresuid, -1, uid, -1) != 0) {
      error_ = errno;
      return;
    }
    changed_ = true;
    for (auto& set : sets) set.effective = set.permitted;  // leaving uid 0 has emptied it
    if (::syscall(SYS_capset, &header, sets) != 0) error_ = errno;
  }
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;
  ~AsOwner() {
    if (changed_ && ::syscall(SYS_setresuid, -1, 0, -1) != 0) ::_exit(125);  // cannot fail: the real uid is 0
  }
  int error() const { return error_; }

 private:
  int error_ = 0;
  bool changed_ = false;
};

struct Cloned {
  pid_t pid = -1;
  Child child;
};
Result<Cloned> clone_child(const FlatPlan& plan, const UidRange& range) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  for (const Namespace& ns : all_namespaces()) arguments.flags |= ns.flag;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const AsOwner owner(range.uid(limits::UidPart::Init));
  if (owner.error() != 0) return fail_errno("take the uid that owns the sandbox's user namespace", owner.error());
  pid_t pid = clone3(arguments);
  for (int attempt = 0; pid < 0 && errno == ENOSPC && attempt < kCloneAttempts; ++attempt) {
    ::usleep(kCloneRetryMicroseconds);
    pid = clone3(arguments);
  }
  if (pid == 0) run_child(plan.view());
  if (pid < 0) {
    const int error = errno;
    return fail_errno("make the sandbox's seven namespaces" + remedy_for_clone(error), error);
  }
  return Cloned{pid, Child::from_pidfd(UniqueFd::adopt(pidfd))};
}

Result<> say(int control, char word) {
  if (::send(control, &word, 1, MSG_NOSIGNAL) != 1) return fail_errno("speak to the sandbox's init");
  return {};
}

}  // namespace

Result<Sandbox> Sandbox::start(const Plan& plan, const UidRange& range) {
  const std::uint32_t worker = range.uid(limits::UidPart::Worker);
  const auto trees = TRY(open_trees(plan));
  Pipe input = TRY(make_pipe(worker));
  Pipe output = TRY(make_pipe(worker));
  Pipe error = TRY(make_pipe(worker));
  auto [own_control, childs_control] = TRY(socket_pair(SOCK_SEQPACKET));
  std::pair<UniqueFd, UniqueFd> stream;
  if (plan.has_docker) stream = TRY(socket_pair(SOCK_STREAM));

  ChildDescriptors descriptors{.control = childs_control.get(),
                               .range_lock = range.lock.get(),
                               .stdio = {input.read_end.get(), output.write_end.get(), error.write_end.get()},
                               .stream = stream.second.get()};
  for (const UniqueFd& tree : trees) descriptors.trees.push_back(tree.get());
  const FlatPlan flat(plan, descriptors);

  Cloned cloned = TRY(clone_child(flat, range));
  Sandbox sandbox;
  sandbox.init_ = std::move(cloned.child);
  sandbox.control_ = std::move(own_control);
  sandbox.pipes_ = {std::move(input.write_end), std::move(output.read_end), std::move(error.read_end)};
  sandbox.stream_ = std::move(stream.first);
  TRY(write_map(cloned.pid, "uid_map", range));
  TRY(write_map(cloned.pid, "gid_map", range));
  TRY(offer_first(cloned.pid));
  TRY(say(sandbox.control(), kIdsAreMapped));
  for (const int end : {sandbox.pipes_.input.get(), sandbox.pipes_.output.get(), sandbox.pipes_.error.get()})
    if (::fcntl(end, F_SETFL, O_NONBLOCK) != 0) return fail_errno("make a pipe non-blocking");
  return sandbox;
}

Result<std::optional<InitReport>> Sandbox::next_report() {
  InitReport report;
  const auto space = std::as_writable_bytes(std::span(&report.message, 1));
  auto received = receive_datagram(control(), space);
  // An init that ends without having read our last word resets the connection: the kernel tells that once, and before
  // what init had said.
  if (!received && received.error().code == ECONNRESET) received = receive_datagram(control(), space);
  Datagram datagram = TRY(std::move(received));
  if (datagram.size == 0) return std::optional<InitReport>{};
  if (datagram.size != sizeof report.message) return fail("hear the sandbox's init: not a message of this protocol");
  report.descriptors = std::move(datagram.fds);
  return std::optional(std::move(report));
}

Result<> Sandbox::start_worker() { return say(control(), kStartTheWorker); }

}  // namespace sallyport::launcher
