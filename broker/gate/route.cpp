#include "broker/gate/route.hpp"

#include <array>
#include <optional>

#include "broker/gate/query.hpp"
#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

struct Segments {
  std::array<std::string_view, limits::kMaxPathSegments> items;
  std::size_t count = 0;
};

Outcome<Segments> split(std::string_view path) {
  Segments segments;
  for (path.remove_prefix(1);;) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment.empty()) return refuse(404, "path", "the path holds an empty segment");
    if (segments.count == limits::kMaxPathSegments) return refuse(404, "path", "the path is too deep");
    segments.items[segments.count++] = segment;
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

// Decodes every segment once, to refuse what some other reader of this path might take for structure.
Outcome<> check_segment(std::string_view segment) {
  const auto decoded = percent_decoded(segment, Plus::Literal);
  if (!decoded) return refuse(400, "path", "the path holds a bad percent-escape");
  if (*decoded == "." || *decoded == "..") return refuse(400, "path", "the path holds a dot segment");
  for (char c : *decoded)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == '/' || c == '\\' ||
        c == ';' || c == '#')
      return refuse(400, "path", "the path holds a character that is not served");
  return {};
}

// Any that is ours: nothing of a client's is passed on, so that its version need not be dockerd's. The text of the
// refusals is dockerd's, because clients show it.
Outcome<std::optional<unsigned>> takes_version(std::string_view segment) {
  if (segment.size() < 2 || segment[0] != 'v') return std::nullopt;
  const char second = segment[1];
  if (!detail::is_digit(second) && second != '.' && second != '%') return std::nullopt;
  const std::string_view minor = segment.substr(segment.size() < 3 ? segment.size() : 3);
  if (!segment.starts_with("v1.") || minor.empty() || minor.size() > 2 || minor[0] == '0' ||
      !detail::all(minor, detail::is_digit))
    return refuse(400, "version", "the API version " + quoted(segment) + " is not vMAJOR.MINOR");
  const unsigned number = minor.size() == 1 ? static_cast<unsigned>(minor[0] - '0')
                                            : static_cast<unsigned>((minor[0] - '0') * 10 + minor[1] - '0');
  const std::string version = "client version 1." + std::string(minor);
  if (number < api::kOldestClientMinor)
    return refuse(400, "version",
                  version + " is too old. Minimum supported API version is " + std::string(api::kOldestClientVersion) +
                      ", please upgrade your client to a newer version");
  if (number > api::kNewestMinor)
    return refuse(400, "version",
                  version + " is too new. Maximum supported API version is " + std::string(api::kNewestVersion));
  return number;
}

// A pattern against segments; `object` gets the raw text of the first placeholder.
bool matches(std::string_view pattern, const std::string_view* segment, std::size_t left, std::string_view& object) {
  pattern.remove_prefix(1);
  for (;;) {
    const std::size_t slash = pattern.find('/');
    const std::string_view part = pattern.substr(0, slash);
    const bool last = slash == std::string_view::npos;
    if (left == 0) return false;
    if (part.ends_with("...}")) {  // takes all but what the rest of the pattern needs
      std::size_t after = 0;
      if (!last)
        for (char c : pattern.substr(slash)) after += c == '/';
      if (left <= after) return false;
      if (object.empty())
        object = std::string_view(segment[0].data(),
                                  static_cast<std::size_t>(segment[left - after - 1].data() +
                                                           segment[left - after - 1].size() - segment[0].data()));
      segment += left - after;
      left = after;
    } else {
      if (part.starts_with('{')) {
        if (object.empty()) object = segment[0];
      } else if (part != segment[0]) {
        return false;
      }
      ++segment;
      --left;
    }
    if (last) return left == 0;
    pattern.remove_prefix(slash + 1);
  }
}

}  // namespace

Outcome<Route> route(std::string_view method_text, std::string_view target) {
  const auto method = api::method_of(method_text);
  const std::size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  if (path.empty() || path[0] != '/') return refuse(400, "path", "the target is not a path");
  if (!detail::all(path, [](char c) { return c > 0x20 && c < 0x7f; }))
    return refuse(400, "path", "the path holds bytes that have to be percent-encoded");
  const Segments segments = TRY(split(path));
  for (std::size_t i = 0; i < segments.count; ++i)
    if (segments.items[i].find_first_of("%.;\\#") != std::string_view::npos) TRY(check_segment(segments.items[i]));
  // podman's own API, /v4.3.1/libpod/...: its clients, too, go by a 404.
  if (segments.count > 1 && segments.items[1] == "libpod" && segments.items[0].starts_with('v'))
    return refuse(404, "path", quoted(path) + " is of podman's own API, which is not served");
  const std::optional<unsigned> version = TRY(takes_version(segments.items[0]));
  const std::string_view* first = segments.items.data() + (version ? 1 : 0);
  const std::size_t count = segments.count - (version ? 1 : 0);
  if (method && count > 0) {
    for (const api::Endpoint& row : api::kEndpoints) {
      std::string_view object;
      if (row.method != *method || !matches(row.path, first, count, object)) continue;
      Route found{&row, percent_decoded(object, Plus::Literal).value_or(std::string()),
                  mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1),
                  version.value_or(api::kNewestMinor)};
      const std::size_t ceiling =
          row.verb == api::Verb::Create ? limits::kMaxCreateTargetBytes : limits::kMaxTargetBytes;
      if (target.size() > ceiling)
        return refuse(414, "path", "the target is longer than is served (" + std::to_string(ceiling) + " bytes)");
      return found;
    }
  }
  return refuse(404, "path",
                std::string(method_text.substr(0, limits::kMaxMethodBytes)) + " " + quoted(path) +
                    " is not an endpoint of this API");
}

}  // namespace sallyport::gate
