// The canonical requests, byte by byte: what is not in here is never sent to dockerd.
#include "broker/engine/render.hpp"

namespace sallyport::engine {
namespace {

const ContainerId kId = *ContainerId::parse(std::string(64, 'a'));
const SessionId kSession = *SessionId::parse("0123456789ab");

ContainerPlan plan() {
  ContainerPlan plan;
  plan.dockerd_name = "sp-0123456789ab-db";
  plan.image = *ImageId::parse("sha256:" + std::string(64, 'b'));
  plan.uid = 200'004;
  plan.broker = "00112233445566ff";
  plan.session = kSession;
  plan.cgroup_parent = "/sallyport-0123456789ab";
  plan.volumes = {"/data"};
  plan.tmpfs_bytes = 1 << 20;
  plan.memory_bytes = 64 << 20;
  plan.cpu_quota = 50'000;
  plan.pids = 32;
  plan.shm_bytes = 1 << 20;
  plan.log_bytes = 10 << 20;
  plan.runtime = "runc";
  plan.read_only = true;
  plan.add_home = true;
  plan.stop_timeout = 10;
  return plan;
}

TEST(CreateBody, IsTheWholeContainerAndNothingElse) {
  protocol::CreateContainer ask;
  ask.command.emplace();
  ask.command->items = {"sh", "-c", "echo \"x\"\n"};
  ask.environment.items = {"A=1"};
  ask.attach_stdout = true;
  EXPECT_EQ(
      create_body(ask, plan(), R"({"defaultAction":"SCMP_ACT_ERRNO"})"),
      R"({"Image":"sha256:)" + std::string(64, 'b') +
          R"(","User":"200004:200004","Cmd":["sh","-c","echo \"x\"\u000a"],"Env":["A=1","HOME=/tmp"],)"
          R"("Tty":false,"OpenStdin":false,"StdinOnce":false,"AttachStdin":false,"AttachStdout":true,"AttachStderr":false,)"
          R"("StopTimeout":10,"Healthcheck":{"Test":["NONE"]},)"
          R"("Labels":{"sallyport.broker":"00112233445566ff","sallyport.session":"0123456789ab"},)"
          R"("HostConfig":{"NetworkMode":"none","IpcMode":"private","CgroupnsMode":"private","PidMode":"","UTSMode":"","UsernsMode":"",)"
          R"("Privileged":false,"PublishAllPorts":false,"CapAdd":[],"CapDrop":["ALL"],)"
          R"("SecurityOpt":["no-new-privileges","seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\"}"],)"
          R"("Memory":67108864,"MemorySwap":67108864,"CpuPeriod":100000,"CpuQuota":50000,"PidsLimit":32,"ShmSize":1048576,)"
          R"("OomScoreAdj":1000,"Ulimits":[{"Name":"core","Soft":1,"Hard":1}],"CgroupParent":"/sallyport-0123456789ab",)"
          R"("LogConfig":{"Type":"json-file","Config":{"max-size":"10485760","max-file":"1"}},)"
          R"("Tmpfs":{"/tmp":"rw,nosuid,nodev,noexec,size=1048576,mode=1777,uid=200004,gid=200004"},)"
          R"("Mounts":[{"Type":"tmpfs","Target":"/data","TmpfsOptions":{"SizeBytes":1048576,"Mode":1023}}],)"
          R"("RestartPolicy":{"Name":"no","MaximumRetryCount":0},"ReadonlyRootfs":true,"AutoRemove":false,"Init":false,"Runtime":"runc"}})");
}

TEST(CreateBody, AsksForTheCoreLimitThatDockerdCanGive) {
  ContainerPlan without = plan();
  without.core_limit = 0;
  EXPECT_NE(create_body({}, without, "{}").find(R"("Ulimits":[{"Name":"core","Soft":0,"Hard":0}])"), std::string::npos);
}

TEST(CreateBody, NamesAVariableOfTheImageWithoutAValueToKeepItOut) {
  protocol::CreateContainer ask;
  ask.environment.items = {"A=1"};
  ContainerPlan with = plan();
  with.withheld = {"NVIDIA_VISIBLE_DEVICES", "A\"B"};
  EXPECT_THAT(create_body(ask, with, "{}"),
              testing::HasSubstr(R"("Env":["A=1","NVIDIA_VISIBLE_DEVICES","A\"B","HOME=/tmp"],)"));
}

TEST(CreateBody, KeepsAnAbsentEntrypointApartFromAnEmptyOne) {
  protocol::CreateContainer ask;
  EXPECT_THAT(create_body(ask, plan(), "{}"), testing::Not(testing::HasSubstr("Entrypoint")));
  ask.entrypoint.emplace();
  EXPECT_THAT(create_body(ask, plan(), "{}"), testing::HasSubstr(R"("Entrypoint":[])"));
}

struct Golden {
  const char* sentence;
  Request request;
  std::string expected;
};
class Rendered : public testing::TestWithParam<Golden> {};
TEST_P(Rendered, IsCanonicalInEachVersion) {
  std::string expected = GetParam().expected;
  EXPECT_EQ(GetParam().request.in({1, 41}), expected) << GetParam().sentence;
  EXPECT_EQ(GetParam().request.in({1, 51}), expected.replace(expected.find("1.41"), 4, "1.51")) << GetParam().sentence;
}
TEST(RenderVersion, NamesNoVersion) { EXPECT_EQ(render_version(), "GET /version HTTP/1.1\r\nHost: docker\r\n\r\n"); }

const std::string kA(64, 'a');
std::string get(const std::string& path) { return "GET /v1.41" + path + " HTTP/1.1\r\nHost: docker\r\n\r\n"; }
std::string post(const std::string& path) {
  return "POST /v1.41" + path + " HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
}
protocol::ReadLogs some_logs() {
  protocol::ReadLogs ask;
  ask.follow = ask.use_stdout = true;
  ask.since_nanoseconds = 1'500'000'000;
  ask.tail = 5;
  return ask;
}
protocol::AttachContainer an_attach() {
  protocol::AttachContainer ask;
  ask.stream = ask.use_stdin = ask.use_stdout = true;
  ask.detach_keys = "ctrl-p,@";
  return ask;
}
INSTANTIATE_TEST_SUITE_P(
    Requests, Rendered,
    testing::Values(
        Golden{"start has no body", render_start(kId), post("/containers/" + kA + "/start")},
        Golden{"inspect", render_inspect(kId), get("/containers/" + kA + "/json")},
        Golden{"wait names its condition", render_wait(kId, protocol::WaitCondition::Removed),
               post("/containers/" + kA + "/wait?condition=removed")},
        Golden{"kill by number", render_kill(kId, 15), post("/containers/" + kA + "/kill?signal=15")},
        Golden{"stop without a time", render_stop(kId, {}), post("/containers/" + kA + "/stop")},
        Golden{"stop with a time", render_stop(kId, 3), post("/containers/" + kA + "/stop?t=3")},
        Golden{"resize", render_resize(kId, 24, 80), post("/containers/" + kA + "/resize?h=24&w=80")},
        Golden{"remove takes the anonymous volumes along", render_remove(kId, Force::Yes),
               "DELETE /v1.41/containers/" + kA + "?v=1&force=1 HTTP/1.1\r\nHost: docker\r\n\r\n"},
        Golden{"logs", render_logs(kId, some_logs()),
               get("/containers/" + kA + "/logs?follow=1&stdout=1&stderr=0&timestamps=0&since=1.500000000&tail=5")},
        Golden{
            "attach always upgrades", render_attach(kId, an_attach()),
            "POST /v1.41/containers/" + kA +
                "/attach?detachKeys=ctrl-p%2C%40&logs=0&stream=1&stdin=1&stdout=1&stderr=0 HTTP/1.1\r\nHost: docker\r\n"
                "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"},
        Golden{"list asks for our labels only", render_list("bb", kSession),
               get("/containers/"
                   "json?all=1&filters=%7B%22label%22%3A%5B%22sallyport.broker%3Dbb%22%2C%22sallyport.session%3D"
                   "0123456789ab%22%5D%7D")},
        Golden{"create", render_create(plan(), "{}"),
               "POST /v1.41/containers/create?name=sp-0123456789ab-db HTTP/1.1\r\nHost: docker\r\nContent-Type: "
               "application/json\r\nContent-Length: 2\r\n\r\n{}"},
        Golden{"image inspect", render_image_inspect(*ImageRef::parse("docker.io/library/busybox:latest")),
               get("/images/docker.io/library/busybox:latest/json")}));

}  // namespace
}  // namespace sallyport::engine
