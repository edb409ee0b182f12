#include "broker/gate/json_reader.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>  // this unit is the program's whole copy of Boost.JSON: static, without locale

#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

namespace json = boost::json;
using json::error_code;
using Kind = JsonValue::Kind;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Builds the tree. A refusal of its own is kept in `problem`, and the parse ended by an error code.
struct Builder {
  static constexpr std::size_t max_object_size = limits::kMaxJsonMembers;
  static constexpr std::size_t max_array_size = limits::kMaxJsonValues;
  static constexpr std::size_t max_key_size = limits::kMaxCreateBodyBytes;
  static constexpr std::size_t max_string_size = limits::kMaxCreateBodyBytes;

  OwnKeys own_keys = OwnKeys::Nowhere;
  std::vector<JsonValue> open;    // arrays and objects that have begun
  std::vector<std::string> keys;  // of the objects in `open`, the member being read
  JsonValue root;
  std::string text;
  std::string problem;
  std::size_t values = 0;

  std::string where() const {
    std::string path;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (open[i].is(Kind::Array)) path += "[]";
      else if (!keys[i].empty()) (path.empty() ? path : path += '.') += keys[i];
    }
    return path.empty() ? "the body" : path.substr(0, 120);
  }
  bool is_own_map() const {
    if (own_keys == OwnKeys::Nowhere || open.size() != 2 || !open.front().is(Kind::Object)) return false;
    return own_keys == OwnKeys::OfFilters || keys.front() == "Labels";
  }
  bool stop(error_code& code, std::string what) {
    problem = std::move(what);
    code = json::error::exception;
    return false;
  }
  bool attach(JsonValue value, error_code& code) {
    if (++values > limits::kMaxJsonValues)
      return stop(code, "it holds more values than are served (" + std::to_string(limits::kMaxJsonValues) + ")");
    if (open.empty()) root = std::move(value);
    else if (open.back().is(Kind::Array)) open.back().items.push_back(std::move(value));
    else open.back().members.push_back({keys.back(), std::move(value)});
    return true;
  }
  bool begin(Kind kind) {
    open.push_back({});
    open.back().kind = kind;
    keys.emplace_back();
    return true;
  }
  bool end(error_code& code) {
    JsonValue value = std::move(open.back());
    open.pop_back();
    keys.pop_back();
    return attach(std::move(value), code);
  }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return begin(Kind::Object); }
  bool on_object_end(std::size_t, error_code& code) { return end(code); }
  bool on_array_begin(error_code&) { return begin(Kind::Array); }
  bool on_array_end(std::size_t, error_code& code) { return end(code); }
  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    text.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, error_code& code) {
    text.append(part.data(), part.size());
    const bool own = is_own_map();
    if (own && text.find('\0') != std::string::npos) return stop(code, "a key in " + where() + " holds a NUL");
    if (!own && !detail::all(text, detail::is_printable_ascii))
      return stop(code, "a key in " + where() + " is not ASCII");
    for (const JsonMember& member : open.back().members) {
      if (own ? member.key != text : !same_folded(member.key, text)) continue;
      return stop(code,
                  "the keys " + quoted(member.key) + " and " + quoted(text) + " in " + where() + " are one key twice");
    }
    keys.back() = std::exchange(text, {});
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    text.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, error_code& code) {
    text.append(part.data(), part.size());
    if (text.find('\0') != std::string::npos) return stop(code, where() + " holds a NUL");
    JsonValue value;
    value.kind = Kind::String;
    value.text = std::exchange(text, {});
    return attach(std::move(value), code);
  }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, error_code& code) {
    JsonValue value;
    value.kind = Kind::Integer;
    value.integer = number;
    return attach(std::move(value), code);
  }
  bool on_uint64(std::uint64_t number, json::string_view, error_code& code) {
    if (number > static_cast<std::uint64_t>(INT64_MAX)) return stop(code, where() + ": the number is out of range");
    return on_int64(static_cast<std::int64_t>(number), {}, code);
  }
  bool on_double(double, json::string_view, error_code& code) {
    return stop(code, where() + ": only integers are served, without fraction, exponent or more than 64 bits");
  }
  bool on_bool(bool boolean, error_code& code) {
    JsonValue value;
    value.kind = Kind::Boolean;
    value.boolean = boolean;
    return attach(std::move(value), code);
  }
  bool on_null(error_code& code) { return attach({}, code); }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }
};

void write_compact(const JsonValue& value, std::string& out) {
  constexpr std::size_t kEnough = 256;
  if (out.size() > kEnough) return;
  switch (value.kind) {
    case Kind::Null: out += "null"; return;
    case Kind::Boolean: out += value.boolean ? "true" : "false"; return;
    case Kind::Integer: out += std::to_string(value.integer); return;
    case Kind::String: out.append("\"").append(value.text.substr(0, kEnough)).append("\""); return;
    case Kind::Array:
      out += '[';
      for (const JsonValue& item : value.items) {
        if (&item != value.items.data()) out += ',';
        write_compact(item, out);
        if (out.size() > kEnough) return;
      }
      out += ']';
      return;
    case Kind::Object:
      out += '{';
      for (const JsonMember& member : value.members) {
        if (&member != value.members.data()) out += ',';
        out.append("\"").append(member.key.substr(0, kEnough)).append("\":");
        write_compact(member.value, out);
        if (out.size() > kEnough) return;
      }
      out += '}';
      return;
  }
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  for (const JsonMember& member : members)
    if (member.key == key) return &member.value;
  return nullptr;
}

bool JsonValue::operator==(const JsonValue& other) const = default;

Outcome<JsonValue> read_json(std::string_view text, OwnKeys own_keys) {
  json::parse_options options;
  options.max_depth = limits::kMaxJsonDepth;
  json::basic_parser<Builder> parser(options);
  parser.handler().own_keys = own_keys;
  error_code code;
  std::size_t used = parser.write_some(false, text.data(), text.size(), code);
  const Builder& built = parser.handler();
  if (!built.problem.empty()) return refuse(400, "json", "the JSON is not served: " + built.problem);
  if (code == json::error::too_deep)
    return refuse(400, "json",
                  "the JSON is nested deeper than is served (" + std::to_string(limits::kMaxJsonDepth) + ")");
  if (code == json::error::object_too_large)
    return refuse(400, "json",
                  "the JSON is not served: an object holds more members than are served (" +
                      std::to_string(limits::kMaxJsonMembers) + ")");
  if (code) return refuse(400, "json", "the JSON is not valid at byte " + std::to_string(used));
  while (used < text.size() && std::string_view(" \t\r\n").find(text[used]) != std::string_view::npos) ++used;
  if (used != text.size()) return refuse(400, "json", "there is data after the JSON");
  return std::move(parser.handler().root);
}

bool is_zero(const JsonValue& value) {
  switch (value.kind) {
    case Kind::Null: return true;
    case Kind::Boolean: return !value.boolean;
    case Kind::Integer: return value.integer == 0;
    case Kind::String: return value.text.empty();
    case Kind::Array: return value.items.empty();
    case Kind::Object: return value.members.empty();
  }
  return false;
}

std::string compact(const JsonValue& value) {
  std::string out;
  write_compact(value, out);
  return out;
}

bool same_folded(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

}  // namespace sallyport::gate
