// Every call of every filter against calls.txt, and of the calls that are allowed with some arguments only every
// interesting argument against the lists below: none of it is read from the profiles' own tables.
#include <asm-generic/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "answers.hpp"
#include "seccomp/emulate.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::seccomp {
namespace {

namespace json = boost::json;
using Arguments = std::array<std::uint64_t, 6>;
using Names = std::set<std::string>;

constexpr int kCalls = 512;

std::uint32_t answer(Filter filter, long call, const Arguments& arguments) {
  seccomp_data data{};
  data.nr = static_cast<int>(call);
  data.arch = AUDIT_ARCH_X86_64;
  std::ranges::copy(arguments, data.args);
  return emulate(program(filter), data).value_or(0xffffffff);
}

// "" where x86-64 has no call of this number.
std::string name_of(int number) {
  const std::unique_ptr<char, void (*)(void*)> name(::seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number),
                                                    std::free);
  return name ? name.get() : "";
}

const std::map<std::string, Names>& told() {
  static const auto lists = [] {
    std::map<std::string, Names> read;
    std::ifstream file(SALLYPORT_CALLS);
    std::string section;
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with('#')) continue;
      if (line.starts_with('[')) section = line.substr(1, line.size() - 2);
      std::istringstream words(line.starts_with('[') ? "" : line);
      for (std::string word; words >> word;) read[section].insert(word);
    }
    return read;
  }();
  return lists;
}
Names told(const std::string& section) {
  const auto found = told().find(section);
  return found == told().end() ? Names{} : found->second;
}

// What any condition of ours looks for, and what none does.
const std::uint64_t kProbes[] = {0,          1,
                                 2,          3,
                                 5,          15,
                                 40,         7,
                                 8,          17,
                                 FIONBIO,    TIOCSTI,
                                 TIOCLINUX,  TCGETS,
                                 S_IFREG,    S_IFCHR,
                                 S_IFBLK,    CLONE_NEWNS,
                                 0x0020000,  0x0040000,
                                 0xdead,     AF_NETLINK,
                                 AF_VSOCK,   10,
                                 PR_SET_MM,  CLONE_NEWUSER,
                                 0xffffffff, ~0ULL};

std::set<std::uint32_t> answers(Filter filter, int call) {
  std::set<std::uint32_t> seen;
  for (std::size_t argument = 0; argument < 6; ++argument)
    for (const std::uint64_t value : kProbes)
      for (const std::uint64_t rest : std::initializer_list<std::uint64_t>{0, 1, ~0ULL}) {
        Arguments arguments{rest, rest, rest, rest, rest, rest};
        arguments[argument] = value;
        seen.insert(answer(filter, call, arguments));
      }
  return seen;
}

struct Named {
  const char* name;
  Filter filter;
  std::uint32_t unlisted;
};
const Named kFilters[] = {{"worker", Filter::Worker, refused(ENOSYS)},
                          {"worker", Filter::LoopbackWorker, refused(ENOSYS)},
                          {"init", Filter::Init, kKilled},
                          {"gate", Filter::Gate, kKilled},
                          {"relay", Filter::Relay, kKilled},
                          {"keeper", Filter::Keeper, kKilled}};
class Calls : public testing::TestWithParam<Named> {};

TEST_P(Calls, OfEveryNumberAreAnsweredAsTheListSays) {
  const auto& [name, filter, unlisted] = GetParam();
  Names allowed, allowed_in_part, refused_with_eperm;
  for (int call = 0; call < kCalls; ++call) {
    const auto seen = answers(filter, call);
    const std::string called = name_of(call);
    if (seen == std::set{kAllowed}) allowed.insert(called);
    else if (seen.contains(kAllowed)) allowed_in_part.insert(called);
    else if (seen == std::set{refused(EPERM)} && unlisted != refused(EPERM)) refused_with_eperm.insert(called);
    else EXPECT_EQ(seen, std::set{unlisted}) << name << ": " << call << " " << called;
  }
#ifdef SALLYPORT_ASAN
  allowed.erase("sigaltstack");
  auto meant = told(std::string(name) + " allows");
  meant.erase("sigaltstack");
  EXPECT_EQ(allowed, meant);
#else
  EXPECT_EQ(allowed, told(std::string(name) + " allows"));
#endif
  EXPECT_EQ(allowed_in_part, told(std::string(name) + " allows some of"));
  EXPECT_EQ(refused_with_eperm, told(std::string(name) + " answers EPERM to"));
}
INSTANTIATE_TEST_SUITE_P(Filters, Calls, testing::ValuesIn(kFilters), [](const auto& each) {
  return std::string(each.param.filter == Filter::LoopbackWorker ? "loopback_" : "") + each.param.name;
});

// --- the arguments ---

const std::uint64_t kHighHalves[] = {0, 0x1'0000'0000, 0xffff'ffff'0000'0000};

// Whether each value of one argument is allowed, whatever its upper half is: the kernel does not look at that.
void expect_argument(Filter filter, long call, std::size_t argument, std::uint32_t value, bool is_allowed,
                     std::uint32_t otherwise, Arguments rest = {}) {
  for (const std::uint64_t high : kHighHalves) {
    rest[argument] = high | value;
    EXPECT_EQ(answer(filter, call, rest), is_allowed ? kAllowed : otherwise) << call << " with " << rest[argument];
  }
}

const std::set<std::uint32_t> kWorkerIoctls = {
    FIOCLEX,         FIONCLEX,   FIONBIO,     FIOASYNC,    FIONREAD,     TIOCOUTQ,    TCGETS,       TCGETS2,
    TCSETS,          TCSETSW,    TCSETSF,     TCSETS2,     TCSETSW2,     TCSETSF2,    TCSBRK,       TCXONC,
    TCFLSH,          TIOCGWINSZ, TIOCSWINSZ,  TIOCGPGRP,   TIOCSPGRP,    TIOCGSID,    TIOCSCTTY,    TIOCNOTTY,
    FS_IOC_GETFLAGS, FIGETBSZ,   SIOCGIFCONF, SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFINDEX, SIOCGIFMTU};

TEST(Ioctls, AreTheListedRequestsAndNoOther) {
  std::set<std::uint32_t> requests;
  for (std::uint32_t request = 0; request < 0x10000; ++request) requests.insert(request);
  for (const std::uint32_t known : kWorkerIoctls)
    for (int bit = 0; bit < 32; ++bit) requests.insert({known, known ^ 1U << bit});
  for (const std::uint32_t request : requests) {
    const bool types = request == TIOCSTI || request == TIOCLINUX;
    const auto meant = types ? refused(EPERM) : kWorkerIoctls.contains(request) ? kAllowed : refused(ENOTTY);
    for (const std::uint64_t high : kHighHalves)
      ASSERT_EQ(answer(Filter::Worker, SYS_ioctl, {0, high | request}), meant) << std::hex << request;
    for (const Filter filter : {Filter::Gate, Filter::Relay, Filter::Keeper})
      ASSERT_EQ(answer(filter, SYS_ioctl, {0, request}), request == FIONBIO ? kAllowed : kKilled) << request;
  }
}

const std::set<std::uint32_t> kWorkerPrctl = {PR_SET_NAME,
                                              PR_GET_NAME,
                                              PR_SET_PDEATHSIG,
                                              PR_GET_PDEATHSIG,
                                              PR_GET_DUMPABLE,
                                              PR_SET_DUMPABLE,
                                              PR_SET_CHILD_SUBREAPER,
                                              PR_GET_CHILD_SUBREAPER,
                                              PR_SET_NO_NEW_PRIVS,
                                              PR_GET_NO_NEW_PRIVS,
                                              PR_GET_SECCOMP,
                                              PR_SET_SECCOMP,
                                              PR_CAPBSET_READ,
                                              PR_CAP_AMBIENT,
                                              PR_GET_SECUREBITS,
                                              PR_GET_KEEPCAPS,
                                              PR_SET_TIMERSLACK,
                                              PR_GET_TIMERSLACK,
                                              PR_SET_THP_DISABLE,
                                              PR_GET_THP_DISABLE,
                                              PR_SET_VMA,
                                              PR_GET_SPECULATION_CTRL,
                                              PR_SET_SPECULATION_CTRL};

TEST(ProcessControl, IsTheListedOptionsAndNoOther) {
  std::set<std::uint32_t> options = {0x59616d61, 0x53564d42, 0xffffffff};  // PR_SET_PTRACER among them
  for (std::uint32_t option = 0; option < 256; ++option) options.insert(option);
  options.insert(PR_SET_VMA);
  for (const std::uint32_t option : options)
    expect_argument(Filter::Worker, SYS_prctl, 0, option, kWorkerPrctl.contains(option), refused(EINVAL));
}

constexpr std::uint32_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

TEST(Clone, MakesNoNamespaceOfAnyKindWhateverElseIsAsked) {
  for (int bit = 0; bit < 32; ++bit)
    for (const std::uint32_t besides : {0U, 17U, std::uint32_t{CLONE_VM | CLONE_FS | CLONE_FILES}, ~kNamespaces}) {
      const std::uint32_t flags = 1U << bit | besides;
      expect_argument(Filter::Worker, SYS_clone, 0, flags, (flags & kNamespaces) == 0, refused(EPERM));
    }
}

// One more of type or protocol makes the kernel run modprobe, as root.
bool is_usual(std::uint32_t type, std::uint32_t protocol) {
  if (type == SOCK_STREAM) return protocol == 0 || protocol == IPPROTO_TCP;
  return type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
}

TEST(Sockets, OfAWorkerAreUnixOnesAndWithALoopbackTcpAndUdpOfTheirUsualTypes) {
  constexpr std::uint32_t kFlags[] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
  for (std::uint32_t family = 0; family < 64; ++family)
    for (std::uint32_t type = 0; type < 16; ++type)
      for (std::uint32_t protocol = 0; protocol < 300; ++protocol) {
        const bool is_internet = family == AF_INET || family == AF_INET6;
        const Arguments rest{0, type | kFlags[protocol % 3], protocol};
        expect_argument(Filter::Worker, SYS_socket, 0, family, family == AF_UNIX, refused(EAFNOSUPPORT), rest);
        expect_argument(Filter::LoopbackWorker, SYS_socket, 0, family,
                        family == AF_UNIX || (is_internet && is_usual(type, protocol)), refused(EAFNOSUPPORT), rest);
      }
  for (const Filter filter : {Filter::Worker, Filter::LoopbackWorker})
    for (std::uint32_t family = 0; family < 64; ++family)
      expect_argument(filter, SYS_socketpair, 0, family, family == AF_UNIX, refused(EAFNOSUPPORT));
}

TEST(SocketOptions, OfAWorkerAreAllButSizesOfBuffersWhichAreAnsweredAndNotSetAndWhatTakesOfTheHosts) {
  const std::map<std::uint32_t, std::uint32_t> of_sockets = {{SO_SNDBUF, refused(0)},
                                                             {SO_LINGER, refused(0)},
                                                             {SO_RCVBUF, refused(0)},
                                                             {SO_SNDBUFFORCE, refused(0)},
                                                             {SO_RCVBUFFORCE, refused(0)},
                                                             {73, refused(ENOPROTOOPT)},
                                                             {SO_ATTACH_FILTER, refused(EPERM)},
                                                             {SO_ATTACH_BPF, refused(EPERM)},
                                                             {SO_ATTACH_REUSEPORT_CBPF, refused(EPERM)},
                                                             {SO_ATTACH_REUSEPORT_EBPF, refused(EPERM)}};
  const std::map<std::uint32_t, std::uint32_t> of_tcp = {{38, refused(ENOPROTOOPT)}};
  for (const Filter filter : {Filter::Worker, Filter::LoopbackWorker})
    for (const std::uint32_t level : {std::uint32_t{SOL_SOCKET}, 0U, std::uint32_t{IPPROTO_TCP}, 41U})
      for (std::uint32_t option = 0; option < 100; ++option) {
        const auto& named = level == IPPROTO_TCP ? of_tcp : of_sockets;
        const auto found = named.find(option);
        const bool is_refused = found != named.end() && (level == SOL_SOCKET || level == IPPROTO_TCP);
        expect_argument(filter, SYS_setsockopt, 2, option, !is_refused, is_refused ? found->second : 0, {0, level});
      }
}

TEST(Descriptors, OfAWorkerKeepTheirPipesAsTheyAre) {
  for (std::uint32_t command = 0; command < 2000; ++command)
    expect_argument(Filter::Worker, SYS_fcntl, 1, command, command != F_SETPIPE_SZ, refused(EPERM));
}

TEST(Sockets, OfAKeeperAreUnixStreams) {
  for (const long call : {SYS_socket, SYS_socketpair})
    for (std::uint32_t family = 0; family < 64; ++family)
      for (std::uint32_t type = 0; type < 16; ++type)
        for (const std::uint32_t flags :
             std::initializer_list<std::uint32_t>{0, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC})
          expect_argument(Filter::Keeper, call, 0, family, family == AF_UNIX && type == SOCK_STREAM, kKilled,
                          {0, type | flags});
}

TEST(Personality, OfAWorkerIsPlainLinux) {
  for (int bit = 0; bit < 32; ++bit)
    expect_argument(Filter::Worker, SYS_personality, 0, 1U << bit, false, refused(EPERM));
  for (const std::uint32_t value : {0U, 0xffffffffU})
    expect_argument(Filter::Worker, SYS_personality, 0, value, true, refused(EPERM));
}

TEST(Nodes, ThatAWorkerMakesAreFilesAndPipes) {
  for (std::uint32_t type = 0; type <= S_IFMT; type += S_IFMT & -S_IFMT)
    for (const std::uint32_t mode : {0U, 0600U, 04777U, 07777U}) {
      const bool is_harmless = type == 0 || type == S_IFREG || type == S_IFIFO;
      expect_argument(Filter::Worker, SYS_mknod, 1, type | mode, is_harmless, refused(EPERM));
      expect_argument(Filter::Worker, SYS_mknodat, 2, type | mode, is_harmless, refused(EPERM));
    }
}

// --- the profile of every container ---

// As libseccomp reads what runc gives it: SCMP_CMP_MASKED_EQ is (argument & value) == valueTwo.
std::string container_answer(std::string_view call, const Arguments& arguments) {
  static const json::value parsed = json::parse(container_profile_json());
  for (const json::value& entry : parsed.at("syscalls").as_array()) {
    const json::object& row = entry.as_object();
    if (std::ranges::find(row.at("names").as_array(), json::value(call)) == row.at("names").as_array().end()) continue;
    bool holds = true;
    if (row.contains("args"))
      for (const json::value& each : row.at("args").as_array()) {
        EXPECT_EQ(each.at("op"), "SCMP_CMP_MASKED_EQ");
        const auto value = arguments.at(each.at("index").to_number<std::size_t>());
        holds = holds &&
                (value & each.at("value").to_number<std::uint64_t>()) == each.at("valueTwo").to_number<std::uint64_t>();
      }
    if (!holds) continue;
    if (row.at("action") == "SCMP_ACT_ALLOW") return "allowed";
    return std::string(row.at("action").as_string()) + " " + std::to_string(row.at("errnoRet").to_number<int>());
  }
  return "default";
}
void expect_container(std::string_view call, std::size_t argument, std::uint32_t value, bool is_allowed) {
  Arguments arguments{};
  arguments[argument] = value;
  EXPECT_EQ(container_answer(call, arguments), is_allowed ? "allowed" : "default") << call << " with " << value;
}

TEST(AContainer, MayCallWhatTheListSays) {
  Names allowed;
  for (int call = 0; call < kCalls; ++call) {
    const std::string name = name_of(call);
    const bool with_zeros = container_answer(name, {}) == "allowed";
    const Arguments ones{~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL};
    if (with_zeros && container_answer(name, ones) == "allowed") allowed.insert(name);
  }
  allowed.erase("personality");  // zeros and ones are two of its values; below
  EXPECT_EQ(allowed, told("container allows"));
}

TEST(AContainer, MakesNoNamespaceSocketNodeOrPersonalityBesidesTheListed) {
  for (int bit = 0; bit < 32; ++bit) {
    expect_container("clone", 0, 1U << bit, (1U << bit & kNamespaces) == 0);
    expect_container("clone", 0, 1U << bit | 17, ((1U << bit) & kNamespaces) == 0);
  }
  EXPECT_EQ(container_answer("clone3", {}), "SCMP_ACT_ERRNO " + std::to_string(ENOSYS));
  for (std::uint32_t family = 0; family < 64; ++family) {
    expect_container("socket", 0, family, family == AF_UNIX || family == AF_INET || family == AF_INET6);
    expect_container("socketpair", 0, family, family == AF_UNIX);
  }
  for (std::uint32_t type = 0; type <= S_IFMT; type += S_IFMT & -S_IFMT)
    for (const std::uint32_t mode : {0U, 0600U, 07777U}) {
      const bool is_harmless = type == 0 || type == S_IFREG || type == S_IFIFO || type == S_IFSOCK;
      expect_container("mknod", 1, type | mode, is_harmless);
      expect_container("mknodat", 2, type | mode, is_harmless);
    }
  const std::set<std::uint32_t> personalities = {0, 0x0008, 0x20000, 0x20008, 0xffffffff};
  for (int bit = 0; bit < 32; ++bit) expect_container("personality", 0, 1U << bit, personalities.contains(1U << bit));
  for (const std::uint32_t one : personalities) expect_container("personality", 0, one, true);
}

}  // namespace
}  // namespace sallyport::seccomp
