#include "broker/engine/json_reader.hpp"
#include "broker/engine/json_writer.hpp"

namespace sallyport::engine {
namespace {

std::string written(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonWriter, EscapesEverythingOutsidePrintableAscii) {
  EXPECT_EQ(written("plain"), "\"plain\"");
  EXPECT_EQ(written("\"\\"), "\"\\\"\\\\\"");
  EXPECT_EQ(written(std::string_view("\0\n\x1b[2J\x7f", 7)), "\"\\u0000\\u000a\\u001b[2J\\u007f\"");
  EXPECT_EQ(written("\xc3\xa9"), "\"\\u00e9\"");
  EXPECT_EQ(written("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\"");
}

TEST(JsonWriter, ReplacesWhatIsNotUtf8) {
  for (const char* text : {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"})
    EXPECT_TRUE(written(text).starts_with("\"\\ufffd")) << text;
}

TEST(DescribedSize, IsWhatGosEncoderTakes) {
  EXPECT_EQ(described_size(""), 0U);
  EXPECT_EQ(described_size("plain\x7f"), 6U);
  EXPECT_EQ(described_size("\"\\"), 4U);
  EXPECT_EQ(described_size("<>&\x01"), 24U);
  EXPECT_EQ(described_size("\xc3\xa9\xe2\x82\xac"), 5U) << "of other characters as they are";
  EXPECT_EQ(described_size("\xe2\x80\xa8\xe2\x80\xa9"), 12U);
  EXPECT_EQ(described_size("\xff\xe2\x80"), 18U) << "each byte that is not UTF-8";
}

TEST(PlainText, IsUtf8WithoutNul) {
  EXPECT_TRUE(is_plain_text("caf\xc3\xa9"));
  EXPECT_FALSE(is_plain_text(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_plain_text("\xff"));
  EXPECT_FALSE(is_plain_text("\xc3"));
}

TEST(JsonReader, DecodesEscapesAndCutsAtAWholeCharacter) {
  JsonReader json(R"(["a\u00e9\ud83d\ude00\n\ud800x", "\u00e9\u00e9"])");
  std::vector<std::string> texts;
  json.array([&] { texts.push_back(json.text(texts.empty() ? 100 : 3)); });
  EXPECT_TRUE(json.finished());
  EXPECT_THAT(texts, testing::ElementsAre("a\xc3\xa9\xf0\x9f\x98\x80\n\xef\xbf\xbdx", "\xc3\xa9"));
}

TEST(JsonReader, StepsOverWhatIsNotAskedFor) {
  JsonReader json(R"({"a":{"x":["}]\"",{"y":[1,2]}]},"b":-12,"c":[true,null],"d":"end"})");
  std::int64_t b = 0;
  std::string d;
  json.object([&](std::string_view key) {
    if (key == "b") b = json.integer();
    else if (key == "d") d = json.text(8);
    else json.skip();
  });
  EXPECT_TRUE(json.finished());
  EXPECT_EQ(b, -12);
  EXPECT_EQ(d, "end");
}

TEST(JsonReader, NullIsTheEmptyValue) {
  JsonReader json("[null,null,null,null]");
  int calls = 0;
  int at = 0;
  json.array([&] {
    switch (at++) {
      case 0: EXPECT_EQ(json.text(4), ""); break;
      case 1: EXPECT_EQ(json.integer(), 0); break;
      case 2: EXPECT_FALSE(json.boolean()); break;
      default: json.object([&](std::string_view) { ++calls; });
    }
  });
  EXPECT_TRUE(json.finished());
  EXPECT_EQ(calls, 0);
}

class JsonReaderRefuses : public testing::TestWithParam<const char*> {};
TEST_P(JsonReaderRefuses, Malformed) {
  JsonReader json(GetParam());
  json.object([&](std::string_view key) {
    if (key == "n") (void)json.integer();
    else if (key == "s") (void)json.text(10);
    else if (key == "b") (void)json.boolean();
    else json.skip();
  });
  EXPECT_FALSE(json.finished());
}
INSTANTIATE_TEST_SUITE_P(Texts, JsonReaderRefuses,
                         testing::Values("", "{", "[", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}",
                                         "{\"a\":1 \"b\":2}", "{\"n\":1.5}", "{\"n\":1e9}",
                                         "{\"n\":99999999999999999999}", "{\"n\":\"1\"}", "{\"s\":\"\\x\"}",
                                         "{\"s\":\"\\u12g4\"}", "{\"s\":\"\\", "{\"s\":1}", "{\"b\":1}", "{\"x\":[}",
                                         "{\"x\":[[}]}", "{\"x\":\"", "{a:1}"));

TEST(JsonReader, RefusesDeepNestingWithoutRecursion) {
  std::string deep = "{\"x\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  JsonReader json(deep);
  json.object([&](std::string_view) { json.skip(); });
  EXPECT_TRUE(json.failed());
}

// Stepping over goes 64 characters at a time: a string, an escape or a bracket may lie across any border of that.
TEST(JsonReader, StepsOverAValueWhereverItsPartsLie) {
  for (std::size_t padding = 0; padding < 140; ++padding) {
    const std::string value = R"({"a":")" + std::string(padding, 'x') + R"(}\"]\\","b":[{"c":"\\\"{"},[]],"d":1})";
    const std::string text = R"({"skipped":)" + value + R"(,"kept":7})";
    JsonReader json(text);
    std::int64_t kept = 0;
    json.object([&](std::string_view key) {
      if (key == "kept") kept = json.integer();
      else json.skip();
    });
    EXPECT_TRUE(json.finished()) << padding;
    EXPECT_EQ(kept, 7) << padding;
  }
}

TEST(JsonReader, RefusesBracketsThatDoNotMatchOrDoNotEndWhereverTheyLie) {
  for (std::size_t padding = 0; padding < 140; ++padding) {
    const std::string pad(padding, 'x');
    for (const std::string& text :
         {R"({"a":")" + pad + R"("])", R"([")" + pad + R"(")", R"([")" + pad + R"(\"])", R"([")" + pad + R"(\)"}) {
      JsonReader json(text);
      json.skip();
      EXPECT_TRUE(json.failed()) << text;
    }
  }
}

}  // namespace
}  // namespace sallyport::engine
