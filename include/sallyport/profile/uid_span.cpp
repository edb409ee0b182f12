#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/values.hpp"

namespace sallyport {
namespace {

struct Ids {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// NAME:x:ID:... of passwd(5) and group(5), or NAME:FIRST:COUNT of subuid(5) and subgid(5). Nothing for any other line,
// which whoever reads the file passes over as well.
std::optional<Ids> ids_of(std::string_view line, bool has_count) {
  std::string_view fields[3];
  for (std::string_view& field : fields) {
    const std::size_t end = std::min(line.find(':'), line.size());
    field = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  const auto second = parse_number(fields[1]);
  const auto third = parse_number(fields[2]);
  if (!third || (has_count && !second)) return std::nullopt;
  return has_count ? Ids{*second, *third} : Ids{*third, 1};
}

Result<> check_file(const UidSpan& span, const std::string& file, bool has_count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(std::fopen(file.c_str(), "re"), std::fclose);
  if (!opened) return errno == ENOENT ? Result<>() : fail_errno("open " + file);
  char* line = nullptr;
  std::size_t capacity = 0;
  std::string whose;
  for (ssize_t size; whose.empty() && (size = ::getline(&line, &capacity, opened.get())) > 0;) {
    std::string_view text(line, static_cast<std::size_t>(size));
    if (text.ends_with('\n')) text.remove_suffix(1);
    const auto ids = ids_of(text, has_count);
    const bool meets = ids && ids->count > 0 && ids->first <= span.last &&
                       span.first - std::min<std::uint64_t>(span.first, ids->first) < ids->count;
    if (meets) whose = std::string(text.substr(0, text.find(':')));
  }
  std::free(line);
  if (whose.empty()) return {};
  return fail("uid_span " + std::to_string(span.first) + "-" + std::to_string(span.last) + " has ids that " + file +
              " gives to \"" + whose +
              "\": name a span in broker.toml that is nobody else's (1879048192-2147352575 is free of people's, of "
              "useradd's and of systemd's)");
}

}  // namespace

Result<> check_span(const UidSpan& span, const std::string& directory) {
  TRY(check_file(span, directory + "/passwd", false));
  TRY(check_file(span, directory + "/group", false));
  TRY(check_file(span, directory + "/subuid", true));
  return check_file(span, directory + "/subgid", true);
}

}  // namespace sallyport
