// A plan is data: what a profile asks for is in it, what it does not ask for is not, and what cannot be had is refused.
#include "launcher/plan.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>

#include "launcher/child_setup.hpp"

namespace sallyport::launcher {
namespace {

using Kind = RootEntry::Kind;

HostFacts some_host() {
  HostFacts host;
  host.entries = {{"/usr", HostEntry::Kind::Directory, ""},
                  {"/bin", HostEntry::Kind::Link, "usr/bin"},
                  {"/etc/ld.so.cache", HostEntry::Kind::File, ""}};
  host.hard_open_files = 4096;
  host.hard_processes = 1000;
  host.hard_locked_memory = 64 << 20;
  host.hard_pending_signals = 96'000;
  return host;
}

Profile some_profile() {
  Profile profile;
  profile.name = *ProfileName::parse("worker");
  profile.worker.command = {"rq", "worker"};
  return profile;
}

Plan planned(const Profile& profile, const Environment& caller = {}) {
  auto plan = make_plan(profile, some_host(), {}, caller);
  EXPECT_TRUE(plan) << plan.error().text();
  return plan.value_or(Plan{});
}

std::string refusal(const Profile& profile, std::vector<std::string> command = {}) {
  const auto plan = make_plan(profile, some_host(), std::move(command), {});
  EXPECT_FALSE(plan);
  return plan ? "" : plan.error().text();
}

const RootEntry* entry_at(const Plan& plan, const std::string& target) {
  const auto found = std::ranges::find(plan.root, target, &RootEntry::target);
  return found == plan.root.end() ? nullptr : &*found;
}

std::uint64_t limit_of(const Plan& plan, int resource) {
  for (const ResourceLimit& limit : plan.limits)
    if (limit.resource == resource) return limit.value;
  return ~0ULL;
}

TEST(APlan, HasAllSevenNamespaces) {
  std::uint64_t flags = 0;
  for (const Namespace& ns : all_namespaces()) flags |= ns.flag;
  EXPECT_EQ(flags, std::uint64_t{CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                                 CLONE_NEWUTS | CLONE_NEWCGROUP});
}

TEST(APlan, SeesTheHostOnlyThroughReadOnlyTreesAndLinks) {
  const Plan plan = planned(some_profile());
  ASSERT_NE(entry_at(plan, "/usr"), nullptr);
  EXPECT_EQ(entry_at(plan, "/usr")->kind, Kind::HostTree);
  EXPECT_EQ(entry_at(plan, "/bin")->kind, Kind::Link);
  EXPECT_TRUE(entry_at(plan, "/etc/ld.so.cache")->source_is_file);
  for (const RootEntry& entry : plan.root)
    if (entry.kind == Kind::HostTree)
      EXPECT_TRUE(entry.source == "/usr" || entry.source == "/etc/ld.so.cache") << entry.source;
}

TEST(APlan, MakesItsOwnEtcSoThatNoAccountOfTheHostIsSeen) {
  const Plan plan = planned(some_profile());
  ASSERT_NE(entry_at(plan, "/etc/passwd"), nullptr);
  EXPECT_EQ(entry_at(plan, "/etc/passwd")->kind, Kind::File);
  EXPECT_EQ(entry_at(plan, "/etc/passwd")->source.find("root"), std::string::npos);
  EXPECT_EQ(entry_at(plan, "/etc/resolv.conf")->source, "");
  EXPECT_EQ(entry_at(plan, "/etc/shadow"), nullptr);
  EXPECT_EQ(entry_at(plan, "/sys"), nullptr);
}

TEST(APlan, PutsParentsBeforeWhatLiesInThem) {
  Profile profile = some_profile();
  profile.forwards.push_back({UnixAddress{"/run/sallyport/a/b/c.sock"}, UnixAddress{"/x"}, ""});
  const Plan plan = planned(profile);
  for (std::size_t i = 0; i < plan.root.size(); ++i) {
    const std::string& target = plan.root[i].target;
    const std::string parent = target.substr(0, target.rfind('/'));
    if (parent.empty()) continue;
    const RootEntry* found = entry_at(plan, parent);
    ASSERT_NE(found, nullptr) << target;
    EXPECT_LT(found - plan.root.data(), static_cast<std::ptrdiff_t>(i)) << target;
  }
  ASSERT_NE(entry_at(plan, "/run/sallyport/a/b"), nullptr);
}

TEST(APlan, HasExactlyTheEnvironmentThatTheProfileNames) {
  Profile profile = some_profile();
  profile.worker.environment = {{"PYTHONUNBUFFERED", "1"}};
  profile.worker.pass_environment = {"LANG", "ABSENT"};
  const Plan plan = planned(
      profile, {{"LANG", "C"}, {"LD_PRELOAD", "/evil.so"}, {"SECRET", "1"}, {"DOCKER_HOST", "x"}, {"PATH", "/evil"}});
  EXPECT_EQ(plan.environment, (std::vector<std::string>{"HOME=/tmp", "LANG=C", "PATH=/usr/local/bin:/usr/bin:/bin",
                                                        "PYTHONUNBUFFERED=1"}));
}

TEST(APlan, TellsAWorkerWithDockerWhereItIs) {
  Profile profile = some_profile();
  profile.docker.emplace();
  const Plan plan = planned(profile);
  EXPECT_NE(std::ranges::find(plan.environment, "DOCKER_HOST=unix:///run/sallyport/docker.sock"),
            plan.environment.end());
  EXPECT_NE(std::ranges::find(plan.environment, "SALLYPORT_FD=3"), plan.environment.end());
  ASSERT_EQ(plan.listeners.size(), 1U);
  EXPECT_TRUE(plan.opens_session());
}

TEST(APlan, OpensNoSessionWithoutDockerAndForwards) {
  EXPECT_FALSE(planned(some_profile()).opens_session());
  Profile profile = some_profile();
  profile.forwards.push_back({TcpAddress{"127.0.0.1", 6379}, UnixAddress{"/x"}, ""});
  EXPECT_TRUE(planned(profile).opens_session());
}

TEST(APlan, LooksForAProgramAlongThePathOfTheProfileAndNeverInTheWorkingDirectory) {
  Profile profile = some_profile();
  profile.worker.environment = {{"PATH", "/a::/b:"}};
  EXPECT_EQ(planned(profile).programs, (std::vector<std::string>{"/a/rq", "/b/rq"}));
  profile.worker.command = {"/usr/bin/rq"};
  EXPECT_EQ(planned(profile).programs, std::vector<std::string>{"/usr/bin/rq"});
  profile.worker.environment = {{"PATH", ""}};
  profile.worker.command = {"rq"};
  EXPECT_NE(refusal(profile).find("PATH"), std::string::npos);
}

TEST(APlan, TakesTheCommandOfTheCommandLineBeforeTheProfiles) {
  const auto plan = make_plan(some_profile(), some_host(), {"/bin/echo", "x"}, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->command, (std::vector<std::string>{"/bin/echo", "x"}));
  Profile none = some_profile();
  none.worker.command.clear();
  EXPECT_NE(refusal(none).find("worker.command"), std::string::npos);
  EXPECT_NE(refusal(some_profile(), {""}).find("empty"), std::string::npos);
}

TEST(APlan, NeverAsksForMoreThanTheLauncherMayGive) {
  Profile profile = some_profile();
  profile.limits.open_files = 100'000;
  profile.limits.pids = 64;
  const Plan plan = planned(profile);
  EXPECT_EQ(limit_of(plan, RLIMIT_NOFILE), 4096U);
  EXPECT_EQ(limit_of(plan, RLIMIT_NPROC), 64U);
  EXPECT_EQ(limit_of(plan, RLIMIT_CORE), 1U);
  EXPECT_EQ(limit_of(plan, RLIMIT_MSGQUEUE), 0U);
  EXPECT_EQ(limit_of(plan, RLIMIT_MEMLOCK), 8U << 20) << "however much the launcher may lock";
  EXPECT_EQ(limit_of(plan, RLIMIT_SIGPENDING), 4096U) << "however many the launcher may have";
  EXPECT_EQ(limit_of(plan, RLIMIT_RTPRIO), 0U);
  EXPECT_EQ(limit_of(plan, RLIMIT_NICE), 0U);
}

TEST(APlan, HasALoopbackOnlyWhereOneIsAskedForOrAForwardListensAtAPort) {
  Profile profile = some_profile();
  profile.forwards.clear();
  EXPECT_FALSE(planned(profile).has_loopback);
  EXPECT_NE(render_plan(planned(profile)).find("none: Unix sockets only"), std::string::npos);
  profile.forwards = {{UnixAddress{"/run/sallyport/up.sock"}, UnixAddress{"/run/redis.sock"}}};
  EXPECT_FALSE(planned(profile).has_loopback);
  profile.forwards = {{TcpAddress{"127.0.0.1", 6379}, UnixAddress{"/run/redis.sock"}}};
  EXPECT_TRUE(planned(profile).has_loopback);
  profile.forwards.clear();
  profile.sandbox.loopback = true;
  EXPECT_TRUE(planned(profile).has_loopback);
  EXPECT_NE(render_plan(planned(profile)).find("a loopback of the sandbox's own"), std::string::npos);
}

TEST(APlan, SaysWhichLimitsItCannotEnforceAndRefusesWhereTheyAreRequired) {
  Profile profile = some_profile();
  profile.limits.memory_bytes = 1 << 20;
  profile.limits.cpus = 1;
  EXPECT_EQ(planned(profile).not_enforced, (std::vector<std::string>{"memory", "cpus"}));
  profile.limits.require = {"pids", "memory"};
  EXPECT_NE(refusal(profile).find("memory"), std::string::npos);
  profile.limits.require = {"pids"};
  EXPECT_TRUE(make_plan(profile, some_host(), {}, {}));
}

TEST(APlan, RefusesWhatASandboxCannotHave) {
  Profile twice = some_profile();
  twice.forwards = {{TcpAddress{"127.0.0.1", 1}, UnixAddress{"/x"}, ""},
                    {TcpAddress{"127.0.0.1", 1}, UnixAddress{"/y"}, ""}};
  EXPECT_NE(refusal(twice).find("same address"), std::string::npos);
  Profile outside = some_profile();
  for (const char* path : {"/tmp/x.sock", "/run/sallyport-x/y.sock", "/run/sallyport"}) {
    outside.forwards = {{UnixAddress{path}, UnixAddress{"/x"}, ""}};
    EXPECT_NE(refusal(outside).find("not below /run/sallyport"), std::string::npos) << path;
  }
  Profile tooLong = some_profile();
  tooLong.forwards = {{UnixAddress{"/run/sallyport/" + std::string(100, 'x')}, UnixAddress{"/x"}, ""}};
  EXPECT_NE(refusal(tooLong).find("107"), std::string::npos);
  Profile seccomp = some_profile();
  seccomp.seccomp = "other";
  EXPECT_NE(refusal(seccomp).find("seccomp"), std::string::npos);
}

TEST(APlan, IsPrintedWithEveryEntryListenerLimitAndStep) {
  Profile profile = some_profile();
  profile.docker.emplace();
  profile.limits.memory_bytes = 1;
  profile.worker.environment = {{"X", "a\x1b[31m"}};
  const Plan plan = planned(profile);
  const std::string text = render_plan(plan);
  for (const RootEntry& entry : plan.root) EXPECT_NE(text.find(entry.target), std::string::npos) << entry.target;
  for (const Listener& listener : plan.listeners)
    EXPECT_NE(text.find(address_text(listener.address)), std::string::npos);
  for (const ResourceLimit& limit : plan.limits) EXPECT_NE(text.find(limit.name), std::string::npos);
  for (const auto steps : {sandbox_steps(), worker_steps(), init_steps()})
    for (const Step& step : steps) EXPECT_NE(text.find(step.name), std::string::npos) << step.name;
  EXPECT_NE(text.find("NOT ENFORCED on this host: memory"), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "control characters are escaped";
}

TEST(APlan, SaysWhatIsImposedOnContainersAndOnlyWhereThereAreSome) {
  Profile profile = some_profile();
  EXPECT_EQ(render_plan(planned(profile)).find("imposed on every container"), std::string::npos);
  profile.docker.emplace();
  profile.docker->container.memory_bytes = 123'456'789;
  profile.docker->container.cpus = 0.75;
  profile.docker->container.pids = 77;
  profile.docker->container.runtime = "runsc";
  const std::string text = render_plan(planned(profile));
  for (const char* value :
       {"imposed on every container", "at most 123456789 bytes", "at most 0.75;", "at most 77;", "runtime  runsc;",
        "root read-only", "oom score 1000", "mode 1777", "user     the session's range + 4;",
        "worker  1000 inside, the session's range + 1 outside", "the session's range + 0 outside; not dumpable"})
    EXPECT_NE(text.find(value), std::string::npos) << value << text;
}

TEST(TheStepsOfTheWorker, InstallTheFilterBehindAllThatDropsPrivilegesAndThenOnlyWaitForInit) {
  const auto steps = worker_steps();
  const auto at = [&](std::string_view name) {
    return std::ranges::find(steps, name, [](const Step& step) { return std::string_view(step.name); }) - steps.begin();
  };
  EXPECT_EQ(at("install the worker's filter"), std::ssize(steps) - 2);
  EXPECT_EQ(at("wait until init is locked"), std::ssize(steps) - 1);
  EXPECT_LT(at("arrange the descriptors"), at("enter worker.directory"))
      << "a directory may not come from a descriptor";
  EXPECT_LT(at("become the worker's user"), at("empty the capability sets"));
}

}  // namespace
}  // namespace sallyport::launcher
