#include "broker/gate/query.hpp"

#include <charconv>

#include "broker/api/create_fields.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::gate {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Outcome<> check_value(const api::QueryField& field, const std::string& value) {
  const std::string shown = std::string(field.key) + " " + quoted(value);
  if (!detail::all(value, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }))
    return refuse(400, field.key, "the parameter " + std::string(field.key) + " holds control characters");
  if (field.type == api::QueryType::Boolean && !boolean_of(value))
    return refuse(400, field.key, "the parameter " + shown + " is not 0, 1, true or false");
  if (field.type == api::QueryType::Integer && !value.empty() && !integer_of(value))
    return refuse(400, field.key, "the parameter " + shown + " is not a number");
  if (field.rule != api::QueryRule::MustBeDefault || value.empty()) return {};
  if (field.type == api::QueryType::Boolean && !*boolean_of(value)) return {};
  return refuse(403, field.key, "the parameter " + shown + " is not allowed: " + std::string(field.reason));
}

// dockerode repeats the whole create body in the query. The body decides; its keys are accepted here without effect.
bool repeats_create_body(api::Verb verb, std::string_view key) {
  return verb == api::Verb::Create && api::member_field({}, key) != nullptr;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return {};
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return {};
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' && plus == Plus::Blank ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<bool> boolean_of(std::string_view text) {
  if (text.empty() || text == "0" || text == "false" || text == "False") return false;
  if (text == "1" || text == "true" || text == "True") return true;
  return {};
}

std::optional<std::int64_t> integer_of(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Outcome<Query> Query::parse(api::Verb verb, std::string_view text) {
  Query query;
  if (text.find(';') != std::string_view::npos) return refuse(400, "query", "the query holds a ';'");
  while (!text.empty()) {
    const std::size_t ampersand = text.find('&');
    const std::string_view pair = text.substr(0, ampersand);
    text.remove_prefix(ampersand == std::string_view::npos ? text.size() : ampersand + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const auto key = percent_decoded(pair.substr(0, equals), Plus::Blank);
    auto value =
        percent_decoded(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), Plus::Blank);
    if (!key || !value) return refuse(400, "query", "the query holds a bad percent-escape");
    const api::QueryField* field = api::query_field(verb, *key);
    if (field == nullptr) {
      if (repeats_create_body(verb, *key)) continue;
      return refuse(400, "query", "the parameter " + quoted(*key) + " is not known here");
    }
    if (query.find(*key) != nullptr) return refuse(400, field->key, "the parameter " + quoted(*key) + " comes twice");
    TRY(check_value(*field, *value));
    query.pairs_.push_back({field, std::move(*value)});
  }
  return query;
}

const Query::Pair* Query::find(std::string_view key) const {
  for (const Pair& pair : pairs_)
    if (pair.field->key == key) return &pair;
  return nullptr;
}

std::string_view Query::text(std::string_view key) const {
  const Pair* pair = find(key);
  return pair == nullptr ? std::string_view() : std::string_view(pair->value);
}
bool Query::flag(std::string_view key) const { return boolean_of(text(key)).value_or(false); }
std::optional<std::int64_t> Query::integer(std::string_view key) const { return integer_of(text(key)); }

}  // namespace sallyport::gate
