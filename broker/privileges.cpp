#include "broker/privileges.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sallyport {

namespace {

struct CapabilitySet {
  std::uint32_t word[2] = {0, 0};
  void add(int capability) { word[capability / 32] |= 1U << (capability % 32); }
  bool has(int capability) const { return (word[capability / 32] >> (capability % 32) & 1U) != 0; }
};

int set_capabilities(const CapabilitySet& set) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{set.word[0], set.word[0], 0}, {set.word[1], set.word[1], 0}};
  return ::syscall(SYS_capset, &header, data) != 0 ? errno : 0;
}

int drop_from_bounding_set(const CapabilitySet& kept) noexcept {
  for (int capability = 0; capability < 64; ++capability) {
    if (kept.has(capability)) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    // Beyond the kernel's last capability; anything else is a failure.
    if (errno == EINVAL && ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0) return 0;
    return errno;
  }
  return 0;
}

// Nothing regains a capability by being uid 0, by changing uids or through the ambient set; locked for every
// descendant.
constexpr unsigned long kLockedSecurebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                            SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                            SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

int lock_securebits() noexcept {
  // A parent of ours may have locked them already: a process without CAP_SETPCAP cannot set them again, and need not.
  if (static_cast<unsigned long>(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0)) == kLockedSecurebits) return 0;
  return ::prctl(PR_SET_SECUREBITS, kLockedSecurebits, 0, 0, 0) != 0 ? errno : 0;
}

int forbid_new_privileges() noexcept { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? errno : 0; }

}  // namespace

int keep_only_capabilities(std::initializer_list<int> kept) noexcept {
  CapabilitySet set;
  for (const int capability : kept) set.add(capability);
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  if (const int error = drop_from_bounding_set(set); error != 0) return error;
  if (const int error = lock_securebits(); error != 0) return error;
  if (const int error = set_capabilities(set); error != 0) return error;
  return forbid_new_privileges();
}

int become(const Identity& identity) noexcept {
  if (identity.uid == 0 || identity.gid == 0 || identity.extra_group == 0) return EINVAL;
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  if (const int error = drop_from_bounding_set(CapabilitySet{}); error != 0) return error;
  if (const int error = lock_securebits(); error != 0) return error;
  const auto group = static_cast<gid_t>(identity.extra_group);
  if (::setgroups(identity.extra_group >= 0 ? 1 : 0, &group) != 0) return errno;
  if (::setresgid(identity.gid, identity.gid, identity.gid) != 0) return errno;
  if (::setresuid(identity.uid, identity.uid, identity.uid) != 0) return errno;
  // The locked securebits keep capabilities over a change of uid, so they are dropped by name, last.
  if (const int error = set_capabilities(CapabilitySet{}); error != 0) return error;
  if (const int error = forbid_new_privileges(); error != 0) return error;
  return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ? errno : 0;
}

}  // namespace sallyport
