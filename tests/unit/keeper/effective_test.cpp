#include "broker/keeper/effective.hpp"

#include "broker/keeper/plan_container.hpp"

namespace sallyport::keeper {
namespace {

using engine::ImageFacts;
using protocol::CreateContainer;

CreateContainer honest() {
  CreateContainer ask;
  ask.image = *ImageRef::parse("docker.io/library/busybox:latest");
  return ask;
}
ImageFacts plain_image() {
  ImageFacts facts;
  facts.id = *ImageId::parse("sha256:" + std::string(64, 'e'));
  facts.platform = "linux/amd64";
  facts.command = {"sh"};
  return facts;
}
std::vector<std::string> texts(const std::vector<std::string_view>& views) { return {views.begin(), views.end()}; }

struct ImageCase {
  const char* sentence;
  std::function<void(ImageFacts&, CreateContainer&)> change;
  const char* rule;  // "": granted
  unsigned status = 403;
};
class Image : public testing::TestWithParam<ImageCase> {};
TEST_P(Image, IsHeldToTheRulesOfARequest) {
  ImageFacts image = plain_image();
  CreateContainer ask = honest();
  GetParam().change(image, ask);
  const Verdict verdict = decide_effective(ask, image);
  if (std::string(GetParam().rule).empty()) {
    EXPECT_FALSE(verdict) << GetParam().sentence << ": " << verdict->message;
    return;
  }
  ASSERT_TRUE(verdict) << GetParam().sentence;
  EXPECT_EQ(verdict->rule, GetParam().rule) << GetParam().sentence;
  EXPECT_EQ(verdict->status, GetParam().status) << GetParam().sentence;
  EXPECT_LE(verdict->message.size(), limits::kMaxReasonBytes);
  EXPECT_THAT(verdict->message, testing::HasSubstr("image busybox:latest")) << GetParam().sentence;
}
const ImageCase kImages[] = {
    {"a working directory is granted", [](auto& image, auto&) { image.working_directory = "/work/x"; }, ""},
    {"a working directory with a slash at its end is granted",
     [](auto& image, auto&) { image.working_directory = "/work/"; }, ""},
    {"one in /proc is denied (CVE-2024-21626)", [](auto& image, auto&) { image.working_directory = "/proc/self/fd/7"; },
     "Image.WorkingDir"},
    {"and with a slash at its end", [](auto& image, auto&) { image.working_directory = "/proc/self/fd/7/"; },
     "Image.WorkingDir"},
    {"the root of another process is denied", [](auto& image, auto&) { image.working_directory = "/proc/1/root"; },
     "Image.WorkingDir"},
    {"one in /sys is denied", [](auto& image, auto&) { image.working_directory = "/sys/fs/cgroup"; },
     "Image.WorkingDir"},
    {"one in /dev is denied", [](auto& image, auto&) { image.working_directory = "/dev"; }, "Image.WorkingDir"},
    {"one with .. is denied", [](auto& image, auto&) { image.working_directory = "/a/../proc/self/fd/7"; },
     "Image.WorkingDir"},
    {"a doubled slash is denied", [](auto& image, auto&) { image.working_directory = "//proc/self"; },
     "Image.WorkingDir"},
    {"a relative one is denied", [](auto& image, auto&) { image.working_directory = "proc/self"; }, "Image.WorkingDir"},
    {"one that is too long is denied",
     [](auto& image, auto&) { image.working_directory = "/" + std::string(limits::kMaxPathBytes, 'x'); },
     "Image.WorkingDir"},
    {"what the client names instead is granted",
     [](auto& image, auto& ask) {
       image.working_directory = "/proc/self/fd/7";
       ask.working_directory = "/tmp";
     },
     ""},
    {"no command at all is refused", [](auto& image, auto&) { image.command.clear(); }, "Cmd", 400},
    {"nor does an entrypoint of nothing help",
     [](auto& image, auto& ask) {
       image.command.clear();
       image.entrypoint = {"/init"};
       ask.entrypoint.emplace();
       ask.entrypoint->items = {""};
     },
     "Cmd", 400},
    {"a command of its own that is as large as fits is granted",
     [](auto& image, auto&) { image.command.assign(2, std::string((limits::kMaxDescriptionBytes / 2 - 16) / 2, 'x')); },
     ""},
    {"one that is larger is refused",
     [](auto& image, auto&) {
       image.command.assign(2, std::string((limits::kMaxDescriptionBytes / 2 - 16) / 2 + 1, 'x'));
     },
     "Cmd", 413},
    {"its command counts together with the client's environment",
     [](auto& image, auto& ask) {
       image.command.assign(2, std::string((limits::kMaxDescriptionBytes / 2 - 16) / 2, 'x'));
       ask.environment.items = {"A=b"};
     },
     "Cmd", 413},
    {"its environment counts", [](auto& image, auto&) { image.environment.assign(2, "A=" + std::string(80'000, 'x')); },
     "Cmd", 413},
    {"its labels and ports count", [](auto& image, auto&) { image.other_bytes = limits::kMaxDescriptionBytes; }, "Cmd",
     413},
    {"as many labels as fit are granted",
     [](auto& image, auto&) { image.other_bytes = limits::kMaxDescriptionBytes - 2 * 10; }, ""},
    {"an image of which not all was read is refused", [](auto& image, auto&) { image.is_cut = true; }, "Cmd", 413},
    {"a stop signal is granted", [](auto& image, auto&) { image.stop_signal = "SIGRTMIN+3"; }, ""},
    {"a stop signal that is none is denied", [](auto& image, auto&) { image.stop_signal = "SIG\nX"; },
     "Image.StopSignal"},
    {"one that is too long is denied", [](auto& image, auto&) { image.stop_signal = std::string(33, 'X'); },
     "Image.StopSignal"},
    {"but not where the client names one",
     [](auto& image, auto& ask) {
       image.stop_signal = "SIG\nX";
       ask.stop_signal = 15;
     },
     ""},
    {"another platform than the client wants is denied",
     [](auto& image, auto& ask) {
       image.platform = "linux/arm64/v8";
       ask.platform = "linux/amd64";
     },
     "platform"},
    {"the platform that it is of is granted",
     [](auto& image, auto& ask) {
       image.platform = "linux/arm64/v8";
       ask.platform = "linux/arm64";
     },
     ""},
    {"more volumes than are covered are denied",
     [](auto& image, auto&) {
       for (int i = 0; i < 9; ++i) image.volumes.push_back("/v" + std::to_string(i));
     },
     "Image.Volumes"},
};
INSTANTIATE_TEST_SUITE_P(Cases, Image, testing::ValuesIn(kImages));

TEST(ImageTexts, WithANulAreRefused) {
  ImageFacts image = plain_image();
  image.command = {std::string("a\0b", 3)};
  EXPECT_EQ(decide_effective(honest(), image)->rule, "Cmd");
  image.command = {"a"};
  image.entrypoint = {std::string("a\0b", 3)};
  EXPECT_EQ(decide_effective(honest(), image)->rule, "Entrypoint");
  image.entrypoint.clear();
  image.environment = {std::string("A=\0", 3)};
  EXPECT_EQ(decide_effective(honest(), image)->rule, "Env");
  image.environment = {std::string("NVIDIA_\0=x", 10)};
  EXPECT_EQ(decide_effective(honest(), image)->rule, "Env");
  image.environment = {"A=\xc3\xa9"};
  EXPECT_FALSE(decide_effective(honest(), image));
}

struct MergeCase {
  std::optional<std::vector<std::string>> entrypoint, command;  // the client's
  std::vector<std::string> image_entrypoint, image_command;
  std::vector<std::string> entrypoint_then, command_then;
};
TEST(Merged, AreArgumentsAsDockerdMergesThem) {
  using Texts = std::vector<std::string>;
  const MergeCase cases[] = {
      {{}, {}, {"e"}, {"c"}, {"e"}, {"c"}},
      {{}, Texts{"x"}, {"e"}, {"c"}, {"e"}, {"x"}},
      {Texts{"y"}, {}, {"e"}, {"c"}, {"y"}, {}},
      {Texts{"y"}, Texts{"x"}, {"e"}, {"c"}, {"y"}, {"x"}},
      {Texts{}, {}, {"e"}, {"c"}, {}, {"c"}},
      {Texts{""}, {}, {"e"}, {"c"}, {}, {}},
      {Texts{""}, Texts{"x"}, {"e"}, {"c"}, {}, {"x"}},
      {{}, Texts{}, {"e"}, {"c"}, {"e"}, {"c"}},
  };
  for (const MergeCase& one : cases) {
    CreateContainer ask = honest();
    if (one.entrypoint) ask.entrypoint.emplace().items.assign(one.entrypoint->begin(), one.entrypoint->end());
    if (one.command) ask.command.emplace().items.assign(one.command->begin(), one.command->end());
    ImageFacts image = plain_image();
    image.entrypoint = one.image_entrypoint;
    image.command = one.image_command;
    const Effective effective = merge(ask, image);
    EXPECT_EQ(texts(effective.entrypoint), one.entrypoint_then) << &one - cases;
    EXPECT_EQ(texts(effective.command), one.command_then) << &one - cases;
  }
}

TEST(Merged, IsTheEnvironmentWithoutWhatSteersARuntime) {
  CreateContainer ask = honest();
  ask.environment.items = {"A=mine"};
  ImageFacts image = plain_image();
  image.environment = {"A=image", "B=image", "NVIDIA_VISIBLE_DEVICES=all", "nvidia_x=1", "NVIDIA_VISIBLE_DEVICES=0"};
  EXPECT_FALSE(decide_effective(ask, image));
  const Effective effective = merge(ask, image);
  EXPECT_THAT(texts(effective.environment), testing::ElementsAre("A=mine", "B=image"));
  EXPECT_THAT(texts(effective.withheld), testing::ElementsAre("NVIDIA_VISIBLE_DEVICES", "nvidia_x"));
  const PlanFacts facts{*SessionId::parse("0123456789ab"), "broker", 200'004, false};
  const auto plan = plan_container(ask, ContainerSection{}, image, facts, *ContainerName::parse("db"));
  EXPECT_THAT(plan.withheld, testing::ElementsAre("NVIDIA_VISIBLE_DEVICES", "nvidia_x"));
  const auto warnings = warnings_of(ask, plan);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].field, "Image.Env");
  EXPECT_THAT(warnings[0].words, testing::HasSubstr("\"NVIDIA_VISIBLE_DEVICES\", \"nvidia_x\" of the image"));
}

TEST(Merged, HomeOfTheImageStays) {
  ImageFacts image = plain_image();
  const PlanFacts facts{*SessionId::parse("0123456789ab"), "broker", 200'004, false};
  const auto adds_home = [&] {
    return plan_container(honest(), ContainerSection{}, image, facts, *ContainerName::parse("db")).add_home;
  };
  EXPECT_TRUE(adds_home());
  image.environment = {"HOME=/root"};
  EXPECT_FALSE(adds_home());
}

}  // namespace
}  // namespace sallyport::keeper
