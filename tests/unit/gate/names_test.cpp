#include "broker/api/names.hpp"

namespace sallyport::api {
namespace {

struct ImageCase {
  std::string text;
  std::string normal;  // "" where refused
};
TEST(Image, IsBroughtToNormalFormOrRefused) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const ImageCase cases[] = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36"},
      {"docker.io/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/library/busybox", "docker.io/library/busybox:latest"},
      {"docker.io/library/busybox:latest", "docker.io/library/busybox:latest"},
      {"user/tool", "docker.io/user/tool:latest"},
      {"localhost/tool", "localhost/tool:latest"},
      {"registry.example:5000/a/b_c/d__e-f:T.1", "registry.example:5000/a/b_c/d__e-f:T.1"},
      {"busybox@" + digest, "docker.io/library/busybox@" + digest},
      {"busybox:1@" + digest, "docker.io/library/busybox:1@" + digest},
      {"", ""},
      {digest, ""},
      {std::string(64, 'a'), ""},
      {"Busybox", ""},
      {"a//b", ""},
      {"a/../b", ""},
      {"/a", ""},
      {"a/", ""},
      {"a:", ""},
      {"a:b:c", ""},
      {"a@", ""},
      {"a@sha256:12", ""},
      {"a@sha512:" + std::string(64, 'a'), ""},
      {"a b", ""},
      {"a\nb", ""},
      {"a__b", "docker.io/library/a__b:latest"},
      {"a___b", ""},
      {"a..b", ""},
      {"-a", ""},
      {"a-", ""},
      {"a:-x", ""},
      {"regi_stry.example/x", ""},
      {"x.example:port/y", ""},
      {std::string(600, 'a'), ""},
      {"caf\xc3\xa9", ""},
  };
  for (const ImageCase& one : cases) {
    const auto normal = normal_image(one.text);
    EXPECT_EQ(normal ? normal->text() : "", one.normal) << one.text;
  }
}

TEST(Image, IsShownAsDockerShowsIt) {
  EXPECT_EQ(familiar_image("docker.io/library/busybox:latest"), "busybox:latest");
  EXPECT_EQ(familiar_image("docker.io/user/tool:1"), "user/tool:1");
  EXPECT_EQ(familiar_image("registry.example/x:1"), "registry.example/x:1");
}

TEST(Platforms, AreComparedAsClientsWriteThem) {
  for (const char* same : {"linux/amd64", "linux", "amd64", "x86_64", "linux/x86_64", "linux/amd64/v1"})
    EXPECT_TRUE(is_platform(same, "linux/amd64")) << same;
  for (const char* other : {"", "linux/arm64", "windows/amd64", "arm64", "linux/", "/amd64", "Linux/amd64", "linux/amd",
                            "linux//amd64", "linux amd64"})
    EXPECT_FALSE(is_platform(other, "linux/amd64")) << other;
  for (const char* same : {"linux/arm64", "linux/aarch64", "linux/arm64/v8", "arm64"})
    EXPECT_TRUE(is_platform(same, "linux/arm64/v8")) << same;
  EXPECT_FALSE(is_platform("linux/arm64/v7", "linux/arm64/v8"));
  EXPECT_FALSE(is_platform("amd64", "/")) << "an image that says nothing";
}

TEST(Signal, IsOneThatDockerdKnowsOrRefused) {
  for (const char* kill : {"", "KILL", "SIGKILL", "kill", "sigKill", "9"}) EXPECT_EQ(signal_of(kill), 9) << kill;
  EXPECT_EQ(signal_of("SIGSYS"), 31);
  EXPECT_EQ(signal_of("31"), 31);
  for (const char* least : {"34", "RTMIN", "SIGRTMIN", "rtmin"}) EXPECT_EQ(signal_of(least), 34) << least;
  for (const char* most : {"64", "RTMAX", "SIGRTMAX"}) EXPECT_EQ(signal_of(most), 64) << most;
  EXPECT_EQ(signal_of("SIGRTMIN+3"), 37);
  EXPECT_EQ(signal_of("RTMIN+15"), 49);
  EXPECT_EQ(signal_of("RTMAX-14"), 50);
  EXPECT_EQ(signal_of("CLD"), 17);
  EXPECT_EQ(signal_of("SIGIOT"), 6);
  EXPECT_EQ(signal_of("POLL"), 29);
  for (const char* other :
       {"0",      "32",     "33",         "65",       "99",      "-1",       "09",      "018",
        "0x9",    "034",    "RTMIN+16",   "RTMAX-15", "RTMIN+0", "RTMIN+03", "RTMIN-1", "RTMAX+1",
        "RTMIN+", "RTMAX-", "RTMIN+3 ",   "RTMIN 3",  "RTMIN3",  "RTMIN+1a", "RT",      "SIGSIGRTMIN",
        "EMT",    "SIG",    "SIGSIGKILL", "foo",      " 9",      "9 "})
    EXPECT_FALSE(signal_of(other)) << other;
  EXPECT_EQ(signal_name(15), "SIGTERM");
  EXPECT_EQ(signal_name(32), "");
  for (int number = 0; number <= 255; ++number)
    EXPECT_EQ(is_signal(static_cast<std::uint8_t>(number)), signal_of(std::to_string(number)).has_value()) << number;
}

TEST(Hostname, IsOneThatAFileOfHostsCanHold) {
  for (const std::string& good : {std::string("h"), std::string("h_1"), std::string("-h-"),
                                  std::string("db.example.com"), std::string("_"), std::string(63, 'h')})
    EXPECT_TRUE(is_hostname(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("a\n"), std::string("a\t"), std::string("a#"),
        std::string("a/b"), std::string("a:b"), std::string(".a"), std::string("a..b"), std::string(".."),
        std::string("caf\xc3\xa9"), std::string("a\0", 2), std::string(64, 'h')})
    EXPECT_FALSE(is_hostname(bad)) << bad;
}

TEST(ContainerNameAtCreate, IsNothingThatCouldBeTakenForAnId) {
  EXPECT_EQ(new_container_name("/job")->text(), "job");
  EXPECT_TRUE(new_container_name("deadbeef"));
  EXPECT_TRUE(new_container_name(std::string(128, 'z')));
  for (const std::string& bad :
       {std::string("a"), std::string(12, 'a'), std::string(64, '0'), std::string("//a"), std::string("-a"),
        std::string("a b"), std::string("a/b"), std::string("../x"), std::string(129, 'z')})
    EXPECT_FALSE(new_container_name(bad)) << bad;
}

TEST(WorkingDirectory, IsCleanAndOutsideTheKernelsTrees) {
  for (const char* good : {"/", "/tmp", "/a/b.c/d e", "/process", "/home/proc"})
    EXPECT_TRUE(is_allowed_directory(good)) << good;
  for (const char* bad : {"", "tmp", "/proc", "/proc/self/fd/7", "/sys/fs", "/dev/fd/8", "/a/../proc", "/a/./b",
                          "//proc", "/a//b", "/a/", "/a\nb"})
    EXPECT_FALSE(is_allowed_directory(bad)) << bad;
}

TEST(Environment, IsKeyAndValueOrAKeyAlone) {
  for (const char* good : {"A=", "A=b", "_a1=x=y", "PATH=/bin", "A", "_", "discovery.type=single-node", "A-B=x"})
    EXPECT_TRUE(is_environment_entry(good)) << good;
  for (const char* bad :
       {"", "=", "=x", "1A=x", "1A", ".a=x", "-a=x", "A B=x", "A B", "A\n", "A\n=x", "\xc3\xa9=x", "\xc3\xa9"})
    EXPECT_FALSE(is_environment_entry(bad)) << bad;
  for (const char* steering : {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES", "nvidia_driver_capabilities=all",
                               "HABANA_VISIBLE_DEVICES=all"})
    EXPECT_TRUE(steers_runtime(steering)) << steering;
  EXPECT_FALSE(steers_runtime("CUDA_VISIBLE_DEVICES=0"));
}

}  // namespace
}  // namespace sallyport::api
