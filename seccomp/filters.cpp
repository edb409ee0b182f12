#include "seccomp/filters.hpp"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sallyport::seccomp {

// In the file that seccomp_compiler writes at build time.
namespace generated {
extern const sock_filter kWorkerFilter[], kLoopbackWorkerFilter[], kInitFilter[], kGateFilter[], kRelayFilter[],
    kKeeperFilter[];
extern const unsigned short kWorkerSize, kLoopbackWorkerSize, kInitSize, kGateSize, kRelaySize, kKeeperSize;
extern const char kContainerJson[];
}  // namespace generated

std::span<const sock_filter> program(Filter filter) noexcept {
  switch (filter) {
    case Filter::Worker: return {generated::kWorkerFilter, generated::kWorkerSize};
    case Filter::LoopbackWorker: return {generated::kLoopbackWorkerFilter, generated::kLoopbackWorkerSize};
    case Filter::Init: return {generated::kInitFilter, generated::kInitSize};
    case Filter::Gate: return {generated::kGateFilter, generated::kGateSize};
    case Filter::Relay: return {generated::kRelayFilter, generated::kRelaySize};
    case Filter::Keeper: return {generated::kKeeperFilter, generated::kKeeperSize};
  }
  return {};  // an empty program, which the kernel refuses
}

int install(Filter filter) noexcept {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const auto steps = program(filter);
  const sock_fprog whole{static_cast<unsigned short>(steps.size()), const_cast<sock_filter*>(steps.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &whole) == 0 ? 0 : errno;
}

std::string_view container_profile_json() noexcept { return generated::kContainerJson; }

}  // namespace sallyport::seccomp
