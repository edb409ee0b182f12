#include "sallyport/profile/root_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/unique_fd.hpp"

namespace sallyport {
namespace {

Result<> only_root_may_write(const struct stat& status, const std::string& path) {
  const uid_t self = ::geteuid();
  if (status.st_uid != 0 && status.st_uid != self)
    return fail(path + ": belongs to uid " + std::to_string(status.st_uid) +
                ", who could change what it allows; run: chown root:root " + path);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(path + ": may be written by its group or by others; run: chmod go-w " + path);
  return {};
}

}  // namespace

Result<std::string> read_root_file(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? file : file.substr(slash + 1);

  const UniqueFd holder = UniqueFd::adopt(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!holder) return fail_errno("open " + directory);
  struct stat status{};
  if (::fstat(holder.get(), &status) != 0) return fail_errno("look at " + directory);
  TRY(only_root_may_write(status, directory));

  // O_NONBLOCK: a FIFO in its place must not make us wait for a writer.
  const UniqueFd opened =
      UniqueFd::adopt(::openat(holder.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!opened && errno == ELOOP) return fail(file + ": is a symbolic link; put the file itself there");
  if (!opened) return fail_errno("open " + file);
  if (::fstat(opened.get(), &status) != 0) return fail_errno("look at " + file);
  if (!S_ISREG(status.st_mode)) return fail(file + ": is not a regular file");
  TRY(only_root_may_write(status, file));

  if (static_cast<std::uint64_t>(status.st_size) > kMaxConfigurationBytes)
    return fail(file + ": is larger than 64 KiB; shorten it");
  std::string bytes(static_cast<std::size_t>(status.st_size) + 1, '\0');  // one more, to see that it has not grown
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(opened.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read " + file);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  if (filled == bytes.size()) return fail_for_now(file + ": is being written; try again");
  bytes.resize(filled);
  return bytes;
}

}  // namespace sallyport
