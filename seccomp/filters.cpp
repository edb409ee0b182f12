#include "seccomp/filters.hpp"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sallyport::seccomp {

// In the file that seccomp_compiler writes at build time.
namespace generated {
extern const sock_filter k_worker[], k_init[], k_gate[], k_relay[], k_keeper[];
extern const unsigned short k_worker_size, k_init_size, k_gate_size, k_relay_size, k_keeper_size;
extern const char k_container_json[];
}  // namespace generated

std::span<const sock_filter> program(Filter filter) noexcept {
  switch (filter) {
    case Filter::Worker:
      return {generated::k_worker, generated::k_worker_size};
    case Filter::Init:
      return {generated::k_init, generated::k_init_size};
    case Filter::Gate:
      return {generated::k_gate, generated::k_gate_size};
    case Filter::Relay:
      return {generated::k_relay, generated::k_relay_size};
    case Filter::Keeper:
      return {generated::k_keeper, generated::k_keeper_size};
  }
  return {};  // an empty program, which the kernel refuses
}

int install(Filter filter) noexcept {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const auto steps = program(filter);
  const sock_fprog whole{static_cast<unsigned short>(steps.size()), const_cast<sock_filter*>(steps.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &whole) == 0 ? 0 : errno;
}

std::string_view container_profile_json() noexcept {
  return generated::k_container_json;
}

}  // namespace sallyport::seccomp
