// Each value that a client asks for and does not get has its words; what it did not ask for, or gets, has none.
#include "broker/keeper/plan_container.hpp"

namespace sallyport::keeper {
namespace {

using protocol::CreateContainer;

engine::ContainerPlan planned(const CreateContainer& ask) {
  ContainerSection section;
  section.memory_bytes = 100 << 20;
  section.cpus = 0.5;
  section.pids = 64;
  section.shm_bytes = 1 << 20;
  section.tmp_bytes = 2 << 20;
  section.log_bytes = 3 << 20;
  engine::ImageFacts image;
  image.command = {"sh"};
  const PlanFacts facts{*SessionId::parse("0123456789ab"), "broker", 200'004, false};
  return plan_container(ask, section, image, facts, *ContainerName::parse("db"));
}

struct WishCase {
  const char* sentence;
  std::function<void(CreateContainer&)> change;
  const char* words;  // "": silent
};
class Wish : public testing::TestWithParam<WishCase> {};
TEST_P(Wish, IsAnsweredWhereItDoesNotHold) {
  CreateContainer ask;
  GetParam().change(ask);
  const auto warnings = warnings_of(ask, planned(ask));
  if (std::string(GetParam().words).empty()) {
    EXPECT_TRUE(warnings.empty()) << GetParam().sentence << ": " << warnings[0].words;
    return;
  }
  ASSERT_EQ(warnings.size(), 1U) << GetParam().sentence;
  EXPECT_EQ(warnings[0].words, "sallyport: " + std::string(GetParam().words)) << GetParam().sentence;
  EXPECT_THAT(GetParam().words, testing::StartsWith(warnings[0].field));
  EXPECT_EQ(fields_of(warnings), "imposed: " + warnings[0].field);
}
const WishCase kWishes[] = {
    {"nothing", [](auto&) {}, ""},
    {"a user", [](auto& ask) { ask.wishes.user = "root"; },
     "User \"root\" does not hold: containers run as the session's own user, 200004"},
    {"the session's user", [](auto& ask) { ask.wishes.user = "200004"; }, ""},
    {"the session's user and group", [](auto& ask) { ask.wishes.user = "200004:200004"; }, ""},
    {"the session's user and another group", [](auto& ask) { ask.wishes.user = "200004:0"; },
     "User \"200004:0\" does not hold: containers run as the session's own user, 200004"},
    {"more memory", [](auto& ask) { ask.memory = (100 << 20) + 1; },
     "HostConfig.Memory 104857601 does not hold: this profile allows 104857600"},
    {"all memory that there is", [](auto& ask) { ask.memory = 100 << 20; }, ""},
    {"less memory", [](auto& ask) { ask.memory = 50 << 20; }, ""},
    {"swap", [](auto& ask) { ask.wishes.memory_swap = 200 << 20; },
     "HostConfig.MemorySwap 209715200 does not hold: containers have no swap, so memory and swap together are "
     "104857600"},
    {"endless swap", [](auto& ask) { ask.wishes.memory_swap = -1; },
     "HostConfig.MemorySwap without a limit does not hold: containers have no swap, so memory and swap together are "
     "104857600"},
    {"no swap", [](auto& ask) { ask.memory = ask.wishes.memory_swap = 50 << 20; }, ""},
    {"a reservation", [](auto& ask) { ask.wishes.memory_reservation = 1; },
     "HostConfig.MemoryReservation 1 does not hold: no memory is reserved"},
    {"swappiness", [](auto& ask) { ask.wishes.memory_swappiness = 60; },
     "HostConfig.MemorySwappiness 60 does not hold: containers have no swap"},
    {"the usual swappiness, as the CLI writes it", [](auto& ask) { ask.wishes.memory_swappiness = -1; }, ""},
    {"more CPUs", [](auto& ask) { ask.nano_cpus = 16'000'000'000; },
     "HostConfig.NanoCpus 16 does not hold: 0.5 CPUs are in force"},
    {"as many CPUs as there are", [](auto& ask) { ask.nano_cpus = 500'000'000; }, ""},
    {"fewer CPUs", [](auto& ask) { ask.nano_cpus = 200'000'000; }, ""},
    {"a third of a CPU", [](auto& ask) { ask.nano_cpus = 333'333'333; }, ""},
    {"fewer CPUs than work", [](auto& ask) { ask.nano_cpus = 10'000'000; },
     "HostConfig.NanoCpus 0.01 does not hold: 0.1 CPUs are in force"},
    {"all CPUs", [](auto& ask) { ask.wishes.cpu_quota = -1; },
     "HostConfig.CpuQuota without a limit does not hold: this profile allows 0.5 CPUs"},
    {"more CPUs as a quota", [](auto& ask) { ask.wishes.cpu_quota = 1'600'000, ask.nano_cpus = 16'000'000'000; },
     "HostConfig.CpuQuota 1600000 does not hold: 0.5 CPUs are in force"},
    {"as many CPUs as a quota", [](auto& ask) { ask.wishes.cpu_quota = 50'000, ask.nano_cpus = 500'000'000; }, ""},
    {"a period alone", [](auto& ask) { ask.wishes.cpu_period = 50'000; },
     "HostConfig.CpuPeriod 50000 does not hold: CPU time is given out in periods of 100000"},
    {"a quota of another period",
     [](auto& ask) { ask.wishes.cpu_period = 50'000, ask.wishes.cpu_quota = 25'000, ask.nano_cpus = 500'000'000; },
     "HostConfig.CpuPeriod 50000 does not hold: CPU time is given out in periods of 100000"},
    {"the period in force", [](auto& ask) { ask.wishes.cpu_period = 100'000; }, ""},
    {"CPU shares", [](auto& ask) { ask.wishes.cpu_shares = 2048; },
     "HostConfig.CpuShares 2048 does not hold: CPU time is the profile's"},
    {"the usual CPU shares", [](auto& ask) { ask.wishes.cpu_shares = 1024; }, ""},
    {"a disk's weight", [](auto& ask) { ask.wishes.blkio_weight = 500; },
     "HostConfig.BlkioWeight 500 does not hold: disk shares are the profile's"},
    {"more processes", [](auto& ask) { ask.pids = 65; },
     "HostConfig.PidsLimit 65 does not hold: this profile allows 64"},
    {"as many processes", [](auto& ask) { ask.pids = 64; }, ""},
    {"endless processes", [](auto& ask) { ask.wishes.unlimited_pids = true; },
     "HostConfig.PidsLimit without a limit does not hold: this profile allows 64"},
    {"more shared memory", [](auto& ask) { ask.shm_bytes = 2 << 20; },
     "HostConfig.ShmSize 2097152 does not hold: this profile allows 1048576"},
    {"less shared memory", [](auto& ask) { ask.shm_bytes = 1 << 19; }, ""},
    {"a limit of files", [](auto& ask) { ask.wishes.ulimit_nofile = true; },
     "HostConfig.Ulimits nofile does not hold: it stays as dockerd has it"},
    {"a limit of processes", [](auto& ask) { ask.wishes.ulimit_nproc = true; },
     "HostConfig.Ulimits nproc does not hold: processes are limited by PidsLimit"},
    {"core files", [](auto& ask) { ask.wishes.ulimit_core = true; },
     "HostConfig.Ulimits core does not hold: containers write no core files"},
    {"a long stop", [](auto& ask) { ask.stop_timeout = 30, ask.wishes.stop_timeout = 31; },
     "StopTimeout 31 does not hold: at most 30 s are waited"},
    {"an endless stop", [](auto& ask) { ask.stop_timeout = 30, ask.wishes.stop_timeout = -1; },
     "StopTimeout for ever does not hold: at most 30 s are waited"},
    {"a stop that is waited for", [](auto& ask) { ask.stop_timeout = 30; }, ""},
    {"an oom score", [](auto& ask) { ask.wishes.oom_score = 100; },
     "HostConfig.OomScoreAdj 100 does not hold: it is 1000, so that a container dies before its host"},
    {"the oom score in force", [](auto& ask) { ask.wishes.oom_score = 1000; }, ""},
    {"larger logs", [](auto& ask) { ask.wishes.log_bytes = 10 << 20; },
     "HostConfig.LogConfig max-size 10485760 does not hold: this profile keeps 3145728 bytes"},
    {"endless logs", [](auto& ask) { ask.wishes.log_bytes = -1; },
     "HostConfig.LogConfig max-size without a limit does not hold: this profile keeps 3145728 bytes"},
    {"the logs in force", [](auto& ask) { ask.wishes.log_bytes = 3 << 20, ask.wishes.log_files = 1; }, ""},
    {"more log files", [](auto& ask) { ask.wishes.log_files = 3; },
     "HostConfig.LogConfig max-file 3 does not hold: logs are kept in one file"},
    {"a larger /tmp", [](auto& ask) { ask.wishes.tmp_bytes = 1 << 30; },
     "HostConfig.Tmpfs /tmp size 1073741824 does not hold: this profile gives it 2097152"},
    {"the /tmp in force", [](auto& ask) { ask.wishes.tmp_bytes = 2 << 20, ask.wishes.tmp_mode = 01777; }, ""},
    {"another mode of /tmp", [](auto& ask) { ask.wishes.tmp_mode = 0700; },
     "HostConfig.Tmpfs /tmp mode 700 does not hold: it is 1777"},
    {"an endless /tmp", [](auto& ask) { ask.wishes.tmp_bytes = -1; },
     "HostConfig.Tmpfs /tmp size without a limit does not hold: this profile gives it 2097152"},
    {"a /tmp that nobody may use", [](auto& ask) { ask.wishes.tmp_mode = 0; },
     "HostConfig.Tmpfs /tmp mode 0 does not hold: it is 1777"},
    {"noatime", [](auto& ask) { ask.wishes.tmp_noatime = true; },
     "HostConfig.Tmpfs /tmp noatime does not hold: it is mounted without"},
    {"init, a read-only root and a name", [](auto& ask) { ask.init = ask.read_only = ask.tty = true; }, ""},
};
INSTANTIATE_TEST_SUITE_P(Cases, Wish, testing::ValuesIn(kWishes));

TEST(Wishes, AllTogetherFitIntoTheAnswer) {
  CreateContainer ask;
  for (const WishCase& one : kWishes)
    if (*one.words != '\0') one.change(ask);
  ask.wishes.user = std::string(limits::kMaxUserBytes, '$');
  engine::ContainerPlan plan = planned(ask);
  plan.withheld.assign(limits::kMaxEnvironmentEntries, "NVIDIA_" + std::string(200, '\xc3'));
  const auto warnings = warnings_of(ask, plan);
  EXPECT_GE(warnings.size(), 15U);
  EXPECT_LE(warnings.size(), limits::kMaxWarnings);
  EXPECT_LE(fields_of(warnings).size(), limits::kMaxReasonBytes);
  protocol::Created created{*ContainerId::parse(std::string(64, 'a')), {}};
  for (const Warning& warning : warnings) created.warnings.items.emplace_back(warning.words);
  const auto bytes = encode_message(protocol::ReplyEnvelope{1, created});
  EXPECT_TRUE(decode_message<protocol::ReplyEnvelope>(bytes)) << "each is within its bound";
}

}  // namespace
}  // namespace sallyport::keeper
