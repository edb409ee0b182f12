#include "broker/engine/memory_gauge.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <string_view>

#include "sallyport/limits.hpp"

#ifdef SALLYPORT_ASAN
#include <sanitizer/allocator_interface.h>
#endif

namespace sallyport::engine {

namespace {

#ifndef SALLYPORT_ASAN
// proc_pid_statm(5): size, resident, shared, ... in pages. 0 where it cannot be read: nobody is refused for that.
std::size_t own_pages(int statm) {
  char text[128];
  const ssize_t size = ::pread(statm, text, sizeof text, 0);
  std::string_view rest(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  std::size_t fields[3] = {};
  for (std::size_t& field : fields) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), field);
    if (error != std::errc()) return 0;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (!rest.empty()) rest.remove_prefix(1);
  }
  return fields[1] > fields[2] ? fields[1] - fields[2] : 0;
}
#endif

}  // namespace

Result<MemoryGauge> MemoryGauge::open(std::size_t ceiling) {
#ifdef SALLYPORT_ASAN
  // What a sanitizer keeps of freed memory is nobody's.
  const std::size_t begun = __sanitizer_get_current_allocated_bytes();
  return MemoryGauge(ceiling, [begun] {
    const std::size_t now = __sanitizer_get_current_allocated_bytes();
    return now > begun ? now - begun : 0;
  });
#else
  const auto statm = std::make_shared<UniqueFd>(UniqueFd::adopt(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)));
  if (!*statm) return fail_errno("open /proc/self/statm");
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  ::malloc_trim(0);  // as later: or what is free now would count for less then
  const std::size_t begun = own_pages(statm->get());
  return MemoryGauge(ceiling, [statm, page, begun] {
    const std::size_t now = own_pages(statm->get());
    return now > begun ? (now - begun) * page : 0;
  });
#endif
}

std::size_t MemoryGauge::held() {
  const auto now = std::chrono::steady_clock::now();
  if (now - read_at_ < limits::kMemoryIsRead) return last_;
  read_at_ = now;
  last_ = read_();
  // What has been freed and not given back to the kernel is not held against anybody.
  if (last_ > ceiling_ / 4 * 3 && now - trimmed_at_ > limits::kMemoryIsTrimmed) {
    trimmed_at_ = now;
    ::malloc_trim(0);
    last_ = read_();
  }
  return last_;
}

}  // namespace sallyport::engine
