// BENCHMARKS ONLY. The least that a start in seven namespaces can cost: clone3, a map of ids, a root of one tmpfs with
// /usr, its links and /proc, pivot_root, exec. No filter, no init, no limits, no capabilities dropped: not a sandbox.
//   bench_bare_launch PROGRAM ARGUMENTS...
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/bench/bench.hpp"

namespace sallyport::bench {
namespace {

void check(long result, const char* doing) {
  if (result >= 0) return;
  std::perror(doing);
  ::_exit(125);
}

[[noreturn]] void run_child(int mapped, char** command) {
  char word;
  check(::read(mapped, &word, 1) - 1, "wait for the map");
  check(::setresgid(1000, 1000, 1000), "setresgid");
  check(::setresuid(1000, 1000, 1000), "setresuid");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
  check(::mount("root", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m"), "mount the root");
  check(::chdir("/tmp"), "chdir");
  check(::mkdir("usr", 0755), "mkdir");
  check(::mount("/usr", "usr", nullptr, MS_BIND | MS_REC, nullptr), "bind /usr");
  check(::mkdir("proc", 0755), "mkdir");
  check(::mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "mount proc");
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    char target[32];
    std::snprintf(target, sizeof target, "usr/%s", name);
    check(::symlink(target, name), "symlink");
  }
  check(::syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(::umount2(".", MNT_DETACH), "umount");
  check(::chdir("/"), "chdir");
  ::execv(command[0], command);
  check(-1, "exec");
  ::_exit(125);
}

void write_map(pid_t child, const char* name, const char* text) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", child, name);
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  check(file, "open a map");
  check(::write(file, text, std::strlen(text)), "write a map");
  ::close(file);
}

int main_with(int argc, char** argv) {
  if (argc < 2) die("usage: bench_bare_launch PROGRAM ARGUMENTS...", 0);
  int mapped[2];
  check(::pipe2(mapped, O_CLOEXEC), "pipe");
  clone_args arguments{};
  arguments.flags =
      CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  arguments.exit_signal = SIGCHLD;
  const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  check(child, "clone3");
  if (child == 0) run_child(mapped[0], argv + 1);
  write_map(static_cast<pid_t>(child), "uid_map", "1000 200000 1\n");
  write_map(static_cast<pid_t>(child), "gid_map", "1000 200000 1\n");
  check(::write(mapped[1], "m", 1), "tell the child");
  int status = 0;
  check(::waitpid(static_cast<pid_t>(child), &status, 0), "wait");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

}  // namespace
}  // namespace sallyport::bench

int main(int argc, char** argv) { return sallyport::bench::main_with(argc, argv); }
