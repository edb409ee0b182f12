// The profile that dockerd gets for every container, read as dockerd reads it.
#include <sys/socket.h>

#include <boost/json/src.hpp>
#include <map>
#include <set>

#include "seccomp/container_profile.hpp"
#include "seccomp/filters.hpp"

namespace sallyport::seccomp {
namespace {

namespace json = boost::json;

const json::object& profile() {
  static const json::value parsed = json::parse(container_profile_json());
  return parsed.as_object();
}

std::set<std::string> unconditionally_allowed() {
  std::set<std::string> names;
  for (const json::value& row : profile().at("syscalls").as_array()) {
    const json::object& object = row.as_object();
    if (object.at("action") != "SCMP_ACT_ALLOW" || object.contains("args")) continue;
    for (const json::value& name : object.at("names").as_array()) names.emplace(name.as_string());
  }
  return names;
}

TEST(TheContainerProfile, DeniesByDefaultOnOneArchitecture) {
  EXPECT_EQ(profile().at("defaultAction"), "SCMP_ACT_ERRNO");
  EXPECT_EQ(profile().at("architectures").as_array(), json::array{"SCMP_ARCH_X86_64"});
}

TEST(TheContainerProfile, LeavesOutWhatItSaysItLeavesOut) {
  const auto allowed = unconditionally_allowed();
  for (const auto& [name, reason] : kContainerLeftOut)
    EXPECT_FALSE(allowed.contains(std::string(name))) << name << ": " << reason;
  for (const char* name :
       {"socket", "socketpair", "clone", "clone3", "mount", "bpf", "keyctl", "add_key", "unshare", "setns",
        "userfaultfd", "perf_event_open", "open_by_handle_at", "personality", "mknod", "mknodat"})
    EXPECT_FALSE(allowed.contains(name)) << name;
}

TEST(TheContainerProfile, AllowsWhatProgramsNeed) {
  const auto allowed = unconditionally_allowed();
  for (const char* name : {"read", "execve", "openat", "futex", "mmap", "connect", "sendmsg", "epoll_wait", "rseq"})
    EXPECT_TRUE(allowed.contains(name)) << name;
}

TEST(TheContainerProfile, AllowsThreeSocketFamilies) {
  std::set<std::uint64_t> families;
  for (const json::value& row : profile().at("syscalls").as_array()) {
    const json::object& object = row.as_object();
    if (object.at("names").as_array() != json::array{"socket"}) continue;
    const json::object& argument = object.at("args").as_array().at(0).as_object();
    EXPECT_EQ(argument.at("index").to_number<int>(), 0);
    EXPECT_EQ(argument.at("op"), "SCMP_CMP_MASKED_EQ");
    EXPECT_EQ(argument.at("value").to_number<std::uint64_t>(), 0xffffffffU) << "the mask, in OCI's order";
    families.insert(argument.at("valueTwo").to_number<std::uint64_t>());
  }
  EXPECT_EQ(families, (std::set<std::uint64_t>{AF_UNIX, AF_INET, AF_INET6}));
}

TEST(TheContainerProfile, IsOneLine) { EXPECT_EQ(container_profile_json().find('\n'), std::string_view::npos); }

}  // namespace
}  // namespace sallyport::seccomp
