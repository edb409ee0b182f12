// UNTRUSTED SIDE. One JSON text as a small tree, stricter than RFC 8259: valid UTF-8, ASCII keys, no key twice (also
// not in another case, which Go would fold together), integers of 64 bits only, no NUL, no lone surrogates, nothing
// after the value, bounded depth and number of values. Errors say what and where.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/gate/refusal.hpp"

namespace sallyport::gate {

struct JsonMember;
struct JsonValue {
  enum class Kind : std::uint8_t { Null, Boolean, Integer, String, Array, Object };
  Kind kind = Kind::Null;
  bool boolean = false;
  std::int64_t integer = 0;
  std::string text;
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;

  bool is(Kind wanted) const { return kind == wanted; }
  const JsonValue* find(std::string_view key) const;
  bool operator==(const JsonValue& other) const;
};
struct JsonMember {
  std::string key;
  JsonValue value;
  bool operator==(const JsonMember&) const = default;
};

// Where keys are the client's own words, which are compared with nothing of ours: any UTF-8 without NUL, and a key
// comes twice only if it is the same bytes. Everywhere else a key is ASCII.
enum class OwnKeys : std::uint8_t {
  Nowhere,
  OfLabels,   // {"Labels": {own: ...}}
  OfFilters,  // {filter: {own: true}}
};
Outcome<JsonValue> read_json(std::string_view text, OwnKeys own_keys = OwnKeys::Nowhere);

// false, 0, "", null, [] and {}. Not {"/data": {}}: in a map the key alone means something.
bool is_zero(const JsonValue& value);
// Compact text, at most a few hundred bytes: for messages and for comparing with neutral values.
std::string compact(const JsonValue& value);
// True where the two differ at most in the case of ASCII letters.
bool same_folded(std::string_view a, std::string_view b);

}  // namespace sallyport::gate
