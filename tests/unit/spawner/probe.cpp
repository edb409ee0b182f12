// Stands in a gate's or relay's place and tells, on descriptor 3, what it can see and do there. Static, like them.
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern char** environ;

namespace {

std::string list_root() {
  std::string names;
  DIR* root = ::opendir("/");
  while (const dirent* entry = root ? ::readdir(root) : nullptr)
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
      names += std::string(entry->d_name) + " ";
  return names.empty() ? "empty" : names;
}

std::string list_fds() {
  std::string numbers;
  for (int fd = 0; fd < 512; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) numbers += std::to_string(fd) + " ";
  return numbers;
}

std::string list_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return "unreadable";
  unsigned bits = 0;
  for (const auto& word : data) bits |= word.effective | word.permitted | word.inheritable;
  for (int capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability) == 1) return "bounding " + std::to_string(capability);
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) return "ambient";
  }
  return bits == 0 ? "none" : "some";
}

// Called as systemctl: what it was given is written into the working directory, which is the spawner's.
int stand_in_for_systemctl(int argc, char** argv) {
  std::FILE* file = std::fopen("systemctl-was-called", "a");
  if (file == nullptr) return 1;
  for (int i = 0; i < argc; ++i) std::fprintf(file, "%s ", argv[i]);
  for (char** entry = environ; *entry != nullptr; ++entry) std::fprintf(file, "ENV:%s ", *entry);
  int open = 0;
  for (int fd = 0; fd < 512; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 && fd != ::fileno(file) ? 1 : 0;
  std::fprintf(file, "descriptors:%d\n", open);
  return std::fclose(file);
}

std::string word(int result) { return result >= 0 ? "done" : std::strerror(errno); }

// How often until the error that follows.
std::string until_refused(int (*act)()) {
  int done = 0;
  while (done < 100'000 && act() >= 0) ++done;
  const std::string why = std::strerror(errno);
  return std::to_string(done) + " " + why;
}

int lock_a_page() {
  alignas(4096) static char page[4096];
  return static_cast<int>(::syscall(SYS_mlock, page, sizeof page));  // past the sanitizer's, which does nothing
}

int map_a_mebibyte() {
  return ::mmap(nullptr, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

int write_a_byte() {
  ::signal(SIGXFSZ, SIG_IGN);
  const int file = ::memfd_create("x", MFD_CLOEXEC);
  const int written = static_cast<int>(::write(file, "x", 1));
  const int error = errno;
  ::close(file);
  errno = error;
  return written;
}

std::string answer(const std::string& question, int argc, char** argv) {
  if (question == "root") return list_root();
  if (question == "fds") return list_fds();
  if (question == "capabilities") return list_capabilities();
  if (question == "identity")
    return std::to_string(::getuid()) + " " + std::to_string(::getgid()) + " " +
           std::to_string(::getgroups(0, nullptr));
  if (question == "pid") return std::to_string(::getpid()) + " " + std::to_string(::getppid());
  if (question == "arguments") {
    std::string all;
    for (int i = 0; i < argc; ++i) all += std::string(argv[i]) + " ";
    for (char** entry = environ; *entry != nullptr; ++entry) all += "ENV:" + std::string(*entry);
    return all;
  }
  if (question == "host name") {
    utsname names{};
    ::uname(&names);
    return std::string(names.nodename) + "/" + names.domainname;
  }
  if (question == "no new privileges") return std::to_string(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  if (question == "securebits") return std::to_string(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  if (question == "write a file") return word(::open("/x", O_CREAT | O_WRONLY, 0600));
  if (question == "leave the root") return word(::chdir("..")) + " " + list_root();
  if (question == "become root") return word(::setuid(0));
  if (question == "open /proc") return word(::open("/proc", O_RDONLY));
  if (question == "fork") {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    return word(pid);
  }
  if (question == "lock a page") return word(lock_a_page());
  if (question == "make a message queue")
    return word(static_cast<int>(::syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, nullptr)));
  if (question == "write a byte") return word(write_a_byte());
  if (question == "map memory") return until_refused(map_a_mebibyte);
  if (question == "open files") return until_refused([] { return ::dup(0); });
  if (question == "signal everybody") return word(::kill(-1, SIGKILL));
  if (question == "network") return word(::socket(AF_INET, SOCK_STREAM, 0));
  if (question.starts_with("exit ")) ::_exit(std::atoi(question.c_str() + 5));
  return "?";
}

}  // namespace

int main(int argc, char** argv) {
  if (std::strcmp(argv[0], "systemctl") == 0) return stand_in_for_systemctl(argc, argv);
  for (;;) {
    char buffer[128];
    const ssize_t size = ::recv(3, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) {
      pollfd entry{3, POLLIN, 0};
      ::poll(&entry, 1, -1);
      continue;
    }
    if (size <= 0) return 0;
    const std::string text = answer(std::string(buffer, static_cast<std::size_t>(size)), argc, argv);
    if (::send(3, text.data(), text.size(), MSG_NOSIGNAL) < 0) return 1;
  }
}
