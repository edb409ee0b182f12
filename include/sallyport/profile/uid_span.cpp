#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/printable.hpp"
#include "sallyport/profile/config.hpp"

namespace sallyport {
namespace {

struct Ids {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

struct File {
  const char* name;
  enum : std::uint8_t { OneId, TwoIds, Range } has;
};
constexpr File kFiles[] = {
    {"passwd", File::TwoIds},  // NAME:x:UID:GID:..., passwd(5)
    {"group", File::OneId},    // NAME:x:GID:..., group(5)
    {"subuid", File::Range},   // NAME:FIRST:COUNT, subuid(5)
    {"subgid", File::Range},
};

// `base` 0, for subuid and subgid: hexadecimal and octal as well (shadow, lib/getulong.c).
std::optional<std::uint64_t> number(const std::string& text, int base) {
  char* end = nullptr;
  errno = 0;
  const std::uint64_t value = std::strtoull(text.c_str(), &end, base);
  if (text.empty() || !detail::is_digit(text[0]) || *end != '\0' || errno != 0) return std::nullopt;
  return value;
}

// Nothing where the line is none of the file's grammar, which gives nothing to anybody.
std::vector<Ids> ids_of(std::string_view line, const File& file) {
  if (line.starts_with('#')) return {};
  std::string fields[4];
  for (std::string& field : fields) {
    const std::size_t end = std::min(line.find(':'), line.size());
    field = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  const int base = file.has == File::Range ? 0 : 10;
  const auto second = number(fields[1], base), third = number(fields[2], base), fourth = number(fields[3], base);
  std::vector<Ids> result;
  if (file.has == File::Range && second && third) result.push_back({*second, *third});
  if (file.has != File::Range && third) result.push_back({*third, 1});
  if (file.has == File::TwoIds && fourth) result.push_back({*fourth, 1});
  return result;
}

bool meet(const UidSpan& span, const Ids& ids) {
  return ids.count > 0 && ids.first <= span.last &&
         span.first - std::min<std::uint64_t>(span.first, ids.first) < ids.count;
}

std::string remedy(const UidSpan& span) {
  const std::string ours = UidSpan{}.text();
  std::string text = "name a uid_span in broker.toml that is nobody else's";
  if (span.text() != ours) text += " (" + ours + " is free of people's, of useradd's, of sssd's and of systemd's)";
  return text;
}

Result<> check_file(const UidSpan& span, const std::string& directory, const File& kind) {
  const std::string file = directory + "/" + kind.name;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(std::fopen(file.c_str(), "re"), std::fclose);
  if (!opened) return errno == ENOENT ? Result<>() : fail_errno("open " + file);
  char* line = nullptr;
  std::size_t capacity = 0;
  std::string whose;
  errno = 0;
  for (ssize_t size; whose.empty() && (size = ::getline(&line, &capacity, opened.get())) > 0;) {
    std::string_view text(line, static_cast<std::size_t>(size));
    if (text.ends_with('\n')) text.remove_suffix(1);
    for (const Ids& ids : ids_of(text, kind))
      if (meet(span, ids))
        whose = printable(text.substr(0, text.find(':'))) + "\" (" + std::to_string(ids.first) +
                (ids.count == 1 ? "" : ", and " + std::to_string(ids.count - 1) + " more") + ")";
    errno = 0;
  }
  const int error = errno;  // the end sets none
  std::free(line);
  if (error != 0) return fail_errno("read " + file, error);
  if (whose.empty()) return {};
  return fail("uid_span " + span.text() + " has ids that " + file + " gives to \"" + whose + ": " + remedy(span));
}

}  // namespace

Result<> check_span(const UidSpan& span, const std::string& directory) {
  for (const File& file : kFiles) TRY(check_file(span, directory, file));
  return {};
}

}  // namespace sallyport
