// Any bytes as a request: what the strict check accepts, Beast must read in the same way or refuse.
#include <cstdint>
#include <cstdlib>

#include "broker/gate/http_parser.hpp"
#include "sallyport/limits.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const gate::HeadScan scan = gate::scan_head(bytes, 0);
  // The scan gives the same answer however the bytes arrive.
  std::size_t scanned = 0;
  gate::HeadScan piecewise;
  while (scanned < size && piecewise.state == gate::HeadScan::State::Incomplete) {
    piecewise = gate::scan_head(bytes.substr(0, scanned + 1), scanned);
    ++scanned;
  }
  if (piecewise.state != scan.state) std::abort();
  if (scan.state != gate::HeadScan::State::Complete) return 0;
  const std::string_view head_bytes = bytes.substr(0, scan.end);
  const auto head = gate::check_head(head_bytes);
  if (!head) return 0;
  gate::HttpParser parser;
  if (!parser.begin(head_bytes, *head, limits::kMaxCreateBodyBytes)) return 0;
  std::string_view rest = bytes.substr(scan.end);
  while (!parser.done() && !rest.empty()) {
    const auto used = parser.feed(rest);
    if (!used) return 0;
    if (*used == 0) break;
    rest.remove_prefix(*used);
  }
  // The body too is the same however its bytes arrive.
  gate::HttpParser dripped;
  if (!dripped.begin(head_bytes, *head, limits::kMaxCreateBodyBytes)) std::abort();
  const std::string_view body = bytes.substr(scan.end);
  std::size_t taken = 0;
  for (std::size_t end = 1; end <= body.size() && !dripped.done(); ++end) {
    const auto used = dripped.feed(body.substr(taken, end - taken));
    if (!used) return 0;
    taken += *used;
  }
  if (dripped.done() != parser.done() || (parser.done() && dripped.body() != parser.body())) std::abort();
  if (parser.body().size() > limits::kMaxCreateBodyBytes) std::abort();
  if (head->content_length && parser.body().size() > *head->content_length) std::abort();
  return 0;
}
