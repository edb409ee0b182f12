// TRUSTED SIDE. What a plan needs to know of the host: what stands at the top of the root that the worker will see,
// which optional files of /etc exist, and our own hard limits. gather_host_facts() reads; the rest of planning is pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sallyport/profile/profile.hpp"
#include "sallyport/result.hpp"

namespace sallyport::launcher {

struct HostEntry {
  enum class Kind : std::uint8_t { Directory, File, Link };
  std::string path;  // absolute in the sandbox
  Kind kind = Kind::Directory;
  std::string link;  // destination of a Link
};

struct HostFacts {
  std::string root;                   // "" for the host's own
  std::vector<HostEntry> entries;     // seen read-only, parents first
  std::vector<HostEntry> readable;    // sandbox.readable: more of the host, at the same path
  std::uint64_t hard_open_files = 0;  // what this launcher may give; it cannot raise its own
  std::uint64_t hard_processes = 0;
  std::uint64_t hard_locked_memory = 0;
  std::uint64_t hard_pending_signals = 0;
  std::uint64_t hard_core = 1;  // core_limit.hpp
};

Result<HostFacts> gather_host_facts(const SandboxSection& sandbox);

}  // namespace sallyport::launcher
