// TESTS. Attacks on a launcher from the worker's seat: attacks NAME. Prints "yes" where the attack succeeds, or why not.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int say(long result) {
  puts(result >= 0 ? "yes" : strerrorname_np(errno));
  return 0;
}

static int user_namespace(void) { return say(unshare(CLONE_NEWUSER)); }

static int user_namespace_by_clone(void) {
  // A flag above the 32 bits that the kernel looks at must not hide the others from a filter.
  const long child = syscall(SYS_clone, 0x100000000UL | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return say(child);
}

static int io_uring(void) {
  struct io_uring_params parameters = {0};
  return say(syscall(SYS_io_uring_setup, 2, &parameters));
}

static pid_t sleeper(void) {
  const pid_t child = fork();
  if (child == 0) pause();
  return child;
}

static int trace(void) {
  const pid_t child = sleeper();
  const long result = ptrace(PTRACE_SEIZE, child, 0, 0);
  say(result);
  return kill(child, SIGKILL);
}

static char secret[] = "secret";
static int read_process(void) {
  const pid_t child = sleeper();
  char copy[sizeof secret];
  struct iovec here = {copy, sizeof copy}, there = {secret, sizeof secret};
  say(process_vm_readv(child, &here, 1, &there, 1, 0));
  return kill(child, SIGKILL);
}

static int add_key(void) { return say(syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_PROCESS_KEYRING)); }

// A key that the caller of the launcher put into its session keyring.
static int find_key(void) { return say(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "callers", 0)); }

static int terminal_input(void) {
  const char* typed = "id\n";
  for (; *typed != 0; ++typed)
    if (ioctl(0, TIOCSTI, typed) != 0) return say(-1);
  return say(0);
}

static int connect_abstract(const char* name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, name);
  return say(connect(fd, (struct sockaddr*)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static int connect_loopback(const char* port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return say(fd);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return say(connect(fd, (struct sockaddr*)&address, sizeof address));
}

static int shared_memory(const char* id) { return say(shmat(atoi(id), NULL, SHM_RDONLY) == (void*)-1 ? -1 : 0); }

static int count_descriptors(void) {
  int open = 0;
  for (int fd = 0; fd < 4096; ++fd) open += fcntl(fd, F_GETFD) >= 0;
  printf("%d\n", open);
  return 0;
}

// Reads a file of the host by each directory descriptor that is open, and by the working directory.
static int walk_out(const char* path) {
  char up[4096] = "";
  for (int i = 0; i < 40; ++i) strcat(up, "../");
  strcat(up, path + 1);
  if (open(up, O_RDONLY) >= 0) return say(0);
  for (int fd = 0; fd < 4096; ++fd)
    if (openat(fd, up, O_RDONLY) >= 0) return say(0);
  errno = ENOENT;
  return say(-1);
}

static int set_non_blocking(void) {
  for (int fd = 0; fd < 3; ++fd)
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) return say(-1);
  return 0;
}

static int gained_user(void) {
  printf("%s\n", geteuid() == 0 ? "yes" : "no");
  return 0;
}

static int signal_process(const char* pid) { return say(kill(atoi(pid), 0)); }

static int overwrite_itself(const char* path) { return say(open(path, O_WRONLY)); }

int main(int count, char** arguments) {
  const char* name = count > 1 ? arguments[1] : "";
  const char* argument = count > 2 ? arguments[2] : "";
  if (!strcmp(name, "user-namespace")) return user_namespace();
  if (!strcmp(name, "user-namespace-by-clone")) return user_namespace_by_clone();
  if (!strcmp(name, "io_uring")) return io_uring();
  if (!strcmp(name, "trace")) return trace();
  if (!strcmp(name, "read-process")) return read_process();
  if (!strcmp(name, "add-key")) return add_key();
  if (!strcmp(name, "find-key")) return find_key();
  if (!strcmp(name, "terminal-input")) return terminal_input();
  if (!strcmp(name, "abstract")) return connect_abstract(argument);
  if (!strcmp(name, "loopback")) return connect_loopback(argument);
  if (!strcmp(name, "shared-memory")) return shared_memory(argument);
  if (!strcmp(name, "descriptors")) return count_descriptors();
  if (!strcmp(name, "walk-out")) return walk_out(argument);
  if (!strcmp(name, "non-blocking")) return set_non_blocking();
  if (!strcmp(name, "gained-user")) return gained_user();
  if (!strcmp(name, "signal")) return signal_process(argument);
  if (!strcmp(name, "overwrite")) return overwrite_itself(argument);
  fprintf(stderr, "no such attack: %s\n", name);
  return 2;
}
