// BUILD TIME. Profile -> BPF through libseccomp, checked by emulation against judge(). Not part of any program.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "sallyport/result.hpp"
#include "seccomp/profile.hpp"

namespace sallyport::seccomp {

// What a filter returns to the kernel for a verdict (SECCOMP_RET_*).
std::uint32_t return_value(Verdict verdict);

Result<std::vector<sock_filter>> compile(const Profile& profile);

// Asks the emulator about every call number, every row's values and their neighbours, with the upper halves clear and
// set.
Result<> check(const Profile& profile, const std::vector<sock_filter>& program);

// OCI seccomp JSON for dockerd, from container_profile.hpp.
Result<std::string> render_container_profile();

}  // namespace sallyport::seccomp
