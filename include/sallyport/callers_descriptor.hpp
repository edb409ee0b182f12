// BOTH SIDES (trusted on each). A descriptor of the caller's that others may hold too. Its file status flags belong to
// all who hold it, and what poll says of it another may have taken by the time we read or write: so whatever supervises
// goes by one of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

#include "sallyport/unique_fd.hpp"

namespace sallyport {

// Reads or writes without waiting: a pipe or terminal through a description of our own, a socket by MSG_DONTWAIT, all
// else as it is. EAGAIN where there is nothing, or no room.
class CallersDescriptor {
 public:
  explicit CallersDescriptor(int descriptor) : descriptor_(descriptor) {}
  void get_ready_to_write();  // at the first write otherwise, which may be too late to open anything
  ssize_t read(void* into, std::size_t size);
  ssize_t write(const void* from, std::size_t size);
  // For reading the caller's own: a FIFO opened anew behind its last writer does not tell of the end (Linux,
  // fs/pipe.c).
  int to_read() const { return descriptor_; }
  int to_write() const { return own_ ? own_.get() : descriptor_; }
  // A terminal whose foreground is another's: who reads it then is stopped by SIGTTIN, or gets EIO (termios(3)).
  bool is_anothers_terminal();

 private:
  void look_at_it(int access);

  int descriptor_;
  UniqueFd own_;
  bool is_looked_at_ = false;
  bool is_socket_ = false;
  std::optional<bool> is_terminal_;  // once asked
};

// All of it, unless whoever reads it leaves no room for so long: then what is left is lost. False: not all was written.
bool write_within(int descriptor, std::string_view text, std::chrono::milliseconds time);

}  // namespace sallyport
