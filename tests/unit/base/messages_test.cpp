// The closed set of messages between our processes: each alternative survives its own encoding, and no flipped or cut
// byte of any of them decodes into something that encodes differently.
#include "broker/protocol/messages.hpp"

#include <gtest/gtest.h>

#include "broker/protocol/permits.hpp"
#include "broker/protocol/relay_messages.hpp"
#include "broker/protocol/spawner_messages.hpp"
#include "broker/protocol/tally.hpp"
#include "sallyport/handshake.hpp"

namespace sallyport {
namespace {

// Fills every field with a value that its own grammar takes and that differs from the default.
template <class T>
void fill(T& value);
template <std::size_t Max>
void fill(Text<Max>& text);
template <class T, std::size_t Max>
void fill(List<T, Max>& list);
template <class T>
void fill(std::optional<T>& value);
template <std::size_t Size>
void fill(std::array<std::uint8_t, Size>& bytes);
template <class Grammar>
void fill(Parsed<Grammar>& id);

template <class T>
void fill_number(T& value) {
  value = static_cast<T>(1);
}
template <std::size_t Max>
void fill(Text<Max>& text) {
  text.value = std::string(std::min<std::size_t>(Max, 3), 'x');
}
template <class T, std::size_t Max>
void fill(List<T, Max>& list) {
  list.items.resize(std::min<std::size_t>(Max, 2));
  for (T& item : list.items) fill(item);
}
template <class T>
void fill(std::optional<T>& value) {
  fill(value.emplace());
}
template <std::size_t Size>
void fill(std::array<std::uint8_t, Size>& bytes) {
  bytes.fill(0xab);
}
template <class Grammar>
void fill(Parsed<Grammar>& id) {
  for (const std::string& text :
       {std::string("0123456789ab"), std::string(64, 'a'), "sha256:" + std::string(64, 'b'), std::string("name")})
    if (auto parsed = Parsed<Grammar>::parse(text)) id = *parsed;
  ASSERT_FALSE(id.empty()) << "no sample for " << Grammar::kWhat;
}
template <class T>
void fill(T& value) {
  if constexpr (codec::Message<T>) std::apply([](auto&... field) { (fill(field), ...); }, value.fields());
  else fill_number(value);
}

template <class Variant, std::size_t Index = 0, class Check>
void for_each_alternative(Check check) {
  if constexpr (Index < std::variant_size_v<Variant>) {
    std::variant_alternative_t<Index, Variant> message{};
    fill(message);
    check(Variant(std::move(message)));
    for_each_alternative<Variant, Index + 1>(check);
  }
}

template <class T>
class Protocol : public testing::Test {};
using Protocols = testing::Types<protocol::Request, protocol::Reply, handshake::ToKeeper, handshake::FromKeeper,
                                 protocol::relay::ToKeeper, protocol::relay::FromKeeper, protocol::spawner::ToSpawner,
                                 protocol::spawner::FromSpawner>;
TYPED_TEST_SUITE(Protocol, Protocols);

TYPED_TEST(Protocol, EachMessageSurvivesItsOwnEncoding) {
  for_each_alternative<TypeParam>([](const TypeParam& message) {
    const auto bytes = encode_message(message);
    const auto decoded = decode_message<TypeParam>(bytes);
    ASSERT_TRUE(decoded) << "alternative " << message.index() << ": " << decoded.error().text();
    EXPECT_EQ(decoded->index(), message.index());
    EXPECT_EQ(encode_message(*decoded), bytes) << "alternative " << message.index();
  });
}

TYPED_TEST(Protocol, NoMessageCutShortIsTaken) {
  for_each_alternative<TypeParam>([](const TypeParam& message) {
    const auto bytes = encode_message(message);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(decode_message<TypeParam>(std::span(bytes).first(size)))
          << "alternative " << message.index() << " cut to " << size;
  });
}

TYPED_TEST(Protocol, AChangedByteIsRefusedOrDecodesToExactlyThoseBytes) {
  for_each_alternative<TypeParam>([](const TypeParam& message) {
    const auto bytes = encode_message(message);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      auto changed = bytes;
      changed[at] ^= std::byte{0x81};
      if (const auto decoded = decode_message<TypeParam>(changed)) {
        EXPECT_EQ(encode_message(*decoded), changed);
      }
    }
  });
}

TEST(Permits, EveryRequestHasOneAndNoMoreInFlightThanConnections) {
  EXPECT_EQ(protocol::kPermits.size(), std::variant_size_v<protocol::Request>);
  for (const protocol::Permit& permit : protocol::kPermits) {
    EXPECT_GT(permit.in_flight_at_most, 0U);
    EXPECT_LE(permit.in_flight_at_most, limits::kMaxRequestsInFlight);
  }
}

// Written a second time on purpose: who gives a gate more of a kind says so here, too.
TEST(Permits, AreTheseNumbers) {
  const auto most = []<class T>(const T&) { return protocol::kPermit<T>.in_flight_at_most; };
  EXPECT_EQ(most(protocol::CreateContainer{}), 32U);
  EXPECT_EQ(most(protocol::StartContainer{}), 64U);
  EXPECT_EQ(most(protocol::WaitContainer{}), 128U);
  EXPECT_EQ(most(protocol::AttachContainer{}), 128U);
  EXPECT_EQ(most(protocol::ReadLogs{}), 128U);
  EXPECT_EQ(most(protocol::KillContainer{}), 64U);
  EXPECT_EQ(most(protocol::StopContainer{}), 64U);
  EXPECT_EQ(most(protocol::ResizeContainer{}), 64U);
  EXPECT_EQ(most(protocol::InspectContainer{}), 32U);
  EXPECT_EQ(most(protocol::ListContainers{}), 32U);
  EXPECT_EQ(most(protocol::RemoveContainer{}), 64U);
  EXPECT_EQ(most(protocol::CancelRequest{}), 128U);
  EXPECT_EQ(most(protocol::GateClaim{}), 128U);
  std::size_t without_an_answer = 0;
  for (const protocol::Permit& permit : protocol::kPermits)
    without_an_answer += permit.answer == protocol::Answer::None ? 1 : 0;
  EXPECT_EQ(without_an_answer, 2U);
}

// A read beyond the end of a file that was cut off is SIGBUS: the end of the keeper.
TEST(TheTally, CanBeCutOffOrGrownByNobody) {
  const auto [tally, memory] = protocol::SharedTally::make().value();
  ASSERT_NE(tally.get(), nullptr);
  EXPECT_EQ(::fcntl(memory.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  for (const off_t size : {off_t{0}, off_t{8}, off_t{1} << 30}) {
    EXPECT_EQ(::ftruncate(memory.get(), size), -1) << size;
    EXPECT_EQ(errno, EPERM) << size;
  }
  EXPECT_EQ(tally.get()->denied, 0U);
}

TEST(TheTally, IsWrittenByTheGateAndOnlyReadByTheKeeper) {
  auto [tally, memory] = protocol::SharedTally::make().value();
  const auto gates = protocol::SharedTally::open(memory.get()).value();
  gates.get()->denied = 7;
  EXPECT_EQ(tally.get()->denied, 7U);
  EXPECT_DEATH(tally.get()->denied = 0, "");
}

}  // namespace
}  // namespace sallyport
