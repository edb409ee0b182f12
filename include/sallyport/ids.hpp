// BOTH SIDES. Names and ids as types that can only be made by parsing, so that no unchecked string reaches a decision.
// Each parse() is a total function over bytes: no locale, no allocation beyond the copy.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"

namespace sallyport {

namespace detail {
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_alnum(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }
constexpr bool is_lower_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
constexpr bool is_printable_ascii(char c) { return c >= 0x20 && c < 0x7f; }
template <class Predicate>
constexpr bool all(std::string_view text, Predicate predicate) {
  for (char c : text)
    if (!predicate(c)) return false;
  return true;
}
}  // namespace detail

// Base of the types below: holds text that `Grammar::accepts`.
template <class Grammar>
class Parsed {
 public:
  static Result<Parsed> parse(std::string_view text) {
    if (!Grammar::accepts(text)) return fail(std::string("not a valid ") + Grammar::kWhat);
    return Parsed(std::string(text));
  }
  Parsed() = default;  // empty: only to be assigned to
  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Parsed&) const = default;
  bool operator==(const Parsed&) const = default;

 private:
  explicit Parsed(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

struct SessionIdGrammar {
  static constexpr const char* kWhat = "session id (12 hexadecimal digits)";
  static constexpr bool accepts(std::string_view text) {
    return text.size() == 12 && detail::all(text, detail::is_lower_hex);
  }
};
struct ContainerIdGrammar {
  static constexpr const char* kWhat = "container id (64 hexadecimal digits)";
  static constexpr bool accepts(std::string_view text) {
    return text.size() == 64 && detail::all(text, detail::is_lower_hex);
  }
};
// dockerd's own grammar for names (moby daemon/names/names.go), bounded in length.
struct ContainerNameGrammar {
  static constexpr const char* kWhat = "container name or id ([a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 characters)";
  static constexpr bool accepts(std::string_view text) {
    return !text.empty() && text.size() <= limits::kMaxNameBytes && detail::is_alnum(text[0]) &&
           detail::all(text, [](char c) { return detail::is_alnum(c) || c == '_' || c == '.' || c == '-'; });
  }
};
struct ProfileNameGrammar {
  static constexpr const char* kWhat = "profile name ([a-z0-9][a-z0-9_-]*, at most 32 characters)";
  static constexpr bool accepts(std::string_view text) {
    return !text.empty() && text.size() <= 32 && (detail::is_lower(text[0]) || detail::is_digit(text[0])) &&
           detail::all(text, [](char c) { return detail::is_lower(c) || detail::is_digit(c) || c == '_' || c == '-'; });
  }
};
struct ImageIdGrammar {
  static constexpr const char* kWhat = "image id (sha256: and 64 hexadecimal digits)";
  static constexpr bool accepts(std::string_view text) {
    return text.size() == 71 && text.starts_with("sha256:") && detail::all(text.substr(7), detail::is_lower_hex);
  }
};
// An image reference in normal form: registry/path:tag or registry/path[:tag]@sha256:…; see broker/api/names.hpp,
// which makes it. Here only what the keeper relies on: no character that means anything in a path, query or JSON.
struct ImageRefGrammar {
  static constexpr const char* kWhat = "image reference";
  static constexpr bool accepts(std::string_view text) {
    return !text.empty() && text.size() <= limits::kMaxImageRefBytes && detail::is_alnum(text[0]) &&
           text.find("..") == std::string_view::npos && text.find("//") == std::string_view::npos &&
           detail::all(text, [](char c) {
             return detail::is_alnum(c) || c == '_' || c == '.' || c == '-' || c == '/' || c == ':' || c == '@';
           });
  }
};

using SessionId = Parsed<SessionIdGrammar>;
using ContainerId = Parsed<ContainerIdGrammar>;
using ContainerName = Parsed<ContainerNameGrammar>;  // also what a client may write where an id is wanted
using ProfileName = Parsed<ProfileNameGrammar>;
using ImageId = Parsed<ImageIdGrammar>;
using ImageRef = Parsed<ImageRefGrammar>;

}  // namespace sallyport
