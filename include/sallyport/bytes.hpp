// BOTH SIDES. Bounds-checked Writer and Reader, and encode/decode of plain structs over them.
// A message lists its fields once (`auto fields() { return std::tie(…); }`); every bound is part of a field's type,
// so a decoder can neither forget one nor take it from the peer. Little-endian fixed-width integers, no padding.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "sallyport/ids.hpp"
#include "sallyport/result.hpp"

namespace sallyport {

// Text and lists that carry their ceiling in their type.
template <std::size_t Max>
struct Text {
  std::string value;
  Text() = default;
  // NOLINTBEGIN(google-explicit-constructor): a bounded string is a string
  Text(std::string text) : value(std::move(text)) {}
  Text(std::string_view text) : value(text) {}
  Text(const char* text) : value(text) {}
  // NOLINTEND(google-explicit-constructor)
  bool operator==(const Text&) const = default;
};
template <class T, std::size_t Max>
struct List {
  std::vector<T> items;
  bool operator==(const List&) const = default;
};

class Writer {
 public:
  void raw(const void* data, std::size_t size) {
    if (size > room_.size() - size_) grow(size);
    if (size > 0) std::memcpy(room_.data() + size_, data, size);
    size_ += size;
  }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return std::span(room_).first(size_); }
  std::vector<std::byte> take() {
    room_.resize(std::exchange(size_, 0));
    return std::exchange(room_, {});
  }
  void drop_front(std::size_t size) {
    std::memmove(room_.data(), room_.data() + size, size_ - size);
    size_ -= size;
  }
  void cut(std::size_t size) { size_ = size; }  // forgets what was written beyond
  void clear() {                                // an unusual amount of room is given back
    if (room_.size() > kMostKept) std::vector<std::byte>().swap(room_);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kUsual =
      1000;  // most messages are smaller: one allocation, of a size that malloc caches
  static constexpr std::size_t kMostKept = 16 * 1024;
  void grow(std::size_t size) { room_.resize(std::max({kUsual, 2 * room_.size(), size_ + size})); }
  std::vector<std::byte> room_;  // written: [0, size_)
  std::size_t size_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  Result<> raw(void* data, std::size_t size) {
    if (size > rest_.size()) return fail("decode: message ends early");
    std::memcpy(data, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return {};
  }
  Result<std::string_view> view(std::size_t size) {
    if (size > rest_.size()) return fail("decode: message ends early");
    const std::string_view text(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return text;
  }
  std::size_t left() const { return rest_.size(); }
  Result<> finish() const {
    if (!rest_.empty()) return fail("decode: bytes after the message");
    return {};
  }

 private:
  std::span<const std::byte> rest_;
};

namespace codec {

template <class T>
concept Message = requires(T& message) { message.fields(); };
// An enum in a message names its number of values as its last enumerator, kCount.
template <class T>
concept CountedEnum = std::is_enum_v<T> && requires { T::kCount; };

template <class T>
void encode(Writer& writer, const T& value);
template <class T>
Result<> decode(Reader& reader, T& value);

template <class T>
struct Field;  // specialised below for every kind that may stand in a message

template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
struct Field<T> {
  static void encode(Writer& writer, T value) { writer.raw(&value, sizeof value); }
  static Result<> decode(Reader& reader, T& value) { return reader.raw(&value, sizeof value); }
};
template <>
struct Field<bool> {
  static void encode(Writer& writer, bool value) { Field<std::uint8_t>::encode(writer, value ? 1 : 0); }
  static Result<> decode(Reader& reader, bool& value) {
    std::uint8_t byte = 0;
    TRY(reader.raw(&byte, 1));
    if (byte > 1) return fail("decode: a truth value is neither 0 nor 1");
    value = byte == 1;
    return {};
  }
};
template <CountedEnum T>
struct Field<T> {
  using Number = std::underlying_type_t<T>;
  static void encode(Writer& writer, T value) { Field<Number>::encode(writer, static_cast<Number>(value)); }
  static Result<> decode(Reader& reader, T& value) {
    Number number{};
    TRY(Field<Number>::decode(reader, number));
    if (number >= static_cast<Number>(T::kCount)) return fail("decode: an enumerator is out of range");
    value = static_cast<T>(number);
    return {};
  }
};
template <std::size_t Max>
struct Field<Text<Max>> {
  static void encode(Writer& writer, const Text<Max>& text) {
    Field<std::uint32_t>::encode(writer, static_cast<std::uint32_t>(text.value.size()));
    writer.raw(text.value.data(), text.value.size());
  }
  static Result<> decode(Reader& reader, Text<Max>& text) {
    std::uint32_t size = 0;
    TRY(reader.raw(&size, sizeof size));
    if (size > Max) return fail("decode: a text is longer than its field allows");
    text.value = std::string(TRY(reader.view(size)));
    return {};
  }
};
template <class Grammar>
struct Field<Parsed<Grammar>> {
  static constexpr std::size_t kMax = 1024;  // every grammar's own bound is smaller
  static void encode(Writer& writer, const Parsed<Grammar>& id) { Field<Text<kMax>>::encode(writer, id.text()); }
  static Result<> decode(Reader& reader, Parsed<Grammar>& id) {
    Text<kMax> text;
    TRY(Field<Text<kMax>>::decode(reader, text));
    id = TRY(Parsed<Grammar>::parse(text.value));
    return {};
  }
};
template <class T, std::size_t Max>
struct Field<List<T, Max>> {
  static void encode(Writer& writer, const List<T, Max>& list) {
    Field<std::uint32_t>::encode(writer, static_cast<std::uint32_t>(list.items.size()));
    for (const T& item : list.items) codec::encode(writer, item);
  }
  static Result<> decode(Reader& reader, List<T, Max>& list) {
    std::uint32_t count = 0;
    TRY(reader.raw(&count, sizeof count));
    // Each item takes at least one byte, so a forged count cannot make us reserve more than was sent.
    if (count > Max || count > reader.left()) return fail("decode: a list is longer than its field allows");
    list.items.resize(count);
    for (T& item : list.items) TRY(codec::decode(reader, item));
    return {};
  }
};
template <class T>
struct Field<std::optional<T>> {
  static void encode(Writer& writer, const std::optional<T>& value) {
    Field<bool>::encode(writer, value.has_value());
    if (value) codec::encode(writer, *value);
  }
  static Result<> decode(Reader& reader, std::optional<T>& value) {
    bool present = false;
    TRY(Field<bool>::decode(reader, present));
    value.reset();
    if (present) TRY(codec::decode(reader, value.emplace()));
    return {};
  }
};
template <std::size_t Size>
struct Field<std::array<std::uint8_t, Size>> {
  static void encode(Writer& writer, const std::array<std::uint8_t, Size>& bytes) { writer.raw(bytes.data(), Size); }
  static Result<> decode(Reader& reader, std::array<std::uint8_t, Size>& bytes) {
    return reader.raw(bytes.data(), Size);
  }
};
template <Message T>
struct Field<T> {
  static void encode(Writer& writer, const T& message) {
    std::apply([&](const auto&... field) { (codec::encode(writer, field), ...); }, const_cast<T&>(message).fields());
  }
  static Result<> decode(Reader& reader, T& message) {
    Result<> outcome;
    std::apply([&](auto&... field) { (void)((outcome = codec::decode(reader, field)).has_value() && ...); },
               message.fields());
    return outcome;
  }
};
template <class... Ts>
struct Field<std::variant<Ts...>> {
  using Variant = std::variant<Ts...>;
  static void encode(Writer& writer, const Variant& variant) {
    Field<std::uint8_t>::encode(writer, static_cast<std::uint8_t>(variant.index()));
    std::visit([&](const auto& message) { codec::encode(writer, message); }, variant);
  }
  static Result<> decode(Reader& reader, Variant& variant) {
    std::uint8_t index = 0;
    TRY(reader.raw(&index, 1));
    if (index >= sizeof...(Ts)) return fail("decode: unknown message");
    using Decode = Result<> (*)(Reader&, Variant&);
    static constexpr Decode kDecoders[] = {
        [](Reader& from, Variant& into) -> Result<> { return codec::decode(from, into.template emplace<Ts>()); }...};
    return kDecoders[index](reader, variant);
  }
};

template <class T>
void encode(Writer& writer, const T& value) {
  Field<T>::encode(writer, value);
}
template <class T>
Result<> decode(Reader& reader, T& value) {
  return Field<T>::decode(reader, value);
}

}  // namespace codec

template <class T>
std::vector<std::byte> encode_message(const T& message) {
  Writer writer;
  codec::encode(writer, message);
  return writer.take();
}
// One of several messages that follow each other.
template <class T>
Result<> decode_next(Reader& reader, T& message) {
  return codec::decode(reader, message);
}
// The whole span must be one message: bytes left over are an error.
template <class T>
Result<T> decode_message(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  T message{};
  TRY(codec::decode(reader, message));
  TRY(reader.finish());
  return message;
}

}  // namespace sallyport
