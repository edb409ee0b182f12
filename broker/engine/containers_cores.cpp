#include "broker/engine/containers_cores.hpp"

#include <linux/capability.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "sallyport/core_limit.hpp"

namespace sallyport::engine {

namespace {

// Of the line that begins so; "" where there is none.
std::string rest_of_line(const std::string& path, std::string_view begin) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(begin)) return line.substr(begin.size());
  return "";
}

bool has_hard_limit_of_0(const std::string& process) {
  std::istringstream words(rest_of_line(process + "/limits", "Max core file size"));
  std::string soft, hard;
  words >> soft >> hard;
  return hard == "0";
}

// Only the host's own user namespace counts: in another the capability lets nobody raise a hard limit.
bool may_raise_limits(const std::string& process) {
  const std::string text = rest_of_line(process + "/status", "CapEff:\t");
  std::uint64_t capabilities = ~0ULL;
  (void)std::from_chars(text.data(), text.data() + text.size(), capabilities, 16);
  std::istringstream map(rest_of_line(process + "/uid_map", ""));
  std::uint64_t inside = 0, outside = 0, count = 0xffffffff;
  map >> inside >> outside >> count;
  return ((capabilities >> CAP_SYS_RESOURCE) & 1U) != 0 && inside == 0 && outside == 0 && count == 0xffffffff;
}

}  // namespace

std::int64_t core_limit_from(pid_t dockerd, const std::string& proc) {
  if (dockerd <= 0) return 1;
  const std::string process = proc + "/" + std::to_string(dockerd);
  return has_hard_limit_of_0(process) && !may_raise_limits(process) ? 0 : 1;
}

std::string core_limit_warning(std::string_view core_pattern) {
  if (!names_a_handler(core_pattern)) return "";
  return "dockerd's hard limit of core files is 0 and it may not raise it, so containers have 0: the kernel runs the "
         "host's core handler (kernel.core_pattern) as root where a program in one crashes; start dockerd and "
         "containerd with a hard limit of 1 (LimitCORE=1)";
}

}  // namespace sallyport::engine
