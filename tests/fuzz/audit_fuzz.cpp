// Any bytes as a line of the trail are shown in printable ASCII and four columns, or are no record.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "broker/audit/record.hpp"
#include "broker/audit/show.hpp"
#include "sallyport/ids.hpp"

using namespace sallyport;

static void require(bool holds) {
  if (!holds) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto record = audit::parse_record(line);
  const std::string shown = record ? audit::show(*record) : audit::show_unreadable(line, size);
  require(detail::all(shown, detail::is_printable_ascii));
  require(std::count(shown.begin(), shown.end(), '|') == 3);
  if (record) require(audit::parse_record(audit::ascii_json(line)).has_value());
  return 0;
}
