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

TEST(ReadList, KnowsTheStatusOfTheEndFromDockerdsWords) {
  const std::pair<const char*, int> cases[] = {{"Exited (4) 2 minutes ago", 4},
                                               {"Exited (137) Less than a second ago", 137},
                                               {"Exited (0) 1 second ago", 0},
                                               {"Exited (-1) 1 second ago", -1},
                                               {"Restarting (3) 1 second ago", 3},
                                               {"Up 3 seconds", 0},
                                               {"Up 3 seconds (7)", 0},
                                               {"Created", 0},
                                               {"Exited (x) ago", 0},
                                               {"Exited (4", 0},
                                               {"Exited (4x) ago", 0},
                                               {"Exited (99999999999) ago", 0},
                                               {"Exited ()", 0},
                                               {"", 0}};
  for (const auto& [words, code] : cases) {
    const auto read = read_list(R"([{"Id":")" + kId + R"(","State":"exited","Status":")" + words + R"("}])");
    ASSERT_TRUE(read) << words;
    EXPECT_EQ(read->front().summary.exit_code, code) << words;
  }
}

TEST(ReadImage, TakesAllThatItAddsToAContainer) {
  const auto read = read_image(
      R"({"Id":")" + kImage + R"(","Os":"linux","Architecture":"arm64","Variant":"v8",)" +
      R"("ContainerConfig":{"Volumes":{"/no":{}}},"Config":{"Env":["PATH=/bin","HOME=/root"],"Cmd":["a"],)" +
      R"("Entrypoint":["b","c"],"WorkingDir":"/w","StopSignal":"SIGINT","Labels":{"abc":"de"},"ExposedPorts":{"80/tcp":{}},)" +
      R"("Volumes":{"/data":{},"/w/":{}}}})");
  ASSERT_TRUE(read);
  EXPECT_THAT(read->volumes, testing::ElementsAre("/data", "/w/"));
  EXPECT_THAT(read->environment, testing::ElementsAre("PATH=/bin", "HOME=/root"));
  EXPECT_THAT(read->command, testing::ElementsAre("a"));
  EXPECT_THAT(read->entrypoint, testing::ElementsAre("b", "c"));
  EXPECT_EQ(read->working_directory, "/w");
  EXPECT_EQ(read->stop_signal, "SIGINT");
  EXPECT_EQ(read->platform, "linux/arm64/v8");
  EXPECT_EQ(read->other_bytes, 3 + 8 + 2 + 6 + 8);
  EXPECT_EQ(read->other_described, 3 + 8 + 2 + 6 + 8);
  EXPECT_FALSE(read->is_cut);
  EXPECT_FALSE(read_image(R"({"Id":"busybox"})"));
}

TEST(ReadImage, SaysWhenItHasMoreThanAClientMayGive) {
  const auto config = [](const std::string& members) {
    return read_image(R"({"Id":")" + kImage + R"(","Config":{)" + members + "}}");
  };
  const auto list = [](const std::string& item, std::size_t count) {
    std::string text = "[";
    for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "\"" : ",\"") + item + "\"";
    return text + "]";
  };
  EXPECT_FALSE(config("\"Cmd\":" + list("x", limits::kMaxArguments))->is_cut);
  EXPECT_TRUE(config("\"Cmd\":" + list("x", limits::kMaxArguments + 1))->is_cut);
  EXPECT_FALSE(config("\"Env\":" + list("A=b", limits::kMaxEnvironmentEntries))->is_cut);
  EXPECT_TRUE(config("\"Env\":" + list("A=b", limits::kMaxEnvironmentEntries + 1))->is_cut);
  EXPECT_FALSE(config("\"Entrypoint\":" + list(std::string(limits::kMaxArgumentBytes, 'x'), 1))->is_cut);
  for (std::size_t more = 1; more < 6; ++more)
    EXPECT_TRUE(config("\"Entrypoint\":" + list(std::string(limits::kMaxArgumentBytes + more, 'x'), 1))->is_cut)
        << more;
  EXPECT_TRUE(config("\"Cmd\":" + list(std::string(limits::kMaxArgumentBytes, 'x'), 2))->is_cut);
  EXPECT_GT(config("\"WorkingDir\":\"/" + std::string(5000, 'x') + "\"")->working_directory.size(),
            limits::kMaxPathBytes);
  EXPECT_GT(config(R"("Labels":{"a":")" + std::string(500'000, 'x') + "\"}")->other_bytes, 500'000U);
  EXPECT_EQ(config(R"("Labels":{"a":"\u0001\u0001"})")->other_described, 1 + 8 + 2 * 6U);
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

struct Told {
  Operation operation;
  unsigned status;
  const char* text;
  unsigned shown;
  const char* words;
};
class Explained : public testing::TestWithParam<Told> {};
TEST_P(Explained, InOurWords) {
  const protocol::Failed failed = explain(GetParam().operation, GetParam().status, GetParam().text,
                                          {.container = "db", .program = "no\"such", .directory = "/w/x"});
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
        Told{Operation::Start, 400, "runc: exec: \"no\\\"such\": executable file not found in $PATH: unknown", 400,
             "the command \"no\\\"such\" was not found: executable file not found in $PATH"},
        Told{Operation::Start, 400, "runc: exec: \"no\\\"such\": stat no\"such: no such file or directory: unknown",
             400, "the command \"no\\\"such\" could not be run: no such file or directory"},
        Told{Operation::Start, 400, "exec: \"other-deadbeef\": executable file not found in $PATH", 400,
             "the command was not found: executable file not found in $PATH"},
        Told{Operation::Start, 400, "error during container init: mkdir /w/x: not a directory: unknown", 400,
             "the working directory \"/w/x\" is not a directory"},
        Told{Operation::Start, 400, "chdir to cwd (\"/w/x\") set in config.json failed: permission denied", 400,
             "the working directory \"/w/x\" cannot be entered by the session's user: permission denied"},
        Told{Operation::Start, 400, "error mounting \"tmpfs\" to rootfs at \"/deadbeef\": not a directory: unknown",
             400, "a volume that the image declares could not be mounted"},
        Told{Operation::Start, 500, "mkdir /var/lib/docker/deadbeef: no space left on device", 500,
             "the disk that dockerd uses is full"},
        Told{Operation::Start, 500, "container init was OOM-killed (memory limit too low?)", 500, "ran out of memory"},
        Told{Operation::Start, 500, "runc: error setting rlimit type 4: operation not permitted: unknown", 500,
             "dockerd may not limit its core files (LimitCORE=1)"},
        Told{Operation::Start, 409, "cannot start a paused container, try unpause instead", 409,
             "Container db is paused: it is started already"},
        Told{Operation::Start, 500, "mkdir /var/lib/docker/deadbeef: no space", 500,
             "the container could not be started; the broker's log says more"},
        Told{Operation::Create, 400, "No command specified", 400, "No command specified: neither the request nor"},
        Told{Operation::Create, 400, "no command specified", 400, "No command specified: neither the request nor"},
        Told{Operation::Create, 400, "Unknown runtime specified runsc-deadbeef", 400,
             "does not know this profile's runtime"},
        Told{Operation::Create, 400, "unknown or invalid runtime name: deadbeef", 400,
             "does not know this profile's runtime"},
        Told{Operation::Create, 500, "Cannot mkdir: /var/lib/x is not a directory", 500,
             "the working directory \"/w/x\" is not a directory: a file is in its place"},
        Told{Operation::Create, 500, "lstat /var/lib/docker/overlay2/deadbeef/merged/w/x: not a directory", 500,
             "the working directory \"/w/x\" is not a directory: a file is in its place"},
        Told{Operation::Create, 500, "lstat /var/lib/docker/overlay2/deadbeef/merged/w/x: file name too long", 500,
             "the working directory \"/w/x\" is too long"},
        Told{Operation::Create, 400, "invalid deadbeef", 400,
             "dockerd refused these settings of the container; the broker's log says more"},
        Told{Operation::Create, 500, "driver failed /var/lib", 500,
             "dockerd could not make a container of image db; the broker's log says more"},
        Told{Operation::Remove, 409, "You cannot remove a paused container deadbeef. Unpause", 409, "db is paused"},
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
