// What the shipped arrays answer, asked of the emulator: compile and emulate.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

#include "answers.hpp"
#include "seccomp/compile.hpp"
#include "seccomp/emulate.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::seccomp {
namespace {

constexpr std::uint64_t kHighBit = 0x1'0000'0000;

struct Case {
  const char* sentence;
  Filter filter;
  long call;
  std::array<std::uint64_t, 6> arguments;
  std::uint32_t meant;
};

const Case kCases[] = {
    {"a worker reads", Filter::Worker, SYS_read, {}, kAllowed},
    {"a worker starts programs", Filter::Worker, SYS_execve, {}, kAllowed},
    {"a worker forks", Filter::Worker, SYS_fork, {}, kAllowed},
    {"a worker makes threads", Filter::Worker, SYS_clone, {0x3d0f00}, kAllowed},
    {"a worker makes no user namespace", Filter::Worker, SYS_clone, {CLONE_NEWUSER | 17}, refused(EPERM)},
    {"a worker makes no network namespace", Filter::Worker, SYS_clone, {CLONE_NEWNET}, refused(EPERM)},
    {"bits above 32 hide no namespace flag", Filter::Worker, SYS_clone, {kHighBit | CLONE_NEWNS}, refused(EPERM)},
    {"clone3 looks absent to libc", Filter::Worker, SYS_clone3, {}, refused(ENOSYS)},
    {"a worker unshares nothing", Filter::Worker, SYS_unshare, {CLONE_NEWUSER}, refused(EPERM)},
    {"an unknown call looks absent", Filter::Worker, 499, {}, refused(ENOSYS)},
    {"io_uring looks absent", Filter::Worker, SYS_io_uring_setup, {}, refused(ENOSYS)},
    {"a worker asks for its window size", Filter::Worker, SYS_ioctl, {0, TIOCGWINSZ}, kAllowed},
    {"a worker types into no terminal", Filter::Worker, SYS_ioctl, {0, TIOCSTI}, refused(EPERM)},
    {"a worker types into no terminal with a bit above 32",
     Filter::Worker,
     SYS_ioctl,
     {0, kHighBit | TIOCSTI},
     refused(EPERM)},
    {"a worker pastes into no console", Filter::Worker, SYS_ioctl, {0, TIOCLINUX}, refused(EPERM)},
    {"a worker pastes into no console with a bit above 32",
     Filter::Worker,
     SYS_ioctl,
     {0, kHighBit | TIOCLINUX},
     refused(EPERM)},
    {"an ioctl of no list looks unsupported", Filter::Worker, SYS_ioctl, {0, 0xdead}, refused(ENOTTY)},
    {"a worker makes Unix sockets", Filter::Worker, SYS_socket, {AF_UNIX, SOCK_STREAM}, kAllowed},
    {"a worker makes no TCP sockets", Filter::Worker, SYS_socket, {AF_INET, SOCK_STREAM}, refused(EAFNOSUPPORT)},
    {"one with a loopback does", Filter::LoopbackWorker, SYS_socket, {AF_INET, SOCK_STREAM, IPPROTO_TCP}, kAllowed},
    {"a worker makes no SCTP socket",
     Filter::LoopbackWorker,
     SYS_socket,
     {AF_INET, SOCK_STREAM, IPPROTO_SCTP},
     refused(EAFNOSUPPORT)},
    {"a worker makes no vsock socket", Filter::Worker, SYS_socket, {AF_VSOCK, SOCK_STREAM}, refused(EAFNOSUPPORT)},
    {"a worker makes no vsock socket with a bit above 32",
     Filter::Worker,
     SYS_socket,
     {kHighBit | AF_VSOCK, SOCK_STREAM},
     refused(EAFNOSUPPORT)},
    {"a worker makes no netlink socket", Filter::Worker, SYS_socket, {AF_NETLINK, SOCK_RAW}, refused(EAFNOSUPPORT)},
    {"a worker makes no packet socket", Filter::Worker, SYS_socket, {AF_PACKET, SOCK_RAW}, refused(EAFNOSUPPORT)},
    {"a worker makes no alg socket", Filter::Worker, SYS_socket, {AF_ALG, SOCK_SEQPACKET}, refused(EAFNOSUPPORT)},
    {"a worker makes pipes of its own", Filter::Worker, SYS_mknodat, {0, 0, S_IFIFO | 0600}, kAllowed},
    {"a worker makes no device", Filter::Worker, SYS_mknodat, {0, 0, S_IFCHR | 0600, 0x103}, refused(EPERM)},
    {"a worker traces nobody", Filter::Worker, SYS_ptrace, {}, refused(EPERM)},
    {"a worker adds no keys", Filter::Worker, SYS_add_key, {}, refused(EPERM)},
    {"a worker mounts nothing", Filter::Worker, SYS_mount, {}, refused(EPERM)},
    {"a worker opens no file handles", Filter::Worker, SYS_open_by_handle_at, {}, refused(EPERM)},
    {"a worker loads no programs into the kernel", Filter::Worker, SYS_bpf, {}, refused(EPERM)},
    {"a worker names its threads", Filter::Worker, SYS_prctl, {PR_SET_NAME}, kAllowed},
    {"a worker changes no memory map descriptions", Filter::Worker, SYS_prctl, {PR_SET_MM}, refused(EINVAL)},
    {"a worker keeps address randomisation", Filter::Worker, SYS_personality, {0x0040000}, refused(EPERM)},
    {"a worker asks for its personality", Filter::Worker, SYS_personality, {0xffffffff}, kAllowed},

    {"a gate hears the keeper", Filter::Gate, SYS_recvmsg, {}, kAllowed},
    {"a gate writes answers", Filter::Gate, SYS_writev, {}, kAllowed},
    {"a gate sends no descriptor", Filter::Gate, SYS_sendmsg, {}, kKilled},
    {"a gate sends no descriptors", Filter::Gate, SYS_sendmmsg, {}, kKilled},
    {"a gate sends to no address", Filter::Gate, SYS_sendto, {}, kKilled},
    {"a gate makes no socket", Filter::Gate, SYS_socket, {AF_UNIX}, kKilled},
    {"a gate makes no pair of sockets", Filter::Gate, SYS_socketpair, {AF_UNIX}, kKilled},
    {"a gate connects to nothing", Filter::Gate, SYS_connect, {}, kKilled},
    {"a gate binds nothing", Filter::Gate, SYS_bind, {}, kKilled},
    {"a gate listens nowhere", Filter::Gate, SYS_listen, {}, kKilled},
    {"a gate opens no file", Filter::Gate, SYS_openat, {}, kKilled},
    {"a gate starts no program", Filter::Gate, SYS_execve, {}, kKilled},
    {"a gate makes no process", Filter::Gate, SYS_clone, {}, kKilled},
    {"a gate takes no descriptor of others", Filter::Gate, SYS_pidfd_getfd, {}, kKilled},
    {"a gate maps no memory executable by mprotect", Filter::Gate, SYS_mprotect, {}, kKilled},
    {"a gate asks for no other ioctl than FIONBIO", Filter::Gate, SYS_ioctl, {0, TIOCSTI}, kKilled},
    {"a gate signals nobody", Filter::Gate, SYS_kill, {}, kKilled},

    {"a relay carries bytes", Filter::Relay, SYS_read, {}, kAllowed},
    {"a relay turns no socket with AF_UNSPEC", Filter::Relay, SYS_connect, {}, kKilled},
    {"a relay binds nothing", Filter::Relay, SYS_bind, {}, kKilled},
    {"a relay listens nowhere", Filter::Relay, SYS_listen, {}, kKilled},
    {"a relay sends no descriptor", Filter::Relay, SYS_sendmsg, {}, kKilled},
    {"a relay makes no socket", Filter::Relay, SYS_socket, {AF_INET}, kKilled},
    {"a relay opens no file", Filter::Relay, SYS_openat, {}, kKilled},
    {"a relay starts no program", Filter::Relay, SYS_execve, {}, kKilled},

    {"a keeper dials dockerd", Filter::Keeper, SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC}, kAllowed},
    {"a keeper makes no network socket", Filter::Keeper, SYS_socket, {AF_INET}, kKilled},
    {"a keeper starts no program", Filter::Keeper, SYS_execve, {}, kKilled},
    {"a keeper makes no process", Filter::Keeper, SYS_fork, {}, kKilled},
    {"a keeper changes no identity", Filter::Keeper, SYS_setresuid, {}, kKilled},
    {"a keeper traces nobody", Filter::Keeper, SYS_ptrace, {}, kKilled},
    {"a keeper mounts nothing", Filter::Keeper, SYS_mount, {}, kKilled},

    {"an init reaps", Filter::Init, SYS_waitid, {}, kAllowed},
    {"an init opens no file", Filter::Init, SYS_openat, {}, kKilled},
    {"an init starts no program", Filter::Init, SYS_execve, {}, kKilled},
    {"an init makes no process", Filter::Init, SYS_clone, {}, kKilled},
    {"an init signals nobody", Filter::Init, SYS_kill, {}, kKilled},
};

class Meaning : public testing::TestWithParam<Case> {};

TEST_P(Meaning, IsAsTheSentenceSays) {
  const Case& one = GetParam();
  seccomp_data data{};
  data.nr = static_cast<int>(one.call);
  data.arch = AUDIT_ARCH_X86_64;
  std::ranges::copy(one.arguments, data.args);
  const auto answer = emulate(program(one.filter), data);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(*answer, one.meant) << one.sentence;
}
INSTANTIATE_TEST_SUITE_P(Filters, Meaning, testing::ValuesIn(kCases), [](const auto& each) {
  std::string name = each.param.sentence;
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

TEST(EveryFilter, KillsForeignArchitecturesAndX32) {
  for (const Filter filter : {Filter::Worker, Filter::Init, Filter::Gate, Filter::Relay, Filter::Keeper}) {
    for (int number = 0; number < 600; ++number) {
      seccomp_data i386{};
      i386.nr = number;
      i386.arch = AUDIT_ARCH_I386;
      EXPECT_EQ(emulate(program(filter), i386), SECCOMP_RET_KILL_PROCESS);
      seccomp_data x32{};
      x32.nr = number | 0x40000000;
      x32.arch = AUDIT_ARCH_X86_64;
      EXPECT_EQ(emulate(program(filter), x32), SECCOMP_RET_KILL_PROCESS);
    }
  }
}

}  // namespace
}  // namespace sallyport::seccomp
