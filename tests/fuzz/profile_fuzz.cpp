// Any bytes give a profile or one error that a terminal can show; a profile that is accepted keeps its promises.
#include <cstdint>
#include <cstdlib>

#include "sallyport/profile/profile.hpp"

using namespace sallyport;

static void require(bool holds) {
  if (!holds) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ProfileName name = *ProfileName::parse("worker");
  const auto profile = parse_profile({reinterpret_cast<const char*>(data), size}, name, "worker.toml");
  if (!profile) {
    const std::string text = profile.error().text();
    require(text.starts_with("worker.toml:") && text.size() < limits::kMaxReasonBytes);
    return 0;
  }
  require(profile->seccomp == "worker" && profile->forwards.size() <= limits::kMaxForwards);
  require(profile->sandbox.host_root != (profile->sandbox.root_directory.starts_with('/')));
  for (const ForwardSection& forward : profile->forwards)
    if (const auto* tcp = std::get_if<TcpAddress>(&forward.listen)) require(tcp->address.starts_with("127."));
  if (profile->docker) {
    require(profile->docker->budget.containers > 0 && profile->docker->container.memory_bytes > 0);
    require(!profile->docker->allows(ApiGroup::Run) || !profile->docker->images.empty());
    (void)image_is_allowed(profile->docker->images, "docker.io/library/busybox:latest");
  }
  return 0;
}
