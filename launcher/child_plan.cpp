#include "launcher/child_plan.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace sallyport::launcher {
namespace {

constexpr std::uint64_t kBytesPerInode = 4096;
constexpr std::uint64_t kMaxInodes = 1 << 20;  // inodes are kernel memory, which the size of a tmpfs does not count

std::string tmpfs_options(std::uint64_t bytes) {
  const std::uint64_t inodes = std::clamp<std::uint64_t>(bytes / kBytesPerInode, 16, kMaxInodes);
  return "mode=1777,size=" + std::to_string(bytes) + ",nr_inodes=" + std::to_string(inodes);
}

ChildListener socket_address(const Address& address) {
  ChildListener listener;
  if (const auto* tcp = std::get_if<TcpAddress>(&address)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(tcp->port);
    ::inet_pton(AF_INET, tcp->address.c_str(), &in.sin_addr);  // the profile's parser has checked it
    std::memcpy(&listener.address, &in, sizeof in);
    listener.size = sizeof in;
    return listener;
  }
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const std::string& path = std::get<UnixAddress>(address).path;
  std::memcpy(un.sun_path, path.c_str(), std::min(path.size(), sizeof un.sun_path - 1));
  std::memcpy(&listener.address, &un, sizeof un);
  listener.size = sizeof un;
  return listener;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

void FlatPlan::flatten_root(const Plan& plan, const std::vector<int>& trees) {
  options_.reserve(plan.root.size());  // entries point into it
  std::size_t next_tree = 0;
  for (const RootEntry& entry : plan.root) {
    ChildEntry flat{.kind = entry.kind, .target = entry.target.c_str() + 1, .source_is_file = entry.source_is_file};
    const bool is_tree = entry.kind == RootEntry::Kind::HostTree || entry.kind == RootEntry::Kind::Device;
    if (is_tree) flat.tree = trees.at(next_tree++);
    if (entry.kind == RootEntry::Kind::Tmpfs) {
      options_.push_back(tmpfs_options(entry.bytes));
      flat.source = options_.back().c_str();
    } else {
      flat.source = entry.source.c_str();
      flat.source_size = entry.source.size();
    }
    root_.push_back(flat);
  }
}

void FlatPlan::flatten_listeners(const Plan& plan) {
  for (const Listener& listener : plan.listeners) listeners_.push_back(socket_address(listener.address));
}

FlatPlan::FlatPlan(const Plan& plan, const ChildDescriptors& descriptors) {
  flatten_root(plan, descriptors.trees);
  flatten_listeners(plan);
  for (const ResourceLimit& limit : plan.limits)
    limits_.push_back({static_cast<__rlimit_resource>(limit.resource), {limit.value, limit.value}});
  for (const std::string& program : plan.programs) programs_.push_back(program.c_str());
  programs_.push_back(nullptr);
  argv_ = pointers(plan.command);
  envp_ = pointers(plan.environment);

  keep_as_init_ = {descriptors.control};
  if (descriptors.range_lock >= 0) keep_as_init_.push_back(descriptors.range_lock);
  // Init holds the write ends of the worker's output: so the launcher hears of their end and of init's own at one time.
  keep_as_init_.insert(keep_as_init_.end(), {descriptors.stdio[1], descriptors.stdio[2]});
  keep_ = keep_as_init_;
  keep_.insert(keep_.end(), descriptors.trees.begin(), descriptors.trees.end());
  keep_.push_back(descriptors.stdio[0]);
  if (descriptors.stream >= 0) keep_.push_back(descriptors.stream);
  std::ranges::sort(keep_);
  std::ranges::sort(keep_as_init_);

  view_.control = descriptors.control;
  std::ranges::copy(descriptors.stdio, view_.stdio);
  view_.stream = descriptors.stream;
  view_.has_loopback = plan.has_loopback;
  view_.opens_session = plan.opens_session();
  view_.says_running = plan.says_running;
  view_.keep = keep_;
  view_.keep_as_init = keep_as_init_;
  view_.root = root_;
  view_.listeners = listeners_;
  view_.limits = limits_;
  view_.programs = programs_.data();
  view_.argv = argv_.data();
  view_.envp = envp_.data();
  view_.directory = plan.directory.c_str();
  view_.hostname = plan.hostname.c_str();
  view_.hostname_size = plan.hostname.size();
}

}  // namespace sallyport::launcher
