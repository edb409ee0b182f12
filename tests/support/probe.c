// Runs in a container: tries what a container of a session must not be able to do, one line an attempt.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char* what, long result) {
  printf("%s %s\n", what, result >= 0 ? "yes" : strerrorname_np(errno));
}

int main(int count, char** arguments) {
  if (count > 1 && strcmp(arguments[1], "inotify") == 0) {
    int made = 0;
    while (made < 100000 && inotify_init() >= 0) ++made;
    printf("inotify %d\n", made);
    fflush(stdout);
    pause();
  }
  say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
  say("inet", socket(AF_INET, SOCK_STREAM, 0));
  say("inet6", socket(AF_INET6, SOCK_STREAM, 0));
  say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  say("packet", socket(AF_PACKET, SOCK_RAW, 0));
  say("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
  say("alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
  say("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
  say("userns", unshare(CLONE_NEWUSER));
  say("keyring", syscall(SYS_add_key, "user", "x", "x", 1, -3));
  say("bpf", syscall(SYS_bpf, 0, NULL, 0));
  return 0;
}
