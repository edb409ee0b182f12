// UNTRUSTED SIDE. A query string as known keys with strict values, from kQueryFields: unknown keys, keys that come
// twice, ';' and bad escapes are refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/query_fields.hpp"
#include "broker/gate/refusal.hpp"

namespace sallyport::gate {

// One percent-decoding; fails on bad escapes. In a query '+' is a blank.
enum class Plus : std::uint8_t { Literal, Blank };
std::optional<std::string> percent_decoded(std::string_view text, Plus plus);

class Query {
 public:
  static Outcome<Query> parse(api::Verb verb, std::string_view text);

  std::string_view text(std::string_view key) const;  // "" where absent
  bool flag(std::string_view key) const;
  std::optional<std::int64_t> integer(std::string_view key) const;

 private:
  struct Pair {
    const api::QueryField* field;
    std::string value;
  };
  const Pair* find(std::string_view key) const;
  std::vector<Pair> pairs_;
};

std::optional<bool> boolean_of(std::string_view text);          // "", 0, 1, true, false, True, False
std::optional<std::int64_t> integer_of(std::string_view text);  // -?[0-9]+ within 64 bits

}  // namespace sallyport::gate
