#include "broker/keeper/trail_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

// For root and the keeper alone: what it holds is of all profiles. A FIFO of that name is not waited for.
Result<UniqueFd> open_file(const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  UniqueFd file = UniqueFd::adopt(::open(path.c_str(), kFlags, 0600));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return fail_errno("open the audit trail " + path);
  if (!S_ISREG(status.st_mode)) return fail("open the audit trail " + path + ": not a regular file");
  return file;
}

}  // namespace

Result<TrailFile> TrailFile::open(std::string path, const Bounds& bounds) {
  TrailFile trail;
  trail.path_ = std::move(path);
  trail.bounds_ = bounds;
  UniqueFd file = TRY(open_file(trail.path_));
  TRY(trail.use(std::move(file)));
  return trail;
}

Result<> TrailFile::use(UniqueFd file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("look at the audit trail " + path_);
  file_ = std::move(file);
  size_ = static_cast<std::uint64_t>(status.st_size);
  reserved_until_ = 0;
  torn_ = size_ > 0;  // a broker that died may have left half a line; an empty line does no harm
  return {};
}

Result<UniqueFd> TrailFile::open_anew() const {
  UniqueFd file = TRY(open_file(path_));
  struct stat named{}, used{};
  if (::fstat(file.get(), &named) != 0 || ::fstat(file_.get(), &used) != 0)
    return fail_errno("look at the audit trail " + path_);
  if (named.st_dev == used.st_dev && named.st_ino == used.st_ino) return UniqueFd();
  return file;
}

bool TrailFile::has_reserve() {
  if (bounds_.reserve_bytes == 0 || reserved_until_ >= size_ + bounds_.reserve_bytes / 2) return true;
  const auto from = static_cast<off_t>(size_);
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, from, static_cast<off_t>(bounds_.reserve_bytes)) == 0) {
    reserved_until_ = size_ + bounds_.reserve_bytes;
    is_short_ = false;
    return true;
  }
  if (errno == EOPNOTSUPP) return true;  // a filesystem without reserves: its own error will tell
  if (!is_short_) ++shortage_;
  is_short_ = true;
  return false;
}

Result<> TrailFile::rotate_for(std::size_t bytes) {
  if (size_ + bytes > bounds_.file_bytes && size_ > 0) return rotate();
  return {};
}

Result<> TrailFile::append(std::string line) {
  if (torn_) line.insert(line.begin(), '\n');
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t size = ::write(file_.get(), line.data() + written, line.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      const int code = size < 0 ? errno : EIO;
      torn_ = torn_ || written > 0;
      size_ += written;
      return fail_errno("write the audit trail", code);
    }
    written += static_cast<std::size_t>(size);
  }
  torn_ = false;
  size_ += written;
  return {};
}

Result<> TrailFile::rotate() {
  // Made before anything moves: where the disk has no room for it the older files stay, however often this is tried.
  const std::string successor = path_ + ".next";
  UniqueFd file = TRY(open_file(successor));
  for (int number = bounds_.files - 1; number >= 1; --number) {
    const std::string older = path_ + "." + std::to_string(number);
    const std::string newer = number == 1 ? path_ : path_ + "." + std::to_string(number - 1);
    if (::rename(newer.c_str(), older.c_str()) != 0 && errno != ENOENT) return fail_errno("rotate the audit trail");
  }
  if (::rename(successor.c_str(), path_.c_str()) != 0) return fail_errno("rotate the audit trail");
  // Gives back the reserve that lies beyond the end of the old file.
  if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) log::warning("the old audit file keeps its reserve");
  return use(std::move(file));
}

}  // namespace sallyport::keeper
