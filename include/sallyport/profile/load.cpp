// The low-level SHA-256 of libcrypto: the high-level one loads providers, which costs a start more than the hash
// itself.
#define OPENSSL_API_COMPAT 10100
#include <openssl/sha.h>

#include <algorithm>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/profile/root_file.hpp"

namespace sallyport {

Result<Profile> load_profile(const std::string& directory, const ProfileName& name) {
  const std::string file = directory + "/" + name.text() + ".toml";
  const std::string bytes = TRY(read_root_file(file));
  Profile profile = TRY(parse_profile(bytes, name, file));
  SHA256_CTX context;
  if (SHA256_Init(&context) != 1 || SHA256_Update(&context, bytes.data(), bytes.size()) != 1 ||
      SHA256_Final(profile.hash.data(), &context) != 1)
    return fail("hash " + file);
  return profile;
}

Result<> check_against(const Profile& profile, const BrokerConfig& config) {
  const auto same_socket = [](std::string_view a, std::string_view b) {
    for (std::string_view* path : {&a, &b})
      if (path->starts_with("/var/run/")) path->remove_prefix(4);  // a link to /run on every systemd host
    return a == b;
  };
  for (const ForwardSection& forward : profile.forwards) {
    const auto* to = std::get_if<UnixAddress>(&forward.to);
    if (to == nullptr) continue;
    for (const std::string_view forbidden :
         {std::string_view(config.docker_socket), std::string_view("/run/docker.sock"),
          std::string_view("/run/containerd/containerd.sock")})
      if (same_socket(to->path, forbidden))
        return fail("profile " + profile.name.text() + ": key forward.to is " + to->path +
                    ", which would give the worker the whole of Docker; use [docker] instead");
    if (to->path.starts_with(config.runtime_directory + "/"))
      return fail("profile " + profile.name.text() + ": key forward.to is " + to->path +
                  ", a socket of sallyport itself; remove the forward");
  }
  return {};
}

}  // namespace sallyport
