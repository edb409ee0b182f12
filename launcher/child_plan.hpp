// TRUSTED SIDE. ChildPlan: the plan flattened to plain data for use between clone3 and exec, where nothing may
// allocate. FlatPlan owns the memory; the child works on its copy of the parent's address space.
#pragma once

#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "launcher/plan.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::launcher {

struct ChildEntry {
  RootEntry::Kind kind{};
  const char* target = nullptr;  // relative to the new root
  const char* source = nullptr;  // content, destination or mount options
  std::size_t source_size = 0;
  bool source_is_file = false;
  int tree = -1;  // detached mount of a HostTree or Device
};

struct ChildListener {
  sockaddr_storage address{};
  socklen_t size = 0;
};

struct ChildLimit {
  __rlimit_resource resource{};
  rlimit value{};
};

struct ChildPlan {
  int control = -1;  // SEQPACKET to the launcher; its end is the end of the sandbox
  int stdio[3] = {-1, -1, -1};
  int stream = -1;  // becomes descriptor 3; -1 without [docker]
  bool has_loopback = false;
  bool opens_session = false;  // wait for the launcher's second word before the worker starts
  bool says_running = false;   // init tells when the worker has left our code
  std::span<const int> keep;   // every descriptor above, sorted; the rest is closed first of all
  std::span<const int> keep_as_init;
  std::span<const ChildEntry> root;
  std::span<const ChildListener> listeners;
  std::span<const ChildLimit> limits;
  const char* const* programs = nullptr;  // null-terminated, like the next two
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* directory = nullptr;
  const char* hostname = nullptr;
  std::size_t hostname_size = 0;
  // Made by init on its own copy, before it forks the worker.
  int go = -1;       // of a pipe: the worker's end to read, or init's to write
  int signals = -1;  // signalfd: how init hears that a child has ended
};

// Descriptors that the child gets, borrowed: the launcher closes its copies after the clone.
struct ChildDescriptors {
  int control = -1;
  int range_lock = -1;  // kept by init: the uid range is taken as long as any process of it lives
  int stdio[3] = {-1, -1, -1};
  int stream = -1;
  std::vector<int> trees;  // one for each HostTree and Device of plan.root, in order
};

class FlatPlan {
 public:
  // `plan` must outlive this object.
  FlatPlan(const Plan& plan, const ChildDescriptors& descriptors);
  FlatPlan(const FlatPlan&) = delete;
  FlatPlan& operator=(const FlatPlan&) = delete;
  const ChildPlan& view() const { return view_; }

 private:
  void flatten_root(const Plan& plan, const std::vector<int>& trees);
  void flatten_listeners(const Plan& plan);

  ChildPlan view_;
  std::vector<int> keep_, keep_as_init_;
  std::vector<std::string> options_;
  std::vector<ChildEntry> root_;
  std::vector<ChildListener> listeners_;
  std::vector<ChildLimit> limits_;
  std::vector<const char*> programs_;
  std::vector<char*> argv_, envp_;
};

}  // namespace sallyport::launcher
