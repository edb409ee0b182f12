#include "launcher/dispatch.hpp"

#include <unistd.h>

#include <array>

#include "launcher/say.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::launcher {

Result<std::string> find_program(const std::string& name) {
  char self[limits::kMaxPathBytes];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  if (size <= 0 || size == sizeof self) return fail_errno("find this program's own directory by /proc/self/exe");
  const std::string path(self, static_cast<std::size_t>(size));
  const std::string directory = path.substr(0, path.rfind('/'));
  for (const std::string& candidate : {directory + "/" + name, directory + "/../libexec/sallyport/" + name})
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  return fail(name + " is neither in " + directory + " nor in " + directory + "/../libexec/sallyport");
}

int dispatch(const std::string& verb, const std::vector<std::string>& arguments) {
  // A verb becomes part of a file name: letters, digits and dashes only.
  if (!ProfileName::parse(verb)) {
    complain("no such verb: " + verb);
    return 125;
  }
  const auto program = find_program("sallyport-" + verb);
  if (!program) {
    complain("no such verb: " + verb + " (" + program.error().text() + ")");
    return 125;
  }
  std::vector<char*> pointers = {const_cast<char*>(program->c_str())};
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  ::execv(program->c_str(), pointers.data());
  complain(fail_errno("start " + *program).error().text());
  return 125;
}

}  // namespace sallyport::launcher
