#include <cstdio>
#include <memory>
#include <optional>

#include "sallyport/profile/config.hpp"
#include "sallyport/profile/values.hpp"

namespace sallyport {
namespace {

// The third field of the line whose first is `name`: the id in both passwd(5) and group(5).
Result<std::uint32_t> resolve(const std::string& name, const char* file, const char* what) {
  constexpr std::uint64_t kNoId = 0xffff'ffff;  // (uid_t)-1 means "unchanged" to setresuid(2)
  if (const auto number = parse_number(name)) {
    if (*number >= kNoId) return fail(std::string(what) + " " + name + " is not a number a " + what + " can have");
    return static_cast<std::uint32_t>(*number);
  }
  if (name.empty() || name.find(':') != std::string::npos)
    return fail("\"" + name + "\" is not a name a " + what + " can have");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(std::fopen(file, "re"), std::fclose);
  if (!opened) return fail_errno(std::string("open ") + file);
  char* line = nullptr;
  std::size_t capacity = 0;
  std::optional<std::uint64_t> found;
  ssize_t size = 0;
  while (!found && (size = ::getline(&line, &capacity, opened.get())) > 0) {
    std::string_view rest(line, static_cast<std::size_t>(size));
    if (!rest.starts_with(name) || rest.substr(name.size(), 1) != ":") continue;
    rest.remove_prefix(std::min(rest.find(':', name.size() + 1), rest.size() - 1) + 1);
    found = parse_number(rest.substr(0, rest.find(':')));
  }
  std::free(line);
  if (!found || *found >= kNoId)
    return fail(std::string("no ") + what + " " + name + " in " + file + "; make it, or give its number");
  return static_cast<std::uint32_t>(*found);
}

}  // namespace

Result<std::uint32_t> resolve_user(const std::string& name) { return resolve(name, "/etc/passwd", "user"); }
Result<std::uint32_t> resolve_group(const std::string& name) { return resolve(name, "/etc/group", "group"); }

}  // namespace sallyport
