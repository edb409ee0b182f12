#include "broker/spawner/programs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <string>

namespace sallyport::spawner {

namespace {

Result<std::string> own_directory() {
  std::array<char, PATH_MAX> buffer;
  const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (size <= 0) return fail_errno("find this program (readlink /proc/self/exe): /proc must be mounted");
  const std::string path(buffer.data(), static_cast<std::size_t>(size));
  return path.substr(0, path.rfind('/'));
}

Result<UniqueFd> open_program(const std::string& path) {
  UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno("open " + path + ", which must be installed beside sallyport-broker");
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return fail_errno("stat " + path);
  // It is executed by uids of sessions, so others need the execute bit.
  if (!S_ISREG(info.st_mode) || (info.st_mode & S_IXOTH) == 0)
    return fail(path + " is not a program that every user may execute; chmod 0755 it");
  if ((info.st_mode & S_IWOTH) != 0) return fail(path + " may be written by everybody; chmod 0755 it");
  return file;
}

}  // namespace

Result<Programs> open_programs() {
  Programs programs;
  const std::string directory = TRY(own_directory());
  programs.gate = TRY(open_program(directory + "/sallyport-gate"));
  programs.relay = TRY(open_program(directory + "/sallyport-relay"));
  struct stat info;
  if (::stat("/run/systemd/system", &info) == 0)  // sd_booted(3)
    programs.systemctl = UniqueFd::adopt(::open("/usr/bin/systemctl", O_PATH | O_CLOEXEC));
  programs.null_device = UniqueFd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!programs.null_device) return fail_errno("open /dev/null");
  return programs;
}

}  // namespace sallyport::spawner
