#include "broker/gate/create_body.hpp"
#include "broker/gate/wish_values.hpp"

namespace sallyport::gate {
namespace {

Outcome<protocol::CreateContainer> create(const std::string& body, std::string_view query = {}) {
  return read_create(*Query::parse(api::Verb::Create, query), body);
}
// A member of the body, or with "HostConfig." in front, of its HostConfig.
std::string with(const std::string& member) { return R"({"Image":"busybox",)" + member + "}"; }
std::string with_host(const std::string& member) { return R"({"Image":"busybox","HostConfig":{)" + member + "}}"; }

std::string many(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += i == 0 ? R"("CHOWN")" : R"(,"CHOWN")";
  return text;
}

struct FieldCase {
  std::string body;
  int status;        // 0: accepted
  const char* rule;  // of the refusal
  const char* sentence;
};
const FieldCase kFields[] = {
    {with_host(R"("Privileged":true)"), 403, "HostConfig.Privileged", "Privileged"},
    {with_host(R"("Privileged":false)"), 0, "", "NotPrivileged"},
    {with_host(R"("Binds":["/:/host"])"), 403, "HostConfig.Binds", "ABind"},
    {with_host(R"("Binds":[])"), 0, "", "NoBinds"},
    {with_host(R"("Binds":null)"), 0, "", "NullBinds"},
    {with_host(R"("Mounts":[{"Type":"bind","Source":"/","Target":"/host"}])"), 403, "HostConfig.Mounts", "AMount"},
    {with_host(R"("Mounts":[{}])"), 403, "HostConfig.Mounts", "AMountOfNothing"},
    {with_host(R"("Tmpfs":{"/tmp":"size=1m"})"), 0, "", "ATmpfsOnTmp"},
    {with_host(R"("Tmpfs":{"/tmp":"size=1m,exec"})"), 403, "HostConfig.Tmpfs", "ATmpfsWithExec"},
    {with_host(R"("Tmpfs":{"/t":""})"), 403, "HostConfig.Tmpfs", "ATmpfsElsewhere"},
    {with_host(R"("Tmpfs":{"/proc":""})"), 403, "HostConfig.Tmpfs", "ATmpfsOverProc"},
    {with(R"("Volumes":{"/v":{}})"), 403, "Volumes", "AVolume"},
    {with(R"("Volumes":{})"), 0, "", "NoVolumes"},
    {with(R"("ExposedPorts":{"80/tcp":{}})"), 403, "ExposedPorts", "AnExposedPort"},
    {with_host(R"("PortBindings":{"80/tcp":[{"HostPort":"22"}]})"), 403, "HostConfig.PortBindings", "APort"},
    {with_host(R"("PublishAllPorts":true)"), 403, "HostConfig.PublishAllPorts", "AllPorts"},
    {with_host(R"("CapAdd":["ALL"])"), 403, "HostConfig.CapAdd", "ACapability"},
    {with_host(R"("CapAdd":"ALL")"), 403, "HostConfig.CapAdd", "ACapabilityAsText"},
    {with_host(R"("CapDrop":["ALL"])"), 0, "", "CapDropAll"},
    {with_host(R"("CapDrop":["A B"])"), 400, "HostConfig.CapDrop", "CapDropOfNonsense"},
    {with_host(R"("SecurityOpt":["no-new-privileges"])"), 0, "", "NoNewPrivileges"},
    {with_host(R"("SecurityOpt":["no-new-privileges:true"])"), 0, "", "NoNewPrivilegesWithColon"},
    {with_host(R"("SecurityOpt":["no-new-privileges=false"])"), 403, "HostConfig.SecurityOpt", "NewPrivileges"},
    {with_host(R"("SecurityOpt":["no-new-privileges","seccomp=unconfined"])"), 403, "HostConfig.SecurityOpt",
     "AnUnconfinedSeccomp"},
    {with_host(R"("NetworkMode":"none")"), 0, "", "NetworkNone"},
    {with_host(R"("NetworkMode":"default")"), 0, "", "NetworkDefault"},
    {with_host(R"("NetworkMode":"none ")"), 403, "HostConfig.NetworkMode", "NetworkNoneWithABlank"},
    {with_host(R"("NetworkMode":"host")"), 403, "HostConfig.NetworkMode", "NetworkHost"},
    {with_host(R"("NetworkMode":"HOST")"), 403, "HostConfig.NetworkMode", "NetworkHostInCapitals"},
    {with_host(R"("NetworkMode":"container:abc")"), 403, "HostConfig.NetworkMode", "TheNetworkOfAnother"},
    {with_host(R"("PidMode":"host")"), 403, "HostConfig.PidMode", "PidHost"},
    {with_host(R"("IpcMode":"private")"), 0, "", "IpcPrivate"},
    {with_host(R"("IpcMode":"shareable")"), 403, "HostConfig.IpcMode", "IpcShareable"},
    {with_host(R"("CgroupnsMode":"host")"), 403, "HostConfig.CgroupnsMode", "CgroupnsHost"},
    {with_host(R"("CgroupParent":"/x")"), 403, "HostConfig.CgroupParent", "ACgroupParent"},
    {with_host(R"("Runtime":"crun")"), 0, "", "ARuntimeThatTheKeeperJudges"},
    {with_host(R"("Runtime":"a b")"), 400, "HostConfig.Runtime", "ARuntimeWithABlank"},
    {with_host(R"("Runtime":1)"), 400, "HostConfig.Runtime", "ARuntimeOfANumber"},
    {R"({"Image":"busybox","Runtime":"runc","HostConfig":{"Runtime":"crun"}})", 400, "HostConfig.Runtime",
     "TwoRuntimes"},
    {with_host(R"("Devices":[{"PathOnHost":"/dev/mem"}])"), 403, "HostConfig.Devices", "ADevice"},
    {with_host(R"("DeviceRequests":[{"Count":-1}])"), 403, "HostConfig.DeviceRequests", "ADeviceRequest"},
    {with_host(R"("Sysctls":{"a":"1"})"), 403, "HostConfig.Sysctls", "ASysctl"},
    {with_host(R"("GroupAdd":["0"])"), 403, "HostConfig.GroupAdd", "AGroup"},
    {with_host(R"("RestartPolicy":{"Name":"no","MaximumRetryCount":0})"), 0, "", "NoRestart"},
    {with_host(R"("RestartPolicy":{"Name":"always"})"), 403, "HostConfig.RestartPolicy.Name", "RestartAlways"},
    {with_host(R"("LogConfig":{"Type":"","Config":{}})"), 0, "", "TheUsualLog"},
    {with_host(R"("LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}})"), 0, "", "ABoundedLog"},
    {with_host(R"("LogConfig":{"Type":"json-file","Config":{"max-size":"x"}})"), 400, "HostConfig.LogConfig.Config",
     "ALogSizeThatIsNone"},
    {with_host(R"("Tmpfs":{"/tmp":"size=x"})"), 403, "HostConfig.Tmpfs", "ATmpfsOfASizeThatIsNone"},
    {with_host(R"("Tmpfs":{"/tmp":"mode=9"})"), 403, "HostConfig.Tmpfs", "ATmpfsOfAModeThatIsNone"},
    {with_host(R"("LogConfig":{"Type":"json-file","Config":{"tag":"x"}})"), 403, "HostConfig.LogConfig.Config",
     "ALogTag"},
    {with_host(R"("LogConfig":{"Type":"syslog"})"), 403, "HostConfig.LogConfig.Type", "Syslog"},
    {with_host(R"("OomScoreAdj":-1000)"), 403, "HostConfig.OomScoreAdj", "AnOomScoreBelowZero"},
    {with_host(R"("OomScoreAdj":500)"), 0, "", "AnOomScoreAboveZero"},
    {with_host(R"("OomKillDisable":true)"), 403, "HostConfig.OomKillDisable", "OomKillDisable"},
    {with_host(R"("Memory":-1)"), 403, "HostConfig.Memory", "NegativeMemory"},
    {with_host(R"("Memory":"1g")"), 400, "HostConfig.Memory", "MemoryAsText"},
    {with_host(R"("MemorySwappiness":-1)"), 0, "", "TheSwappinessOfTheCli"},
    {with_host(R"("Ulimits":[{"Name":"nofile","Soft":64,"Hard":64}])"), 0, "", "AnOrdinaryUlimit"},
    {with_host(R"("Ulimits":[{"Name":"memlock","Soft":-1,"Hard":-1}])"), 403, "HostConfig.Ulimits",
     "AnUnlimitedUlimit"},
    {with_host(R"("MaskedPaths":[])"), 0, "", "EmptyMaskedPathsAreAcceptedAndNeverCarried"},
    {with_host(R"("MaskedPaths":["/x"])"), 403, "HostConfig.MaskedPaths", "MaskedPaths"},
    {with_host(R"("BlkioDeviceReadBps":[{"Path":"/dev/null","Rate":1}])"), 403, "HostConfig.BlkioDeviceReadBps",
     "ABlockDevice"},
    {with_host(R"("NanoCpus":1,"CpuQuota":1000)"), 400, "HostConfig.NanoCpus", "TwoKindsOfCpuLimit"},
    {with_host(R"("CpuPeriod":999)"), 400, "HostConfig.CpuPeriod", "APeriodBelowTheLeast"},
    {with_host(R"("CpuPeriod":1000)"), 0, "", "TheLeastPeriod"},
    {with_host(R"("CpuPeriod":1000000)"), 0, "", "TheLongestPeriod"},
    {with_host(R"("CpuPeriod":1000001)"), 400, "HostConfig.CpuPeriod", "APeriodAboveTheLongest"},
    {with_host(R"("CpuQuota":1000000000)"), 0, "", "TheMostQuota"},
    {with_host(R"("CpuQuota":1000000001)"), 400, "HostConfig.CpuQuota", "AQuotaAboveTheMost"},
    {with_host(R"("CpuQuota":-2)"), 403, "HostConfig.CpuQuota", "ANegativeQuotaThatIsNotNone"},
    {with_host(R"("MemorySwap":-1)"), 0, "", "UnlimitedSwapIsAWish"},
    {with_host(R"("MemorySwap":-2)"), 403, "HostConfig.MemorySwap", "NegativeSwap"},
    {with_host(R"("MemorySwappiness":-2)"), 403, "HostConfig.MemorySwappiness", "NegativeSwappiness"},
    {with_host(R"("MemoryReservation":-1)"), 403, "HostConfig.MemoryReservation", "ANegativeReservation"},
    {with_host(R"("CpuShares":-1)"), 403, "HostConfig.CpuShares", "NegativeShares"},
    {with_host(R"("BlkioWeight":-1)"), 403, "HostConfig.BlkioWeight", "ANegativeWeight"},
    {with_host(R"("NanoCpus":-1)"), 403, "HostConfig.NanoCpus", "NegativeCpus"},
    {with_host(R"("ShmSize":-1)"), 403, "HostConfig.ShmSize", "NegativeSharedMemory"},
    {with(R"("StopTimeout":-2)"), 403, "StopTimeout", "AStopTimeoutBelowForEver"},
    {with_host(R"("ConsoleSize":[24,80])"), 0, "", "AConsole"},
    {with_host(R"("ConsoleSize":[24,80,1])"), 400, "HostConfig.ConsoleSize", "AConsoleOfThreeSides"},
    {with_host(R"("ConsoleSize":[-1,80])"), 400, "HostConfig.ConsoleSize", "AConsoleOfLessThanNothing"},
    {with_host(R"("ConsoleSize":["24",80])"), 400, "HostConfig.ConsoleSize", "AConsoleOfTexts"},
    {with_host(R"("CapDrop":[)" + many(128) + "]"), 0, "", "AsManyDroppedCapabilitiesAsAreServed"},
    {with_host(R"("CapDrop":[)" + many(129) + "]"), 400, "HostConfig.CapDrop", "OneDroppedCapabilityMore"},
    {with_host(R"("Ulimits":[{"Name":"nofile","Soft":-1,"Hard":1}])"), 403, "HostConfig.Ulimits", "ANegativeUlimit"},
    {with(R"("Labels":{"":"x"})"), 400, "Labels", "ALabelWithoutAKey"},
    {R"({"Image":"busybox","Entrypoint":")" + std::string(limits::kMaxArgumentBytes + 1, 'x') + "\"}", 400,
     "Entrypoint", "AnEntrypointOfOneTextThatIsTooLong"},
    {with_host(R"("FutureField":{"x":1})"), 400, "unknown-field", "AnUnknownField"},
    {with_host(R"("FutureField":null,"Other":[],"More":{},"Zero":0,"No":false,"Text":"")"), 0, "",
     "UnknownFieldsOfZero"},
    {with_host(R"("privileged":false)"), 400, "HostConfig.Privileged", "AKnownKeyInAnotherCaseEvenIfZero"},
    {R"({"Image":"busybox","hostconfig":{}})", 400, "HostConfig", "HostConfigInAnotherCase"},
    {with(R"("Privileged":true)"), 403, "<every HostConfig field at TOP LEVEL>", "PrivilegedAtTheTop"},
    {with(R"("Binds":["/:/h"])"), 403, "<every HostConfig field at TOP LEVEL>", "BindsAtTheTop"},
    {with(R"("Runtime":null)"), 0, "", "NullAtTheTopAsDockerPySendsIt"},
    {with(R"("HostConfig":null)"), 0, "", "ANullHostConfig"},
    {with(R"("HostConfig":[])"), 400, "HostConfig", "AnArrayForHostConfig"},
    {with(R"("HostConfig":"")"), 400, "HostConfig", "ATextForHostConfig"},
    {with(
         R"("NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"MacAddress":"","GwPriority":0}}})"),
     0, "", "TheNeutralEndpointOfTheCli"},
    {with(R"("NetworkingConfig":{"EndpointsConfig":{"host":null}})"), 403, "NetworkingConfig.EndpointsConfig.<net>",
     "AnotherNetwork"},
    {with(R"("NetworkingConfig":{"EndpointsConfig":{"none":{"Aliases":["db"]}}})"), 403,
     "NetworkingConfig.EndpointsConfig.<net>.Aliases", "AnAlias"},
    {with(R"("NetworkingConfig":{"EndpointsConfig":{"none":{"IPAMConfig":{"IPv4Address":"1.2.3.4"}}}})"), 403,
     "NetworkingConfig.EndpointsConfig.<net>.IPAMConfig.IPv4Address", "AnAddress"},
    {with(R"("User":"0:0")"), 0, "", "AUserIsAcceptedAndImposedOtherwise"},
    {with(R"("User":"a b")"), 400, "User", "AUserThatIsNone"},
    {with(R"("Hostname":"a\n1.2.3.4 b")"), 403, "Hostname", "AHostnameWithALineFeed"},
    {with(R"("Domainname":"x")"), 403, "Domainname", "ADomainname"},
    {with(R"("WorkingDir":"/proc/self/fd/7")"), 403, "WorkingDir", "ADirectoryInProc"},
    {with(R"("WorkingDir":"/tmp/../proc")"), 403, "WorkingDir", "ADirectoryThatIsNotClean"},
    {with(R"("WorkingDir":"/work/")"), 0, "", "ADirectoryWithATrailingSlash"},
    {with(R"("Env":["A=b","NVIDIA_VISIBLE_DEVICES=all"])"), 403, "Env", "AVariableThatSteersTheRuntime"},
    {with(R"("Env":["A","A=b"])"), 0, "", "AVariableWithoutValue"},
    {with(R"("Env":["A B"])"), 400, "Env", "AVariableWithABlank"},
    {with(R"("Env":[""])"), 400, "Env", "AVariableWithoutName"},
    {with(R"("Env":["NVIDIA_VISIBLE_DEVICES"])"), 403, "Env", "AVariableOfTheRuntimeWithoutValue"},
    {with(R"("Env":"A=b")"), 0, "", "EnvAsText"},
    {with(R"("Env":{"A":"b"})"), 400, "Env", "EnvAsObject"},
    {with(R"("Cmd":[1])"), 400, "Cmd", "CmdOfNumbers"},
    {with(R"("Cmd":"true")"), 0, "", "CmdAsText"},
    {with(R"("Healthcheck":{"Test":["NONE"]})"), 0, "", "NoHealthcheck"},
    {with(R"("Healthcheck":{"Test":["CMD","true"]})"), 403, "Healthcheck.Test", "AHealthcheck"},
    {with(R"("Healthcheck":{"Interval":1000000})"), 403, "Healthcheck.Interval", "AHealthcheckInterval"},
    {with(R"("StopSignal":"SIGRTMIN+3")"), 0, "", "ARealTimeStopSignal"},
    {with(R"("StopSignal":"SIGRTMIN+16")"), 400, "StopSignal", "ARealTimeStopSignalBeyondTheLast"},
    {with(R"("StopSignal":"32")"), 400, "StopSignal", "AStopSignalOfTheCLibrary"},
    {with(R"("Hostname":"h_1.example.com")"), 0, "", "AHostnameWithAnUnderscoreAndDots"},
    {with(R"("Hostname":"h 1")"), 403, "Hostname", "AHostnameWithABlank"},
    {with("\"Labels\":{\"gr\xc3\xb6\xc3\x9f\x65\":\"\xe5\xa4\xa7\",\"A\":\"1\",\"a\":\"2\"}"), 0, "",
     "LabelsInAnyLanguageAndCase"},
    {with(R"("Labels":{"a":"1","a":"2"})"), 400, "json", "ALabelTwice"},
    {with(R"("Labels":{"a":"1","\u0061":"2"})"), 400, "json", "ALabelTwiceByEscape"},
    {with("\"Labels\":{\"a\xff\":\"\"}"), 400, "json", "ALabelThatIsNotUtf8"},
    {with(R"("Labels":{"a\u0000":""})"), 400, "json", "ALabelWithANul"},
    {with(R"("Labels":{"\ud800":""})"), 400, "json", "ALabelOfALoneSurrogate"},
    {with(R"("Labels":{"a":{"\u00e9":"x"}})"), 400, "json", "AKeyBeneathALabel"},
    {with(R"("\u00e9":null)"), 400, "json", "AKeyOfTheBodyThatIsNotAscii"},
    {with_host(R"("Labels":{"\u00e9":"x"})"), 400, "json", "LabelsElsewhere"},
    {with_host(R"("Sysctls":{"\u00e9":"x"})"), 400, "json", "AnotherMapOfTheClients"},
    {with("\"Labels\":{\"\xc5\xbf\x61llyport.session\":\"x\"}"), 0, "",
     "ALabelThatFoldsToOursOnlyInUnicodeIsJustALabel"},
    {with(R"("Labels":{"sallyport.session":"x"})"), 403, "Labels", "ALabelOfOurs"},
    {with(R"("Labels":{"SallyPort.session":"x"})"), 403, "Labels", "ALabelOfOursInAnotherCase"},
    {with(R"("Labels":{"a":1})"), 400, "Labels", "ALabelOfANumber"},
    {with(R"("Labels":{"broker.session":"x"})"), 0, "", "ALabelOfSomeOtherBroker"},
    {with(R"("OnBuild":["RUN x"])"), 403, "OnBuild", "OnBuild"},
    {with(R"("Cpuset":"0")"), 403, "Cpuset", "TheOldCpuset"},
    {R"({"Cmd":["true"]})", 400, "Image", "NoImage"},
    {R"({"Image":""})", 400, "Image", "AnEmptyImage"},
    {R"({"Image":"sha256:aa"})", 400, "Image", "AnImageId"},
    {"[]", 400, "json", "AnArray"},
    {"null", 400, "json", "Null"},
    {"", 400, "json", "NoBody"},
};

class CreateField : public testing::TestWithParam<FieldCase> {};
TEST_P(CreateField, IsAcceptedOrRefusedByItsRow) {
  const auto made = create(GetParam().body);
  ASSERT_EQ(made ? 0 : made.error().status, GetParam().status) << (made ? "" : made.error().message);
  if (made) return;
  EXPECT_EQ(made.error().rule, GetParam().rule);
  EXPECT_FALSE(made.error().message.empty());
}
INSTANTIATE_TEST_SUITE_P(Bodies, CreateField, testing::ValuesIn(kFields),
                         [](const auto& info) { return info.param.sentence; });

TEST(Create, CarriesWhatAClientMayChoose) {
  const auto made = create(
      R"({"Image":"busybox:1","Cmd":["echo","h\u00e9"],"Entrypoint":null,"Env":["X=1"],"Labels":{"a":"b"},"WorkingDir":"/tmp",)"
      R"("Hostname":"h1","Tty":true,"OpenStdin":true,"StdinOnce":true,"AttachStdout":true,"StopSignal":"SIGINT","StopTimeout":5,)"
      R"("User":"1000:1000","HostConfig":{"AutoRemove":true,"Init":true,"ReadonlyRootfs":true,"Memory":67108864,"NanoCpus":500000000,)"
      R"("PidsLimit":64,"ShmSize":1048576}})",
      "name=%2Fjob");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->name->text(), "job");
  EXPECT_EQ(made->image.text(), "docker.io/library/busybox:1");
  EXPECT_EQ(made->command->items[1].value, "h\xc3\xa9");
  EXPECT_FALSE(made->entrypoint);
  EXPECT_EQ(made->environment.items[0].value, "X=1");
  EXPECT_EQ(made->labels.items[0].value.value, "b");
  EXPECT_EQ(made->working_directory.value, "/tmp");
  EXPECT_TRUE(made->tty && made->open_stdin && made->stdin_once && made->attach_stdout && made->auto_remove &&
              made->init && made->read_only);
  EXPECT_FALSE(made->attach_stdin);
  EXPECT_EQ(made->stop_signal, 2);
  EXPECT_EQ(made->stop_timeout, 5U);
  EXPECT_EQ(made->memory, 67108864);
  EXPECT_EQ(made->nano_cpus, 500000000);
  EXPECT_EQ(made->pids, 64);
  EXPECT_EQ(made->shm_bytes, 1048576);
}

TEST(Create, CarriesTheRuntimeAndThePlatformForTheKeeperToJudge) {
  EXPECT_EQ(create(with_host(R"("Runtime":"crun")"))->runtime.value, "crun");
  EXPECT_EQ(create(with(R"("Runtime":"runc")"))->runtime.value, "runc") << "where docker-py writes it";
  EXPECT_EQ(create(R"({"Image":"busybox","Runtime":"runc","HostConfig":{"Runtime":"runc"}})")->runtime.value, "runc");
  EXPECT_EQ(create(with(R"("Cmd":null)"), "platform=linux%2Famd64")->platform.value, "linux/amd64");
  EXPECT_EQ(create(with(R"("Cmd":null)"), "platform=linux%20amd64").error().status, 400);
  EXPECT_TRUE(create(with(R"("Cmd":null)"), "platform=" + std::string(limits::kMaxChoiceBytes, 'x')));
  EXPECT_FALSE(create(with(R"("Cmd":null)"), "platform=" + std::string(limits::kMaxChoiceBytes + 1, 'x')));
}

TEST(Create, CarriesTheImageAsItWasWritten) {
  for (const char* name : {"busybox", "busybox:1", "docker.io/library/busybox", "localhost:5000/x/y"})
    EXPECT_EQ(create(R"({"Image":")" + std::string(name) + "\"}")->image_as_written->text(), name);
}

TEST(Create, CarriesAsWishesWhatTheProfileImposes) {
  const auto wishes = [](const std::string& members) { return create(with_host(members))->wishes; };
  EXPECT_EQ(create(with(R"("User":"1000:root")"))->wishes.user.value, "1000:root");
  EXPECT_EQ(wishes(R"("MemorySwap":-1)").memory_swap, -1);
  EXPECT_EQ(wishes(R"("MemoryReservation":7)").memory_reservation, 7);
  EXPECT_EQ(wishes(R"("MemorySwappiness":60)").memory_swappiness, 60);
  EXPECT_EQ(wishes(R"("CpuShares":512)").cpu_shares, 512);
  EXPECT_EQ(wishes(R"("BlkioWeight":10)").blkio_weight, 10);
  EXPECT_EQ(wishes(R"("OomScoreAdj":9)").oom_score, 9);
  EXPECT_TRUE(wishes(R"("PidsLimit":-1)").unlimited_pids);
  EXPECT_EQ(wishes(R"("CpuQuota":-1)").cpu_quota, -1);
  EXPECT_EQ(wishes(R"("CpuQuota":50000)").cpu_quota, 50000);
  EXPECT_EQ(wishes(R"("CpuPeriod":50000)").cpu_period, 50000);
  EXPECT_EQ(create(with(R"("StopTimeout":-1)"))->wishes.stop_timeout, -1);
  EXPECT_EQ(create(with(R"("StopTimeout":31)"))->wishes.stop_timeout, 31);
  EXPECT_EQ(create(with(R"("StopTimeout":30)"))->wishes.stop_timeout, 0);
  const auto log = wishes(R"("LogConfig":{"Config":{"max-size":"10m","max-file":"3"}})");
  EXPECT_EQ(log.log_bytes, 10 << 20);
  EXPECT_EQ(log.log_files, 3);
  EXPECT_EQ(wishes(R"("LogConfig":{"Config":{"max-size":"-1"}})").log_bytes, -1);
  EXPECT_EQ(bytes_in("1.5m"), 3 << 19);
  EXPECT_EQ(bytes_in("10MiB"), 10 << 20);
  EXPECT_EQ(bytes_in("10 mb"), 10 << 20);
  EXPECT_EQ(bytes_in("1T"), 1LL << 40);
  EXPECT_EQ(bytes_in("512b"), 512);
  EXPECT_EQ(bytes_in("8191p"), 8191LL << 50);
  for (const char* none :
       {"", " 1", "m", "-2", "+1", "1e3", "inf", "nan", "1mm", "1im", "10  m", "8192p", "0x10", "1i"})
    EXPECT_FALSE(bytes_in(none)) << none;
  const auto tmp = wishes(R"("Tmpfs":{"/tmp":"rw,noexec,size=64k,mode=0755,noatime"})");
  EXPECT_EQ(tmp.tmp_bytes, 64 << 10);
  EXPECT_EQ(tmp.tmp_mode, 0755U);
  EXPECT_TRUE(tmp.tmp_noatime);
  EXPECT_EQ(wishes(R"("Tmpfs":{"/tmp":"size=0,mode=0"})").tmp_bytes, -1) << "no limit";
  EXPECT_EQ(wishes(R"("Tmpfs":{"/tmp":"size=0,mode=0"})").tmp_mode, 0U);
  EXPECT_FALSE(wishes(R"("Tmpfs":{"/tmp":""})").tmp_mode);
  const auto limits =
      wishes(R"("Ulimits":[{"Name":"nofile","Soft":1,"Hard":2},{"Name":"core","Soft":0,"Hard":0},{"Name":"nproc"}])");
  EXPECT_TRUE(limits.ulimit_nofile && limits.ulimit_nproc);
  EXPECT_FALSE(limits.ulimit_core) << "that is in force";
  EXPECT_TRUE(wishes(R"("Ulimits":[{"Soft":1,"Hard":1,"Name":"core"}])").ulimit_core);
}

TEST(Create, RefusesWhatCouldOnlyBeDroppedInSilence) {
  for (const char* members :
       {R"("Ulimits":[{"Soft":1,"Hard":1}])", R"("Ulimits":[{}])", R"("Tmpfs":{"/tmp":"mode="})",
        R"("LogConfig":{"Config":{"max-size":"0"}})", R"("LogConfig":{"Config":{"max-file":"0"}})"})
    EXPECT_FALSE(create(with_host(members))) << members;
}

TEST(Create, OfTheWholeStructureOfZerosOfAClientWishesNothing) {
  const auto made = create(
      R"({"Image":"busybox","User":"","StopTimeout":null,"HostConfig":{"MemorySwap":0,"MemorySwappiness":-1,"CpuShares":0,)"
      R"("BlkioWeight":0,"OomScoreAdj":0,"PidsLimit":0,"CpuQuota":0,"Ulimits":[],"Tmpfs":{},"LogConfig":{"Type":"","Config":{}},)"
      R"("ConsoleSize":[24,80],"CapDrop":["ALL"],"SecurityOpt":["no-new-privileges"]}})");
  ASSERT_TRUE(made);
  protocol::Wishes none;
  none.memory_swappiness = -1;
  EXPECT_EQ(encode_message(made->wishes), encode_message(none));
}

TEST(Create, CarriesAVariableWithoutValueAndLabelsAsTheyAre) {
  const auto made =
      create(with("\"Env\":[\"A\",\"B=\"],\"Labels\":{\"\xc3\xa9\":\"\xc3\xbc\"},\"StopSignal\":\"RTMAX-1\""));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->environment.items[0].value, "A");
  EXPECT_EQ(made->environment.items[1].value, "B=");
  EXPECT_EQ(made->labels.items[0].key.value, "\xc3\xa9");
  EXPECT_EQ(made->labels.items[0].value.value, "\xc3\xbc");
  EXPECT_EQ(made->stop_signal, 63);
}

TEST(Create, BoundsWhatWouldLastForEver) {
  EXPECT_EQ(create(with(R"("StopTimeout":2147483647)"))->stop_timeout, limits::kMaxStopSeconds);
  EXPECT_EQ(create(with(R"("StopTimeout":-1)"))->stop_timeout, limits::kMaxStopSeconds);
  EXPECT_EQ(create(with_host(R"("PidsLimit":-1)"))->pids, 0);  // the profile's then
}

TEST(Create, TurnsQuotaAndPeriodIntoNanoCpus) {
  EXPECT_EQ(create(with_host(R"("CpuQuota":50000)"))->nano_cpus, 500'000'000);
  EXPECT_EQ(create(with_host(R"("CpuQuota":50000,"CpuPeriod":25000)"))->nano_cpus, 2'000'000'000);
  EXPECT_EQ(create(with_host(R"("CpuQuota":-1)"))->nano_cpus, 0);
}

TEST(Create, ShowsAtMostEightyCharactersOfAValue) {
  const auto made = create(with_host(R"("Binds":["/)" + std::string(500, 'x') + R"("])"));
  ASSERT_FALSE(made);
  EXPECT_LT(made.error().message.size(), 250U);
  EXPECT_NE(made.error().message.find("..."), std::string::npos);
}

TEST(Create, HoldsListsToTheirCeilings) {
  const auto labels = [](std::size_t count) {
    std::string text = R"("Labels":{)";
    for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":\"v\"";
    return with(text + "}");
  };
  EXPECT_TRUE(create(labels(limits::kMaxLabels)));
  EXPECT_FALSE(create(labels(limits::kMaxLabels + 1)));
  const auto list = [](const std::string& key, const std::string& item, std::size_t count) {
    std::string text = "\"" + key + "\":[";
    for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + item;
    return with(text + "]");
  };
  EXPECT_TRUE(create(list("Cmd", R"("x")", limits::kMaxArguments)));
  EXPECT_FALSE(create(list("Cmd", R"("x")", limits::kMaxArguments + 1)));
  EXPECT_TRUE(create(list("Env", R"("A=b")", limits::kMaxEnvironmentEntries)));
  EXPECT_FALSE(create(list("Env", R"("A=b")", limits::kMaxEnvironmentEntries + 1)));
  EXPECT_TRUE(create(with(R"("Cmd":[")" + std::string(limits::kMaxArgumentBytes, 'x') + R"("])")));
  EXPECT_FALSE(create(with(R"("Cmd":[")" + std::string(limits::kMaxArgumentBytes + 1, 'x') + R"("])")));
}

TEST(Create, OfTheLargestBodyFitsIntoOneMessage) {
  // Twice escaped, so that decoded bytes are few: the largest message is one of many small entries.
  std::string body = R"({"Image":"busybox","Env":[)";
  for (std::size_t i = 0; i < limits::kMaxEnvironmentEntries; ++i)
    body += std::string(i == 0 ? "" : ",") + "\"A=" + std::string(220, 'x') + "\"";
  body += "]}";
  ASSERT_LE(body.size(), limits::kMaxCreateBodyBytes);
  const auto made = create(body);
  ASSERT_TRUE(made);
  EXPECT_LE(encode_message(protocol::RequestEnvelope{1, *made}).size(), limits::kMaxMessageBytes);
}

}  // namespace
}  // namespace sallyport::gate
