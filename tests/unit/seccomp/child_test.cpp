// Real children under real filters: what is allowed works, what is refused says so, what kills kills.
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "seccomp/filters.hpp"

namespace sallyport::seccomp {
namespace {

#ifdef SALLYPORT_ASAN
constexpr bool kUnlistedKills = false;
#else
constexpr bool kUnlistedKills = true;
#endif

// The errno that `act` ended with under the filter (0: it succeeded), or 1000 + the signal that killed the child.
int outcome_under(Filter filter, long (*act)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (install(filter) != 0) ::_exit(255);
    errno = 0;
    const long result = act();
    ::_exit(result >= 0 ? 0 : errno);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}
constexpr int killed() { return 1000 + SIGSYS; }

long i386_getpid() {
  long result = 20;  // __NR_getpid of i386
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result;
}

TEST(AWorker, ReadsFilesButAnUnknownCallLooksAbsent) {
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return static_cast<long>(::open("/dev/null", O_RDONLY)); }), 0);
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return ::syscall(499); }), ENOSYS);
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return ::syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
}

TEST(AWorker, IsToldWhichSocketsThereAre) {
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return static_cast<long>(::socket(AF_UNIX, SOCK_STREAM, 0)); }), 0);
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return static_cast<long>(::socket(AF_VSOCK, SOCK_STREAM, 0)); }),
            EAFNOSUPPORT);
}

TEST(AWorker, CannotHideARequestAbove32Bits) {
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return ::syscall(SYS_ioctl, 0, 0x1'0000'0000UL | TIOCSTI, "x"); }),
            EPERM);
}

// Some kernels have no such calls (CONFIG_IA32_EMULATION, ia32_emulation=0): then the byte sequence is a fault.
bool has_calls_of_i386() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer's would speak of it
    ::_exit(i386_getpid() > 0 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(AWorker, DiesOfForeignArchitectures) {
  if (!has_calls_of_i386()) GTEST_SKIP() << "this kernel has no calls of i386 (int 0x80 faults)";
  EXPECT_EQ(outcome_under(Filter::Worker, i386_getpid), killed());
}

TEST(AWorker, DiesOfX32) {
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return ::syscall(0x40000000 | __NR_getpid); }), killed());
}

TEST(AGate, DiesOfASocketAndOfAFile) {
  const int expected = kUnlistedKills ? killed() : EPERM;
  EXPECT_EQ(outcome_under(Filter::Gate, [] { return static_cast<long>(::socket(AF_UNIX, SOCK_STREAM, 0)); }), expected);
  EXPECT_EQ(outcome_under(Filter::Gate, [] { return static_cast<long>(::open("/etc/passwd", O_RDONLY)); }), expected);
  EXPECT_EQ(outcome_under(Filter::Gate, [] { return static_cast<long>(::read(-1, nullptr, 0)); }), EBADF);
}

TEST(Install, SetsNoNewPrivilegesAndIsForGood) {
  EXPECT_EQ(outcome_under(Filter::Worker, [] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0L : -1L; }), 0);
  // A second filter can only take away: what the first refused stays refused.
  EXPECT_EQ(outcome_under(Filter::Worker,
                          [] { return install(Filter::Worker) != 0 ? -1L : ::syscall(SYS_unshare, 0x10000000) + 1; }),
            0);
}

}  // namespace
}  // namespace sallyport::seccomp
