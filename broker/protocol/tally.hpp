// BOTH SIDES. How many requests a gate has answered alone, in one page of memory that it shares with the keeper: raised
// before each answer, so that no count goes with a gate that dies before it has said what it counted. The keeper made
// the page, of a fixed size, and only reads it: the numbers are the gate's claim, like the messages that describe them.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::protocol {

struct Tally {
  std::atomic<std::uint64_t> allowed = 0;
  std::atomic<std::uint64_t> denied = 0;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "it is shared by two processes");

class SharedTally {
 public:
  // The keeper's: its own mapping, and the descriptor that goes to the gate.
  static Result<std::pair<SharedTally, UniqueFd>> make() {
    UniqueFd memory = UniqueFd::adopt(::memfd_create("tally", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    // Sealed, or a gate could cut it off below the keeper's reads.
    if (!memory || ::ftruncate(memory.get(), sizeof(Tally)) != 0 ||
        ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
      return fail_errno("make the memory that a gate counts in");
    SharedTally made;
    TRY(made.map(memory.get(), PROT_READ));
    return std::pair(std::move(made), std::move(memory));
  }
  // The gate's.
  static Result<SharedTally> open(int memory) {
    SharedTally opened;
    TRY(opened.map(memory, PROT_READ | PROT_WRITE));
    return opened;
  }

  SharedTally() = default;
  SharedTally(SharedTally&& other) noexcept : tally_(std::exchange(other.tally_, nullptr)) {}
  SharedTally& operator=(SharedTally&& other) noexcept {
    std::swap(tally_, other.tally_);
    return *this;
  }
  ~SharedTally() {
    if (tally_ != nullptr) ::munmap(tally_, sizeof(Tally));
  }
  Tally* get() const { return tally_; }  // null: none was made

 private:
  Result<> map(int memory, int protection) {
    void* at = ::mmap(nullptr, sizeof(Tally), protection, MAP_SHARED, memory, 0);
    if (at == MAP_FAILED) return fail_errno("map the memory that a gate counts in");
    tally_ = static_cast<Tally*>(at);
    return {};
  }
  Tally* tally_ = nullptr;
};

}  // namespace sallyport::protocol
