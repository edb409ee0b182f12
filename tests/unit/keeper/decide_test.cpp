#include "broker/keeper/decide.hpp"

#include "broker/keeper/effective.hpp"
#include "broker/keeper/plan_container.hpp"
#include "honest_create.hpp"

namespace sallyport::keeper {
namespace {

using protocol::CreateContainer;

// All that a create is asked, in the order of the keeper.
Verdict decide(const CreateContainer& ask, const Profile& profile) {
  if (Verdict refusal = decide_create(ask, profile, Ledger())) return refusal;
  return decide_effective(ask, image());
}

struct Case {
  const char* sentence;
  std::function<void(CreateContainer&)> change;
  const char* rule;  // "": granted
  unsigned status = 403;
};
class Create : public testing::TestWithParam<Case> {};
TEST_P(Create, IsDecidedByItsRule) {
  CreateContainer ask = honest();
  GetParam().change(ask);
  const Verdict verdict = decide(ask, profile());
  if (std::string(GetParam().rule).empty()) {
    EXPECT_FALSE(verdict) << GetParam().sentence << ": " << verdict->message;
  } else {
    ASSERT_TRUE(verdict) << GetParam().sentence;
    EXPECT_EQ(verdict->rule, GetParam().rule) << GetParam().sentence;
    EXPECT_EQ(verdict->status, GetParam().status) << GetParam().sentence;
    EXPECT_FALSE(verdict->message.empty());
  }
}
const Case kCases[] = {
    {"an honest create is granted", [](auto&) {}, ""},
    {"an image outside the list is denied",
     [](auto& ask) { ask.image = *ImageRef::parse("docker.io/library/alpine:latest"); }, "Image"},
    {"a pattern does not cross a slash",
     [](auto& ask) { ask.image = *ImageRef::parse("docker.io/library/busybox/evil:latest"); }, "Image"},
    {"arguments are granted",
     [](auto& ask) {
       ask.command.emplace();
       ask.command->items = {"sh", "-c", "caf\xc3\xa9"};
     },
     ""},
    {"an argument with NUL is refused",
     [](auto& ask) {
       ask.command.emplace();
       ask.command->items = {std::string("a\0b", 3)};
     },
     "Cmd", 400},
    {"an argument that is not UTF-8 is refused",
     [](auto& ask) {
       ask.entrypoint.emplace();
       ask.entrypoint->items = {"\xff"};
     },
     "Entrypoint", 400},
    {"a description that an inspection could not hold is refused",
     [](auto& ask) {
       ask.command.emplace();
       ask.command->items = {std::string(70'000, 'x')};
     },
     "Cmd", 413},
    {"an environment entry is granted", [](auto& ask) { ask.environment.items = {"A_1=x=y"}; }, ""},
    {"a name without = takes the image's variable away", [](auto& ask) { ask.environment.items = {"A"}; }, ""},
    {"a name that no variable has is refused", [](auto& ask) { ask.environment.items = {"1A"}; }, "Env", 400},
    {"an environment entry without a name is refused", [](auto& ask) { ask.environment.items = {"=x"}; }, "Env", 400},
    {"what steers a runtime is denied", [](auto& ask) { ask.environment.items = {"NVIDIA_VISIBLE_DEVICES=all"}; },
     "Env"},
    {"a working directory is granted", [](auto& ask) { ask.working_directory = "/work/x"; }, ""},
    {"a working directory in /proc is denied (CVE-2024-21626)",
     [](auto& ask) { ask.working_directory = "/proc/self/fd/7"; }, "WorkingDir"},
    {"a working directory with .. is denied", [](auto& ask) { ask.working_directory = "/work/../proc/self"; },
     "WorkingDir"},
    {"a relative working directory is denied", [](auto& ask) { ask.working_directory = "proc/self"; }, "WorkingDir"},
    {"a host name is granted", [](auto& ask) { ask.hostname = "db-1"; }, ""},
    {"a host name with a newline is refused", [](auto& ask) { ask.hostname = "a\n10.0.0.1 evil"; }, "Hostname", 400},
    {"memory at dockerd's least is granted", [](auto& ask) { ask.memory = 6 << 20; }, ""},
    {"memory below dockerd's least is refused", [](auto& ask) { ask.memory = (6 << 20) - 1; }, "HostConfig.Memory",
     400},
    {"negative memory is refused", [](auto& ask) { ask.memory = -1; }, "HostConfig", 400},
    {"a negative pids limit, which means none, is refused", [](auto& ask) { ask.pids = -1; }, "HostConfig", 400},
    {"a host name with _ and dots is granted", [](auto& ask) { ask.hostname = "db_1.example.com"; }, ""},
    {"a host name with two dots is refused", [](auto& ask) { ask.hostname = "a..b"; }, "Hostname", 400},
    {"a variable without value is granted", [](auto& ask) { ask.environment.items = {{"UNSET"}}; }, ""},
    {"a variable without name is refused", [](auto& ask) { ask.environment.items = {{""}}; }, "Env", 400},
    {"signal 34 is granted", [](auto& ask) { ask.stop_signal = 34; }, ""},
    {"signal 33 is refused", [](auto& ask) { ask.stop_signal = 33; }, "StopSignal", 400},
    {"signal 64 is granted", [](auto& ask) { ask.stop_signal = 64; }, ""},
    {"signal 65 is refused", [](auto& ask) { ask.stop_signal = 65; }, "StopSignal", 400},
    {"the runtime that is in force is granted", [](auto& ask) { ask.runtime = "runc"; }, ""},
    {"another runtime is denied", [](auto& ask) { ask.runtime = "crun"; }, "HostConfig.Runtime"},
    {"a runtime in other letters is denied", [](auto& ask) { ask.runtime = "RUNC"; }, "HostConfig.Runtime"},
    {"the image's platform is granted", [](auto& ask) { ask.platform = "linux/amd64"; }, ""},
    {"another platform is denied", [](auto& ask) { ask.platform = "linux/arm64"; }, "platform"},
    {"a label is granted", [](auto& ask) { ask.labels.items = {{"k", "v"}}; }, ""},
    {"an empty label is refused", [](auto& ask) { ask.labels.items = {{"", "v"}}; }, "Labels", 400},
};
INSTANTIATE_TEST_SUITE_P(Cases, Create, testing::ValuesIn(kCases));

TEST(CreateMemory, BelowDockerdsLeastIsRefusedInDockersWords) {
  CreateContainer ask = honest();
  ask.memory = 6 << 20;
  EXPECT_FALSE(decide(ask, profile()));
  ask.memory -= 1;
  EXPECT_EQ(decide(ask, profile())->message, "sallyport: Minimum memory limit allowed is 6MB");
}

OwnedContainer named(const char* name, std::uint64_t memory) {
  OwnedContainer container;
  container.name = *ContainerName::parse(name);
  container.memory_bytes = memory;
  return container;
}

TEST(CreateBudget, CountsContainersInFlightToo) {
  Ledger ledger;
  (void)ledger.reserve(named("aa", 1));
  EXPECT_FALSE(decide_create(honest(), profile(), ledger));
  (void)ledger.reserve(named("bb", 1));
  const Verdict verdict = decide_create(honest(), profile(), ledger);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rule, "docker.budget.containers");
  EXPECT_THAT(verdict->message, testing::HasSubstr("has 2 containers, and its budget is 2"));
}

TEST(CreateBudget, SumsMemory) {
  Profile with = profile();
  with.docker->budget.memory_bytes = 150 << 20;
  Ledger ledger;
  EXPECT_FALSE(decide_create(honest(), with, ledger));
  (void)ledger.reserve(named("aa", 100 << 20));
  const Verdict verdict = decide_create(honest(), with, ledger);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rule, "docker.budget.memory");
  CreateContainer small = honest();
  small.memory = 50 << 20;
  EXPECT_FALSE(decide_create(small, with, ledger));
  small.memory += 1;
  EXPECT_TRUE(decide_create(small, with, ledger));
}

// The last byte that fits, and one more.
TEST(CreateLabels, MayTakeWhatTheLedgerKeepsForASessionAndNotAByteMore) {
  Profile with = profile();
  with.docker->budget.containers = 4096;
  Ledger ledger;
  CreateContainer ask = honest();
  ask.name = *ContainerName::parse("last");
  ask.labels.items.push_back({{"k"}, {""}});
  const std::size_t least = with_room_to_remember(kept_bytes_of(4, image_as_shown(ask).size(), ask.labels.items));
  while (ledger.kept_bytes() + least + limits::kMaxLabelBytes + 1024 < limits::kMaxLedgerTextBytes) {
    OwnedContainer other;
    other.name = *ContainerName::parse("c" + std::to_string(ledger.count()));
    other.labels.push_back({{"k"}, {std::string(limits::kMaxLabelBytes, 'x')}});
    ledger.reserve(other);
  }
  std::string& value = ask.labels.items[0].value.value;
  value.assign(limits::kMaxLedgerTextBytes - ledger.kept_bytes() - least, 'x');
  EXPECT_FALSE(decide_create(ask, with, ledger));
  value += 'x';
  const Verdict verdict = decide_create(ask, with, ledger);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->status, 403);
  EXPECT_EQ(verdict->rule, kLedgerRule);
  EXPECT_THAT(verdict->message, testing::HasSubstr("and a session may have 524288: remove a container first"));
  ledger.forget(ledger.all().front());
  EXPECT_FALSE(decide_create(ask, with, ledger));
}

TEST(CreateName, ThatIsTakenIsAConflictInDockersWords) {
  Ledger ledger;
  (void)ledger.reserve(named("db", 1));
  CreateContainer ask = honest();
  ask.name = *ContainerName::parse("db");
  const Verdict verdict = decide_create(ask, profile(), ledger);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->status, 409);
  EXPECT_THAT(verdict->message, testing::StartsWith("Conflict. The container name \"/db\" is already in use"));
  ask.name = *ContainerName::parse("db2");
  EXPECT_FALSE(decide_create(ask, profile(), ledger));
}

struct VolumeCase {
  const char* path;
  bool granted;
};
class Volume : public testing::TestWithParam<VolumeCase> {};
TEST_P(Volume, IsCoveredOrTheImageIsRefused) {
  engine::ImageFacts facts = image();
  facts.volumes = {GetParam().path};
  EXPECT_EQ(!decide_effective(honest(), facts), GetParam().granted) << GetParam().path;
}
INSTANTIATE_TEST_SUITE_P(Paths, Volume,
                         testing::Values(VolumeCase{"/data", true}, VolumeCase{"/data/", true},
                                         VolumeCase{"/var/lib/x", true}, VolumeCase{"/", false}, VolumeCase{"", false},
                                         VolumeCase{"data", false}, VolumeCase{"/a/../b", false},
                                         VolumeCase{"/a//b", false}, VolumeCase{"/proc", false},
                                         VolumeCase{"/proc/", false}, VolumeCase{"/proc/x", false},
                                         VolumeCase{"/sys", false}, VolumeCase{"/dev/shm", false},
                                         VolumeCase{"/processed", true}, VolumeCase{"/a\n", false}));

TEST(Volumes, MayBeAsManyAsTheLimitAndNoMore) {
  engine::ImageFacts facts = image();
  for (std::size_t i = 0; i < limits::kMaxImageVolumes; ++i) facts.volumes.push_back("/v" + std::to_string(i));
  EXPECT_FALSE(decide_effective(honest(), facts));
  facts.volumes.emplace_back("/one-more");
  const Verdict verdict = decide_effective(honest(), facts);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rule, "Image.Volumes");
  EXPECT_EQ(verdict->message, "sallyport: image busybox:latest declares more than 8 volumes");
}

TEST(Plan, ClampsToTheProfileAndImposesTheRest) {
  CreateContainer ask = honest();
  ask.memory = std::int64_t{1} << 40;
  ask.nano_cpus = std::int64_t{64} * 1'000'000'000;
  ask.pids = 100'000;
  ask.stop_timeout = 100'000;
  const ContainerSection section = profile().docker->container;
  const PlanFacts facts{*SessionId::parse("0123456789ab"), "broker", 200'004, false};
  const auto plan = plan_container(ask, section, image(), facts, *ContainerName::parse("db"));
  EXPECT_EQ(plan.memory_bytes, 100 << 20);
  EXPECT_EQ(plan.cpu_quota, 100'000);
  EXPECT_EQ(plan.pids, 128);
  EXPECT_EQ(plan.stop_timeout, limits::kMaxStopSeconds);
  EXPECT_EQ(plan.uid, 200'004U);
  EXPECT_EQ(plan.dockerd_name, "sp-0123456789ab-db");
  EXPECT_EQ(plan.cgroup_parent, "/sallyport-0123456789ab");
  EXPECT_TRUE(plan.add_home && plan.tmp && plan.read_only);
}

TEST(Plan, TakesLessWhereTheClientAsksForLess) {
  CreateContainer ask = honest();
  ask.memory = 32 << 20;
  ask.nano_cpus = 500'000'000;
  ask.environment.items = {"HOME=/x"};
  engine::ImageFacts facts = image();
  facts.volumes = {"/tmp/", "/data/", "/data"};
  const PlanFacts plan_facts{*SessionId::parse("0123456789ab"), "broker", 1, true};
  const auto plan = plan_container(ask, profile().docker->container, facts, plan_facts, *ContainerName::parse("db"));
  EXPECT_EQ(plan.memory_bytes, 32 << 20);
  EXPECT_EQ(plan.cpu_quota, 50'000);
  EXPECT_FALSE(plan.add_home || plan.tmp);
  EXPECT_THAT(plan.volumes, testing::ElementsAre("/data", "/tmp"));
  EXPECT_EQ(plan.cgroup_parent, "sallyport-0123456789ab.slice");
}

TEST(Group, ThatIsOffDeniesItsEndpointsAndNoOthers) {
  Profile with = profile();
  with.docker->allow[static_cast<std::size_t>(ApiGroup::Stop)] = false;
  EXPECT_EQ(decide_group(*endpoint_of(protocol::KillContainer{}), with)->rule, "docker.allow");
  EXPECT_FALSE(decide_group(*endpoint_of(protocol::StartContainer{}), with));
  with.docker.reset();
  EXPECT_EQ(decide_group(*endpoint_of(protocol::StartContainer{}), with)->rule, "docker");
}

TEST(Endpoints, AreKnownForEveryRequestThatIsAnswered) {
  EXPECT_EQ(endpoint_of(protocol::CreateContainer{})->verb, api::Verb::Create);
  EXPECT_EQ(endpoint_of(protocol::ReadLogs{})->verb, api::Verb::Logs);
  EXPECT_EQ(endpoint_of(protocol::RemoveContainer{})->verb, api::Verb::Remove);
  EXPECT_EQ(endpoint_of(protocol::GateClaim{}), nullptr);
}

}  // namespace
}  // namespace sallyport::keeper
