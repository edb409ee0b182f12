// HOSTILE INPUT. PID 1 of the sandbox once the worker runs: it reaps, reports the worker's end, and ends.
// It can neither open a file nor signal anybody; what a worker may make it do is change its exit status.
#pragma once

#include "seccomp/syscall_groups.hpp"

namespace sallyport::seccomp {

inline constexpr std::array kInitRows = {
    allow("wait4", "reap"),
    allow("waitid", "reap"),
    allow("poll", "the launcher's word, or its end"),
    allow("read", "the launcher's word, or its end"),
    allow("write", "report the worker's end"),
    allow("close", "let go of what the launcher must see closed"),
};
inline constexpr Rows kInitGroups[] = {kEnding, kInitRows};
inline constexpr Profile kInit{"init", kKill, kInitGroups};

}  // namespace sallyport::seccomp
