#include "broker/gate/json_reader.hpp"

#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

struct JsonCase {
  std::string text;
  bool accepted;
  const char* sentence;
};
const JsonCase kTexts[] = {
    {R"({"a":1,"b":[true,null,"x"]})", true, "AnOrdinaryObject"},
    {" \t\r\n{} \r\n", true, "BlanksAround"},
    {R"({"a":1,"a":1})", false, "AKeyTwice"},
    {R"({"a":1,"\u0061":1})", false, "AKeyTwiceByEscape"},
    {R"({"Host":1,"hoST":1})", false, "AKeyTwiceInAnotherCase"},
    {R"({"Ho)"
     "\xC5\xBF"
     R"(t":1})",
     false, "ALongSInAKey"},
    {R"({"Networ\u212aMode":"host"})", false, "AnEscapedKelvinSignInAKey"},
    {R"({"a":{"b":1},"b":1})", true, "TheSameKeyInAnotherObject"},
    {"{} {}", false, "ASecondValue"},
    {"{}x", false, "GarbageAfterwards"},
    {"{}}", false, "ABraceAfterwards"},
    {"\xEF\xBB\xBF{}", false, "AByteOrderMark"},
    {R"({"a":1e9})", false, "AnExponent"},
    {R"({"a":1.0})", false, "AFraction"},
    {R"({"a":9223372036854775807})", true, "TheLargestInteger"},
    {R"({"a":9223372036854775808})", false, "OneMoreThanTheLargestInteger"},
    {R"({"a":-9223372036854775808})", true, "TheSmallestInteger"},
    {R"({"a":18446744073709551616})", false, "TwoToThe64"},
    {R"({"a":010})", false, "ALeadingZero"},
    {R"({"a":+1})", false, "APlusSign"},
    {R"({"a":NaN})", false, "NotANumber"},
    {R"({"a":"\ud800"})", false, "ALoneHighSurrogate"},
    {R"({"a":"\udc00"})", false, "ALoneLowSurrogate"},
    {R"({"a":"\ud83d\ude00"})", true, "ASurrogatePair"},
    {R"({"a":"\u0000"})", false, "AnEscapedNul"},
    {std::string("{\"a\":\"\0\"}", 9), false, "ARawNul"},
    {"{\"a\":\"\xff\"}", false, "InvalidUtf8InAValue"},
    {"{\"a\xff\":\"\"}", false, "InvalidUtf8InAKey"},
    {"{\"a\":\"\n\"}", false, "ARawLineFeedInAString"},
    {"{'a':1}", false, "SingleQuotes"},
    {"{\"a\":1,}", false, "ATrailingComma"},
    {"{/**/}", false, "AComment"},
    {"", false, "Nothing"},
    {"{\"a\":", false, "AnEarlyEnd"},
};

class JsonTest : public testing::TestWithParam<JsonCase> {};
TEST_P(JsonTest, IsAcceptedOrRefused) {
  const auto value = read_json(GetParam().text);
  EXPECT_EQ(value.has_value(), GetParam().accepted);
  if (!value) EXPECT_EQ(value.error().status, 400);
}
INSTANTIATE_TEST_SUITE_P(Texts, JsonTest, testing::ValuesIn(kTexts),
                         [](const auto& info) { return info.param.sentence; });

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, IsHeldToItsDepth) {
  EXPECT_TRUE(read_json(nested(limits::kMaxJsonDepth)));
  EXPECT_FALSE(read_json(nested(limits::kMaxJsonDepth + 1)));
  EXPECT_FALSE(read_json(nested(60'000)));
}

TEST(Json, IsHeldToItsNumberOfValues) {
  const auto zeros = [](std::size_t count) {
    std::string text = "[0";
    for (std::size_t i = 1; i < count; ++i) text += ",0";
    return text + "]";
  };
  EXPECT_TRUE(read_json(zeros(limits::kMaxJsonValues - 1)));  // and the array itself
  EXPECT_FALSE(read_json(zeros(limits::kMaxJsonValues)));
}

TEST(Json, SaysWhatIsWrongAndWhere) {
  const auto value = read_json(R"({"HostConfig":{"Memory":1e9}})");
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message.find("HostConfig.Memory"), std::string::npos);
}

TEST(Json, LetsAClientsOwnKeysBeAnyTextInItsOwnMapsAlone) {
  const std::string e = "\xc3\xa9";
  EXPECT_TRUE(read_json(R"({"label":{")" + e + R"(=1":true,"A":true,"a":true},"name":{")" + e + R"(":true}})",
                        OwnKeys::OfFilters));
  EXPECT_FALSE(read_json(R"({")" + e + R"(":{"a":true}})", OwnKeys::OfFilters));
  EXPECT_FALSE(read_json(R"({"a":{"b":{")" + e + R"(":1}}})", OwnKeys::OfFilters));
  EXPECT_FALSE(read_json(R"([{")" + e + R"(":1}])", OwnKeys::OfFilters));
  EXPECT_FALSE(read_json(R"({"label":{"a":true,"a":true}})", OwnKeys::OfFilters));
  EXPECT_TRUE(read_json(R"({"Labels":{")" + e + R"(":""}})", OwnKeys::OfLabels));
  for (const char* other : {"labels", "Labelſ", "Env", "HostConfig"})
    EXPECT_FALSE(read_json("{\"" + std::string(other) + "\":{\"" + e + "\":\"\"}}", OwnKeys::OfLabels)) << other;
  EXPECT_FALSE(read_json(R"({"Labels":[{")" + e + R"(":""}]})", OwnKeys::OfLabels));
  EXPECT_FALSE(read_json(R"({"Labels":{")" + e + R"(":""}})"));
}

TEST(Json, KnowsZeroValues) {
  for (const char* zero : {"false", "0", "\"\"", "null", "[]", "{}", "-0"})
    EXPECT_TRUE(is_zero(*read_json(zero))) << zero;
  for (const char* other : {"true", "1", "\" \"", "[0]", R"({"/v":{}})"})
    EXPECT_FALSE(is_zero(*read_json(other))) << other;
}

}  // namespace
}  // namespace sallyport::gate
