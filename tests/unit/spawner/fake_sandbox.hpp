// A sandbox as a launcher would present it, or one with a chosen lie: an init in namespaces of its own with the
// listeners that it made, its pidfd, and the uid range's lock.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sallyport/child.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::spawner_test {

struct SandboxShape {
  std::uint32_t uid_base = 0;
  bool own_user_namespace = true;
  std::string uid_map;  // "" for the honest one
  std::string gid_map;
  int tcp_listeners = 0;
};

struct FakeSandbox {
  Child init;
  UniqueFd docker_listener;
  UniqueFd stream;         // the gate's end
  UniqueFd worker_stream;  // the worker's end
  std::vector<UniqueFd> tcp_listeners;
  std::vector<std::uint16_t> tcp_ports;
  UniqueFd network;  // init's network namespace, to connect from
  UniqueFd init_channel;
  pid_t init_pid = 0;
};

FakeSandbox make_sandbox(const SandboxShape& shape);
// What runs in it then is a double-forked process that ignores every signal it can.
void start_worker(const FakeSandbox& sandbox);

// A connection made inside the sandbox's network namespace, as a worker would.
UniqueFd connect_inside(const FakeSandbox& sandbox, std::uint16_t port);
// What `make` makes there.
UniqueFd make_inside(const FakeSandbox& sandbox, UniqueFd (*make)());

UniqueFd unix_listener();  // abstract, in the caller's network namespace
UniqueFd unix_listener_at(const std::string& path, mode_t mode);

}  // namespace sallyport::spawner_test
