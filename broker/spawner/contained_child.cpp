#include "broker/spawner/contained_child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdint>

#include "broker/privileges.hpp"
#include "sallyport/core_limit.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::spawner {

namespace {

constexpr int kFirstGivenFd = 3;
constexpr int kHighFd = 64;  // above every final place, so that no copy overwrites a descriptor still to be copied
constexpr int kExecWaitMilliseconds = 5000;
static_assert(kFirstGivenFd + kMaxGivenFds + 2 < kHighFd);

// --- between clone3 and execveat: async-signal-safe calls only. A step answers 0 or an errno. ---

struct ChildState {
  const ContainedPlan& plan;
  int report;
  int executable;
};

int leave_the_session(ChildState&) noexcept { return ::setsid() < 0 ? errno : 0; }

int unblock_signals(ChildState&) noexcept {
  sigset_t none;
  sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0 ? errno : 0;
}

// Before the broker, dockerd or anybody's work where memory is short; a broker's own protection is not inherited. No
// reason to refuse a session where /proc cannot be written.
int offer_itself_first(ChildState&) noexcept {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return 0;
  static_assert(limits::kOomScoreOfHelpers == 500);
  [[maybe_unused]] const auto written = ::write(file, "500", 3);
  ::close(file);
  return 0;
}

int enter_the_empty_root(ChildState& state) noexcept {
  if (!kEmptyRoot) return 0;
  // Private first: nothing mounted or unmounted here may reach the host's mount namespace.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const char* target = state.plan.root_mount_point;
  if (::mount("none", target, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") != 0) return errno;
  if (::chdir(target) != 0) return errno;
  // The old root ends up mounted over the new one and is detached with everything below it (pivot_root(2)).
  if (pivot_root(".", ".") != 0) return errno;
  if (::umount2(".", MNT_DETACH) != 0) return errno;
  return ::chdir("/") != 0 ? errno : 0;
}

int hide_the_host_name(ChildState& state) noexcept {
  if (::sethostname(state.plan.program, __builtin_strlen(state.plan.program)) != 0) return errno;
  return ::setdomainname("", 0) != 0 ? errno : 0;
}

int place_descriptors(ChildState& state) noexcept {
  const ContainedPlan& plan = state.plan;
  std::array<int, kMaxGivenFds> high;
  for (std::size_t i = 0; i < plan.given_count; ++i)
    if ((high[i] = ::fcntl(plan.given_fds[i], F_DUPFD_CLOEXEC, kHighFd)) < 0) return errno;
  const int null_device = ::fcntl(plan.null_device, F_DUPFD_CLOEXEC, kHighFd);
  const int report = ::fcntl(state.report, F_DUPFD_CLOEXEC, kHighFd);
  const int executable = ::fcntl(state.executable, F_DUPFD_CLOEXEC, kHighFd);
  if (null_device < 0 || report < 0 || executable < 0) return errno;
  const int standard_error =
      plan.standard_error < 0 ? null_device : ::fcntl(plan.standard_error, F_DUPFD_CLOEXEC, kHighFd);
  if (standard_error < 0) return errno;
  if (::dup2(null_device, 0) < 0 || ::dup2(null_device, 1) < 0 || ::dup2(standard_error, 2) < 0) return errno;
  int next = kFirstGivenFd;
  for (std::size_t i = 0; i < plan.given_count; ++i, ++next)
    if (::dup2(high[i], next) < 0) return errno;
  // The last two close at the exec; everything else is closed here.
  if (::dup3(report, next, O_CLOEXEC) < 0) return errno;
  state.report = next++;
  if (::dup3(executable, next, O_CLOEXEC) < 0) return errno;
  state.executable = next++;
  return close_range(static_cast<unsigned>(next), ~0U, 0) != 0 ? errno : 0;
}

int limit_one(__rlimit_resource resource, rlim_t value) noexcept {
  const rlimit limit{value, value};
  return ::setrlimit(resource, &limit) != 0 ? errno : 0;
}

int limit_resources(ChildState& state) noexcept {
  const ResourceLimits& limits = state.plan.limits;
  const struct {
    __rlimit_resource resource;
    rlim_t value;
  } rows[] = {
      {RLIMIT_FSIZE, state.plan.standard_error < 0 ? 0 : RLIM_INFINITY},  // it has no file to write but a debug log
      {RLIMIT_MSGQUEUE, 0},
      {RLIMIT_MEMLOCK, 0},
      {RLIMIT_NOFILE, limits.open_files},
      {RLIMIT_AS, kEmptyRoot ? limits.address_space : RLIM_INFINITY},
  };
  for (const auto& row : rows)
    if (const int error = limit_one(row.resource, row.value); error != 0) return error;
  return leave_no_core();  // its memory holds what clients sent
}

int drop_privileges(ChildState& state) noexcept { return become(Identity{state.plan.uid, state.plan.uid, -1}); }

// After the change of uid, or it would count against root's processes. The uid has this one process for ever.
int limit_processes(ChildState&) noexcept { return limit_one(RLIMIT_NPROC, 1); }

int die_with_the_spawner(ChildState& state) noexcept {
  // After the change of uid, which clears it (prctl(2)).
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  pollfd reader{state.report, 0, 0};
  if (::poll(&reader, 1, 0) < 0) return errno;
  return (reader.revents & POLLERR) != 0 ? ECHILD : 0;  // the spawner had died before
}

struct Step {
  const char* name;
  int (*run)(ChildState&) noexcept;
};
constexpr std::array kChildSteps = {
    Step{"leave the terminal's session", leave_the_session},
    Step{"unblock signals", unblock_signals},
    Step{"offer itself first where memory is short", offer_itself_first},
    Step{"enter the empty root", enter_the_empty_root},
    Step{"hide the host name", hide_the_host_name},
    Step{"place the descriptors", place_descriptors},
    Step{"limit resources", limit_resources},
    Step{"drop privileges", drop_privileges},
    Step{"limit processes", limit_processes},
    Step{"die with the spawner", die_with_the_spawner},
};
constexpr std::uint8_t kExecStep = kChildSteps.size();

struct Report {
  std::int32_t step = 0;
  std::int32_t error = 0;
};

[[noreturn]] void child_main(const ContainedPlan& plan, int report, char* const argv[], char* const envp[]) noexcept {
  ChildState state{plan, report, plan.executable};
  Report note;
  for (const Step& step : kChildSteps) {
    note.error = step.run(state);
    if (note.error != 0) break;
    ++note.step;
  }
  if (note.error == 0) {
    execveat(state.executable, "", argv, envp, AT_EMPTY_PATH);
    note = {kExecStep, errno};
  }
  [[maybe_unused]] const auto written = ::write(state.report, &note, sizeof note);
  ::_exit(127);
}

}  // namespace

Result<StartingChild> begin_contained(const ContainedPlan& plan) {
  if (plan.uid == 0) return fail(std::string("start ") + plan.program + ": never as root");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("make a report pipe");
  UniqueFd report_read = UniqueFd::adopt(ends[0]);
  const UniqueFd report_write = UniqueFd::adopt(ends[1]);

  char* const argv[] = {const_cast<char*>(plan.program), const_cast<char*>(plan.argument), nullptr};
#ifdef SALLYPORT_ASAN
  char* const envp[] = {const_cast<char*>("ASAN_OPTIONS=detect_leaks=0"), nullptr};
#else
  char* const envp[] = {nullptr};
#endif
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (plan.cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(plan.cgroup);
  }
  const pid_t pid = clone3(arguments);
  if (pid < 0) return fail_errno(std::string("start ") + plan.program + ": make its namespaces (clone3)");
  if (pid == 0) child_main(plan, report_write.get(), argv, envp);
  return StartingChild{Child::from_pidfd(UniqueFd::adopt(pidfd)), std::move(report_read)};
}

Result<Child> finish_contained(StartingChild starting, const ContainedPlan& plan) {
  const std::string doing = std::string("start ") + plan.program;
  pollfd entry{starting.report.get(), POLLIN, 0};
  int ready;
  do ready = ::poll(&entry, 1, kExecWaitMilliseconds);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_errno(doing + ": wait for its exec");
  if (ready == 0) return fail(doing + ": no exec within " + std::to_string(kExecWaitMilliseconds / 1000) + " s");
  Report note;
  const ssize_t size = ::read(starting.report.get(), &note, sizeof note);
  if (size == 0 && !starting.child.handle().has_ended()) return std::move(starting.child);
  if (size == 0) return fail(doing + ": it ended before it ran (killed, or its program cannot be loaded)");
  if (size != sizeof note || note.step < 0 || note.step > kExecStep) return fail(doing + ": an unreadable report");
  const char* step =
      note.step == kExecStep ? "execute the program" : kChildSteps[static_cast<std::size_t>(note.step)].name;
  return fail_errno(doing + ": " + step, note.error);
}

}  // namespace sallyport::spawner
