// The codec that every message between our processes goes through: what is encoded comes back, and nothing else is
// taken.
#include "sallyport/bytes.hpp"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

enum class Colour : std::uint8_t { Red, Green, kCount };
struct Inner {
  Text<8> name;
  auto fields() { return std::tie(name); }
  bool operator==(const Inner&) const = default;
};
struct Other {
  std::uint16_t number = 0;
  auto fields() { return std::tie(number); }
  bool operator==(const Other&) const = default;
};
struct Message {
  std::uint32_t count = 0;
  bool flag = false;
  Colour colour = Colour::Red;
  List<Inner, 3> items;
  std::optional<std::int64_t> maybe;
  std::array<std::uint8_t, 4> hash{};
  std::variant<Inner, Other> either;
  auto fields() { return std::tie(count, flag, colour, items, maybe, hash, either); }
  bool operator==(const Message&) const = default;
};

Message sample() { return Message{7, true, Colour::Green, {{{"a"}, {"bc"}}}, -5, {1, 2, 3, 4}, Other{515}}; }

TEST(Codec, WhatIsEncodedIsDecodedAlike) {
  const auto decoded = decode_message<Message>(encode_message(sample()));
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(*decoded, sample());
}

TEST(Codec, EveryMessageThatEndsEarlyIsRefused) {
  const auto bytes = encode_message(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_message<Message>(std::span(bytes).first(size))) << "cut to " << size;
}

TEST(Codec, BytesAfterTheMessageAreRefused) {
  auto bytes = encode_message(sample());
  bytes.push_back(std::byte{0});
  const auto decoded = decode_message<Message>(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().doing, "decode: bytes after the message");
}

TEST(Codec, ATextOfExactlyItsBoundIsTakenAndOneByteMoreIsRefused) {
  EXPECT_TRUE(decode_message<Text<8>>(encode_message(Text<8>("12345678"))));
  const auto longer = decode_message<Text<8>>(encode_message(Text<8>("123456789")));
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().doing, "decode: a text is longer than its field allows");
}

TEST(Codec, AListOfExactlyItsBoundIsTakenAndOneItemMoreIsRefused) {
  using Numbers = List<std::uint8_t, 3>;
  EXPECT_TRUE(decode_message<Numbers>(encode_message(Numbers{{1, 2, 3}})));
  const auto longer = decode_message<Numbers>(encode_message(Numbers{{1, 2, 3, 4}}));
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().doing, "decode: a list is longer than its field allows");
}

TEST(Codec, AForgedCountReservesNothing) {
  Writer writer;
  codec::encode(writer, std::uint32_t{1'000'000});
  EXPECT_FALSE((decode_message<List<std::uint64_t, 2'000'000>>(writer.bytes())));
}

TEST(Codec, AnEnumeratorOutOfRangeIsRefused) {
  const std::byte known[] = {std::byte{1}};
  const std::byte unknown[] = {std::byte{2}};
  EXPECT_TRUE(decode_message<Colour>(known));
  const auto decoded = decode_message<Colour>(unknown);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().doing, "decode: an enumerator is out of range");
}

TEST(Codec, ATruthValueIsZeroOrOneOnly) {
  const std::byte one[] = {std::byte{1}};
  const std::byte two[] = {std::byte{2}};
  EXPECT_TRUE(decode_message<bool>(one));
  EXPECT_FALSE(decode_message<bool>(two));
}

TEST(Codec, AnUnknownAlternativeOfAVariantIsRefused) {
  auto bytes = encode_message(std::variant<Inner, Other>(Other{1}));
  EXPECT_TRUE((decode_message<std::variant<Inner, Other>>(bytes)));
  bytes[0] = std::byte{2};
  EXPECT_FALSE((decode_message<std::variant<Inner, Other>>(bytes)));
}

TEST(Codec, AnIdThatItsGrammarRefusesDoesNotDecode) {
  EXPECT_TRUE(decode_message<SessionId>(encode_message(Text<64>("0123456789ab"))));
  EXPECT_FALSE(decode_message<SessionId>(encode_message(Text<64>("0123456789AB"))));
  EXPECT_FALSE(decode_message<SessionId>(encode_message(Text<64>("../../../etc"))));
}

}  // namespace
}  // namespace sallyport
