// Any bytes as METHOD and target: a route's object is one that no other reader of the path could take apart.
#include <cstdint>
#include <cstdlib>

#include "broker/gate/route.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return 0;
  const auto found = sallyport::gate::route(text.substr(0, blank), text.substr(blank + 1));
  if (!found) {
    if (found.error().message.empty() || found.error().message.size() > 1024) std::abort();
    return 0;
  }
  const bool many = found->row->path.find("...") != std::string_view::npos;
  for (char c : found->object)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f || (c == '/' && !many))
      std::abort();
  if (found->object == "." || found->object == "..") std::abort();
  return 0;
}
