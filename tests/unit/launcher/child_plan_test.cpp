// The flattened plan says what the plan says: nothing is lost, added or reordered on the way to the child.
#include "launcher/child_plan.hpp"

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace sallyport::launcher {
namespace {

Plan some_plan() {
  Plan plan;
  plan.command = {"/bin/sh", "-c", "true"};
  plan.programs = {"/bin/sh"};
  plan.environment = {"A=1"};
  plan.directory = "/tmp";
  plan.hostname = "sandbox";
  plan.root = {{.kind = RootEntry::Kind::Directory, .target = "/etc"},
               {.kind = RootEntry::Kind::HostTree, .target = "/usr", .source = "/usr"},
               {.kind = RootEntry::Kind::File, .target = "/etc/hosts", .source = "text"},
               {.kind = RootEntry::Kind::Device, .target = "/dev/null", .source = "/dev/null", .source_is_file = true},
               {.kind = RootEntry::Kind::Tmpfs, .target = "/tmp", .bytes = 1 << 20}};
  plan.limits = {{"core", RLIMIT_CORE, 0}};
  plan.listeners = {{UnixAddress{"/run/sallyport/docker.sock"}}, {TcpAddress{"127.0.0.2", 6379}}};
  return plan;
}

const ChildDescriptors kDescriptors{
    .control = 9, .range_lock = 4, .stdio = {12, 5, 7}, .stream = 11, .trees = {20, 21}};

TEST(AFlatPlan, KeepsOrderContentAndTrees) {
  const Plan plan = some_plan();
  const FlatPlan flat(plan, kDescriptors);
  const ChildPlan& view = flat.view();
  ASSERT_EQ(view.root.size(), 5U);
  EXPECT_STREQ(view.root[0].target, "etc") << "relative to the new root";
  EXPECT_EQ(view.root[1].tree, 20);
  EXPECT_EQ(view.root[3].tree, 21);
  EXPECT_TRUE(view.root[3].source_is_file);
  EXPECT_EQ(std::string_view(view.root[2].source, view.root[2].source_size), "text");
  EXPECT_STREQ(view.root[4].source, "mode=1777,size=1048576,nr_inodes=256") << "inodes are bounded too";
  EXPECT_EQ(view.root[0].tree, -1);
}

TEST(AFlatPlan, EndsItsListsWithNull) {
  const Plan plan = some_plan();
  const FlatPlan flat(plan, kDescriptors);
  EXPECT_STREQ(flat.view().argv[2], "true");
  EXPECT_EQ(flat.view().argv[3], nullptr);
  EXPECT_EQ(flat.view().envp[1], nullptr);
  EXPECT_EQ(flat.view().programs[1], nullptr);
}

TEST(AFlatPlan, KeepsExactlyItsDescriptorsSorted) {
  const Plan plan = some_plan();
  const FlatPlan flat(plan, kDescriptors);
  EXPECT_TRUE(std::ranges::equal(flat.view().keep, std::array{4, 5, 7, 9, 11, 12, 20, 21}));
  EXPECT_TRUE(std::ranges::equal(flat.view().keep_as_init, std::array{4, 5, 7, 9}));
}

TEST(AFlatPlan, TurnsAddressesIntoSocketAddresses) {
  const Plan plan = some_plan();
  const FlatPlan flat(plan, kDescriptors);
  ASSERT_EQ(flat.view().listeners.size(), 2U);
  sockaddr_un local{};
  std::memcpy(&local, &flat.view().listeners[0].address, sizeof local);
  EXPECT_EQ(local.sun_family, AF_UNIX);
  EXPECT_STREQ(local.sun_path, "/run/sallyport/docker.sock");
  sockaddr_in tcp{};
  std::memcpy(&tcp, &flat.view().listeners[1].address, sizeof tcp);
  EXPECT_EQ(tcp.sin_family, AF_INET);
  EXPECT_EQ(tcp.sin_port, htons(6379));
  EXPECT_EQ(tcp.sin_addr.s_addr, htonl(0x7f000002));
}

}  // namespace
}  // namespace sallyport::launcher
