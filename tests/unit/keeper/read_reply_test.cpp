#include "broker/engine/read_reply.hpp"

#include "broker/engine/explain.hpp"

namespace sallyport::engine {
namespace {

const std::string kId(64, 'c');
const std::string kImage = "sha256:" + std::string(64, 'd');

// As dockerd 20.10 answers, shortened, with host paths and forged labels in it.
std::string inspection() {
  return R"({"Id":")" + kId + R"(","Created":"2026-11-22T05:17:23.68746539Z","Path":"sh","Args":["-c","exit 3"],)" +
         R"("State":{"Status":"exited","Running":false,"OOMKilled":true,"Pid":4711,"ExitCode":3,)" +
         R"("Error":"OCI runtime create failed: open /var/lib/docker/overlay2/secret: permission denied",)" +
         R"("StartedAt":"2026-11-22T05:17:24Z","FinishedAt":"0001-01-01T00:00:00Z"},"Image":")" + kImage + R"(",)" +
         R"("ResolvConfPath":"/var/lib/docker/x","LogPath":"/var/lib/docker/y","Name":"/sp-0-x",)" +
         R"("HostConfig":{"AutoRemove":true,"Memory":67108864,"CpuPeriod":100000,"CpuQuota":50000,"PidsLimit":null,)" +
         R"("ShmSize":64,"ReadonlyRootfs":true,"SecurityOpt":["seccomp={\"a\":[\"}\"]}"]},)" +
         R"("GraphDriver":{"Data":{"UpperDir":"/var/lib/docker/overlay2/z"}},"Mounts":[],)" +
         R"("Config":{"Hostname":"h","User":"200004:200004","Tty":true,"OpenStdin":false,"Env":["A=1","B=2"],)" +
         R"("Cmd":["sh","-c","exit 3"],"Entrypoint":null,"WorkingDir":"/w","StopSignal":"15",)" +
         R"("Labels":{"sallyport.session":"ffffffffffff"}},"NetworkSettings":{"SandboxKey":"/run/x"}})" + "\n";
}

TEST(ReadInspect, TakesWhatTheSessionMaySee) {
  const auto read = read_inspect(inspection());
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->container.id.text(), kId);
  EXPECT_EQ(read->container.status, protocol::ContainerStatus::Exited);
  EXPECT_EQ(read->container.exit_code, 3);
  EXPECT_EQ(read->container.command.value, "sh -c exit 3");
  EXPECT_EQ(read->container.image_id.value, kImage);
  EXPECT_TRUE(read->oom_killed && read->auto_remove && read->tty && read->read_only && read->has_command);
  EXPECT_FALSE(read->has_entrypoint);
  EXPECT_EQ(read->environment.items.size(), 2U);
  EXPECT_EQ(read->memory, 67108864);
  EXPECT_EQ(read->pids, 0);
}

TEST(ReadInspect, TakesNoPathOfTheHostAndNoForgedLabel) {
  const auto read = read_inspect(inspection());
  ASSERT_TRUE(read);
  const std::vector<std::byte> bytes = encode_message(*read);
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const char* secret : {"/var/lib", "overlay2", "4711", "ffffffffffff", "/run/x", "seccomp", "sp-0-x"})
    EXPECT_EQ(all.find(secret), std::string_view::npos) << secret;
}

TEST(ReadInspect, IsRefusedAtEveryCut) {
  const std::string whole = inspection();
  for (std::size_t size = 0; size + 2 < whole.size(); ++size) EXPECT_FALSE(read_inspect(whole.substr(0, size))) << size;
}

TEST(ReadInspect, WithoutAnIdIsRefused) {
  EXPECT_FALSE(read_inspect("{}"));
  EXPECT_FALSE(read_inspect(R"({"Id":"cccc"})"));
  EXPECT_FALSE(read_inspect("[]"));
}

TEST(ReadList, TakesIdsAndNamesAndRefusesAHalfList) {
  const std::string one =
      R"({"Id":")" + kId + R"(","Names":["/sp-0123456789ab-db"],"ImageID":")" + kImage +
      R"(","Command":"sh","Created":12,"State":"running","Status":"Up 3 seconds","Labels":{"a":"b"}})";
  const auto read = read_list("[" + one + "]");
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ(read->front().name, "sp-0123456789ab-db");
  EXPECT_EQ(read->front().summary.status, protocol::ContainerStatus::Running);
  EXPECT_TRUE(read_list("[]")->empty());
  EXPECT_FALSE(read_list("[" + one + ","));
  EXPECT_FALSE(read_list(R"([{"Names":["/x"]}])"));
}

TEST(ReadImage, ListsVolumesAndKnowsWhetherHomeIsSet) {
  const auto read = read_image(R"({"Id":")" + kImage + R"(","ContainerConfig":{"Volumes":{"/no":{}}},)" +
                               R"("Config":{"Env":["PATH=/bin","HOME=/root"],"Volumes":{"/data":{},"/w/":{}}}})");
  ASSERT_TRUE(read);
  EXPECT_THAT(read->volumes, testing::ElementsAre("/data", "/w/"));
  EXPECT_TRUE(read->sets_home);
  EXPECT_FALSE(read_image(R"({"Id":"busybox"})"));
}

TEST(ReadWait, WantsAStatus) {
  EXPECT_EQ(read_wait("{\"Error\":null,\"StatusCode\":7}\n")->status, 7);
  EXPECT_EQ(read_wait(R"({"Error":{"Message":"m"},"StatusCode":-1})")->error, "m");
  EXPECT_FALSE(read_wait("{}"));
  EXPECT_FALSE(read_wait(""));
}

TEST(ReadInfo, TellsTheDriverAndWhatTheHostCannotLimit) {
  const auto read =
      read_info(R"({"CgroupDriver":"systemd","MemoryLimit":true,"SwapLimit":false,"PidsLimit":false,"Name":"host"})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cgroup_driver, "systemd");
  EXPECT_THAT(read->not_enforced, testing::ElementsAre("docker.container.memory (swap)", "docker.container.pids"));
  EXPECT_FALSE(read_info("{}"));
}

TEST(Versions, AreComparedByTheirNumbers) {
  EXPECT_TRUE(version_at_least("1.41", "1.41"));
  EXPECT_TRUE(version_at_least("1.41", "1.9"));
  EXPECT_FALSE(version_at_least("1.9", "1.41"));
  for (const char* text : {"", "1", "1.", ".1", "1.41x", "x"}) EXPECT_FALSE(version_at_least(text, "1.0")) << text;
}

struct Told {
  Operation operation;
  unsigned status;
  const char* text;
  unsigned shown;
  const char* words;
};
class Explained : public testing::TestWithParam<Told> {};
TEST_P(Explained, InOurWords) {
  const protocol::Failed failed = explain(GetParam().operation, GetParam().status, GetParam().text, "db");
  EXPECT_EQ(failed.http_status, GetParam().shown);
  EXPECT_THAT(failed.message.value, testing::HasSubstr(GetParam().words));
  for (const char* secret : {"/var/lib", "deadbeef", "runc"})
    EXPECT_THAT(failed.message.value, testing::Not(testing::HasSubstr(secret)));
}
INSTANTIATE_TEST_SUITE_P(
    Texts, Explained,
    testing::Values(
        Told{Operation::Start, 400, "runc create failed: exec: \"x\": executable file not found in $PATH: unknown", 400,
             "executable file not found in $PATH"},
        Told{Operation::Start, 400, "runc: stat /nope: no such file or directory: unknown", 400,
             "no such file or directory"},
        Told{Operation::Start, 400, "exec: \"/etc\": permission denied: unknown", 400, "permission denied"},
        Told{Operation::Start, 500, "mkdir /var/lib/docker/deadbeef: no space", 500, "could not be started"},
        Told{Operation::Inspect, 404, "No such container: deadbeef", 404, "No such container: db"},
        Told{Operation::Create, 404, "No such image", 404, "No such image: db"},
        Told{Operation::Create, 409, "name in use by deadbeef", 409, "Conflict. The container name"},
        Told{Operation::Remove, 409, "You cannot remove a running container deadbeef.", 409,
             "You cannot remove a running container db. Stop the container"},
        Told{Operation::Remove, 409, "removal of container deadbeef is already in progress", 409,
             "already in progress"},
        Told{Operation::Kill, 409, "Cannot kill container: deadbeef: Container deadbeef is not running", 409,
             "Container db is not running"},
        Told{Operation::Stop, 500, "cannot stop /var/lib/docker", 500, "could not do this with container db"}));

}  // namespace
}  // namespace sallyport::engine
