// TRUSTED SIDE. Which core limit dockerd can give containers: 1, at which the kernel runs no core handler
// (core_limit.hpp), or 0, where it has nothing else to give.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::engine {

// 0 only where /proc says so of that process: it has a hard limit of 0 and may not raise it, and so may nothing that it
// starts. A container that asks for 1 would never start there. What cannot be read, or is no process, can give 1.
std::int64_t core_limit_from(pid_t dockerd, const std::string& proc = "/proc");

// What its operator is to be told where it is 0; "" where no harm is in it.
std::string core_limit_warning(std::string_view core_pattern);

}  // namespace sallyport::engine
