// The low-level SHA-256 of libcrypto: the high-level one loads providers, which costs a start more than the hash
// itself.
#define OPENSSL_API_COMPAT 10100
#include <openssl/sha.h>

#include <algorithm>
#include <filesystem>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/profile.hpp"
#include "sallyport/profile/root_file.hpp"
#include "sallyport/same_file.hpp"

namespace sallyport {

namespace {

// One spelling for each place, which ends in a slash: options may have slashes too many, and /var/run is a link to /run
// on every systemd host.
std::string spelling_of(const std::string& path) {
  std::string spelling = std::filesystem::path(path + "/").lexically_normal();
  if (spelling.starts_with("/var/run/")) spelling.erase(0, 4);
  return spelling;
}

// What does not exist yet is known by its spelling alone.
bool is_same_socket(const std::string& one, const std::string& other) {
  return spelling_of(one) == spelling_of(other) || is_same_file(one, other);
}

}  // namespace

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
  for (const ForwardSection& forward : profile.forwards) {
    const auto* to = std::get_if<UnixAddress>(&forward.to);
    if (to == nullptr) continue;
    for (const std::string& forbidden :
         {config.docker_socket, std::string("/run/docker.sock"), std::string("/run/containerd/containerd.sock")})
      if (is_same_socket(to->path, forbidden))
        return fail("profile " + profile.name.text() + ": key forward.to is " + to->path +
                    ", which would give the worker the whole of Docker; use [docker] instead");
    if (spelling_of(to->path).starts_with(spelling_of(config.runtime_directory)) ||
        is_same_socket(to->path, config.control_socket()))
      return fail("profile " + profile.name.text() + ": key forward.to is " + to->path +
                  ", a socket of sallyport itself; remove the forward");
  }
  return {};
}

}  // namespace sallyport
