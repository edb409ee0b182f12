// TRUSTED SIDE. One set of files of the audit trail: appended to, rotated by size, so many kept. append() has returned
// means write(2) has. It may take space ahead of its end, which nobody else can use, for when the disk is full.
#pragma once

#include <cstdint>
#include <string>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

class TrailFile {
 public:
  struct Bounds {
    std::size_t file_bytes = 0;
    int files = 1;
    std::size_t reserve_bytes = 0;  // 0: it takes none
  };
  static Result<TrailFile> open(std::string path, const Bounds& bounds);

  Result<UniqueFd> open_anew() const;  // by its name; empty where that is still the file in use
  Result<> use(UniqueFd file);
  Result<> rotate_for(std::size_t bytes);  // where so many more do not fit
  Result<> append(std::string line);
  // Half the reserve is there, or could be taken again: the disk is not full.
  bool has_reserve();
  std::uint64_t reserve_left() const { return reserved_until_ > size_ ? reserved_until_ - size_ : 0; }
  // Of each time that the reserve could not be taken again: its number.
  std::uint64_t shortage() const { return shortage_; }

 private:
  TrailFile() = default;
  Result<> rotate();

  std::string path_;
  Bounds bounds_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t reserved_until_ = 0;
  std::uint64_t shortage_ = 0;
  bool is_short_ = false;
  bool torn_ = false;  // the last write stopped within its line
};

}  // namespace sallyport::keeper
