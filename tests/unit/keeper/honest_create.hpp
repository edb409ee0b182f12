// TESTS ONLY. A create that is granted, with the profile and the image under which it is.
#pragma once

#include <string>

#include "broker/engine/read_reply.hpp"
#include "broker/protocol/messages.hpp"
#include "sallyport/profile/profile.hpp"

namespace sallyport::keeper {

inline Profile profile() {
  Profile profile;
  profile.name = *ProfileName::parse("worker");
  profile.docker.emplace();
  profile.docker->allow.fill(true);
  profile.docker->images = {"docker.io/library/busybox:*"};
  profile.docker->budget.containers = 2;
  profile.docker->container.memory_bytes = 100 << 20;
  return profile;
}
inline protocol::CreateContainer honest() {
  protocol::CreateContainer ask;
  ask.image = *ImageRef::parse("docker.io/library/busybox:latest");
  return ask;
}
inline engine::ImageFacts image() {
  engine::ImageFacts facts;
  facts.id = *ImageId::parse("sha256:" + std::string(64, 'e'));
  facts.platform = "linux/amd64";
  facts.command = {"sh"};
  return facts;
}

}  // namespace sallyport::keeper
