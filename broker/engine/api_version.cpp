#include "broker/engine/api_version.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace sallyport::engine {

namespace {

bool read_number(std::string_view text, unsigned& into) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), into);
  return !text.empty() && read.ec == std::errc{} && read.ptr == text.data() + text.size();
}

}  // namespace

Result<ApiVersion> ApiVersion::parse(std::string_view text) {
  const std::size_t dot = std::min(text.find('.'), text.size());
  ApiVersion version;
  if (dot == text.size() || !read_number(text.substr(0, dot), version.major) ||
      !read_number(text.substr(dot + 1), version.minor))
    return fail_errno("read the API version \"" + std::string(text) + "\"", EPROTO);
  return version;
}

Result<ApiVersion> choose_version(const EngineVersion& offered) {
  const ApiVersion oldest = TRY(ApiVersion::parse(offered.oldest));
  const ApiVersion newest = TRY(ApiVersion::parse(offered.newest));
  const std::string ranges = "dockerd speaks API " + oldest.text() + " to " + newest.text() + ", and this broker " +
                             kOldestSpoken.text() + " to " + kNewestSpoken.text();
  if (newest < oldest)
    return fail_errno("read dockerd's API versions " + oldest.text() + " to " + newest.text(), EPROTO);
  if (newest < kOldestSpoken) return fail(ranges + "; install dockerd 20.10 or a later one");
  if (oldest > kNewestSpoken)
    return fail(ranges + "; install a later Sallyport, or start dockerd with DOCKER_MIN_API_VERSION=" +
                kNewestSpoken.text() + " in its environment");
  return std::min(newest, kNewestSpoken);
}

}  // namespace sallyport::engine
