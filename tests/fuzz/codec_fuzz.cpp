// Every message that crosses a trust line, decoded from arbitrary bytes. The first byte chooses the channel. What
// decodes must encode to the same bytes: one message has one spelling.
#include <algorithm>
#include <cstdlib>

#include "broker/protocol/messages.hpp"
#include "broker/protocol/relay_messages.hpp"
#include "broker/protocol/spawner_messages.hpp"
#include "sallyport/handshake.hpp"

namespace {

using namespace sallyport;

template <class T>
void round_trip(std::span<const std::byte> bytes) {
  const auto message = decode_message<T>(bytes);
  if (!message) return;
  const std::vector<std::byte> again = encode_message(*message);
  if (!std::ranges::equal(again, bytes)) std::abort();
}

// A datagram of several messages, as gate and keeper send them.
template <class T>
void round_trips(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  Writer writer;
  while (reader.left() > 0) {
    T message;
    if (!decode_next(reader, message)) return;
    codec::encode(writer, message);
  }
  const auto again = writer.bytes();
  if (!std::ranges::equal(again, bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 8) {
    case 0:
    case 1: round_trips<protocol::RequestEnvelope>(bytes); break;
    case 2: round_trips<protocol::ReplyEnvelope>(bytes); break;
    case 3: round_trip<protocol::relay::ToKeeper>(bytes); break;
    case 4: round_trip<protocol::spawner::ToSpawnerEnvelope>(bytes); break;
    case 5: round_trip<protocol::spawner::FromSpawnerEnvelope>(bytes); break;
    case 6: round_trip<handshake::ToKeeper>(bytes); break;
    default: round_trip<handshake::FromKeeper>(bytes); break;
  }
  return 0;
}
