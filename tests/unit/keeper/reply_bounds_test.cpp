// What is read of dockerd's answers, at its bounds and where it is not what it should be.
#include "broker/engine/read_reply.hpp"

namespace sallyport::engine {
namespace {

const std::string kId(64, 'c');
const std::string kImage = "sha256:" + std::string(64, 'd');

std::string list_of(std::size_t count) {
  std::string text = "[";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + (R"({"Id":")" + kId + "\"}");
  return text + "]";
}

TEST(ListBounds, AreReadUpToTheMostAndBeyondItNothingIsKept) {
  EXPECT_EQ(read_list(list_of(limits::kMaxListedContainers))->size(), limits::kMaxListedContainers);
  const auto more = read_list(list_of(limits::kMaxListedContainers + 1));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, EMSGSIZE) << "so that it is asked for in parts";
}

TEST(ListBounds, HoldNoEntryWithoutAnId) {
  EXPECT_FALSE(read_list(R"([{"Names":["/x"]}])"));
  EXPECT_FALSE(read_list(R"([{"Id":"short"}])"));
  EXPECT_FALSE(read_list(R"([{"Id":")" + kId + R"("},{}])"));
}

std::string image_with_volumes(const std::string& volumes) {
  return R"({"Id":")" + kImage + R"(","Config":{"Volumes":{)" + volumes + "}}}";
}

// So that whoever counts them sees that there is one too many.
TEST(ImageBounds, OfVolumesShowThatThereIsOneMore) {
  std::string volumes;
  for (std::size_t i = 0; i <= limits::kMaxImageVolumes; ++i)
    volumes += (i == 0 ? "" : ",") + ("\"/v" + std::to_string(i) + "\":{}");
  EXPECT_GT(read_image(image_with_volumes(volumes))->volumes.size(), limits::kMaxImageVolumes);
}

TEST(ImageBounds, ShowAPathThatWouldHaveToBeDecodedAsNone) {
  for (const std::string path : {R"(/d\u0065v)", R"(\/dev)", R"(/a\"b)"})
    EXPECT_THAT(read_image(image_with_volumes("\"" + path + "\":{}"))->volumes, testing::ElementsAre("")) << path;
  const std::string longest = "/" + std::string(limits::kMaxPathBytes - 1, 'x');
  EXPECT_THAT(read_image(image_with_volumes("\"" + longest + "\":{}"))->volumes, testing::ElementsAre(longest));
  EXPECT_THAT(read_image(image_with_volumes("\"" + longest + "x\":{}"))->volumes, testing::ElementsAre(""));
}

TEST(Answers, ThatAreNotWholeAreNotBelieved) {
  const std::string image = R"({"Id":")" + kImage + R"("})";
  const std::string created = R"({"Id":")" + kId + R"("})";
  const std::string wait = R"({"StatusCode":0})";
  EXPECT_TRUE(read_image(image) && read_created(created) && read_wait(wait));
  for (const std::string more : {"x", "{}", ",", "]"}) {
    EXPECT_FALSE(read_image(image + more)) << more;
    EXPECT_FALSE(read_created(created + more)) << more;
    EXPECT_FALSE(read_wait(wait + more)) << more;
    EXPECT_FALSE(read_inspect(created + more)) << more;
    EXPECT_FALSE(read_list("[]" + more)) << more;
    EXPECT_FALSE(read_version(R"({"ApiVersion":"1.41"})" + more)) << more;
    EXPECT_FALSE(read_info(R"({"CgroupDriver":"cgroupfs"})" + more)) << more;
  }
  EXPECT_FALSE(read_image(image.substr(0, image.size() - 1)));
  EXPECT_FALSE(read_created(created.substr(0, created.size() - 1)));
  EXPECT_EQ(read_error_message(R"({"message":"half)"), "");
  EXPECT_EQ(read_error_message(R"({"message":"whole"})"), "whole");
}

// Arguments and environment share what a message has room for.
TEST(InspectBounds, KeepNoMoreTextsThanFitIntoAMessage) {
  std::string texts = "[";
  for (int i = 0; i < 8; ++i) texts += (i == 0 ? "\"" : ",\"") + std::string(20'000, 'x') + "\"";
  texts += "]";
  const auto read = read_inspect(R"({"Id":")" + kId + R"(","Args":)" + texts + R"(,"Config":{"Env":)" + texts +
                                 R"(,"Cmd":)" + texts + "}}");
  ASSERT_TRUE(read);
  EXPECT_LE(encode_message(*read).size(), limits::kMaxMessageBytes);
  EXPECT_GT(read->arguments.items.size(), 0U);
}

}  // namespace
}  // namespace sallyport::engine
