// A request that two readers take for two different ones is how requests are smuggled.
#include "broker/gate/http_parser.hpp"

#include <gtest/gtest.h>

#include "broker/gate/http_head.hpp"

namespace sallyport::gate {
namespace {

TEST(HttpParser, RefusesAHeadThatItReadsInAnotherWay) {
  const std::string with_length = "POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\n";
  const std::string chunked = "POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
  const struct {
    const char* what;
    const std::string& bytes;
    void (*change)(Head&);
    bool is_taken;
  } cases[] = {
      {"a length, alike", with_length, [](Head&) {}, true},
      {"chunks, alike", chunked, [](Head&) {}, true},
      {"another length", with_length, [](Head& head) { head.content_length = 4; }, false},
      {"no length", with_length, [](Head& head) { head.content_length.reset(); }, false},
      {"chunks instead of a length", with_length, [](Head& head) { head.chunked = true; }, false},
      {"a length instead of chunks", chunked, [](Head& head) { head.content_length = 5; }, false},
      {"no chunks", chunked, [](Head& head) { head.chunked = false; }, false},
      {"another method", with_length, [](Head& head) { head.method = "PUT"; }, false},
      {"another target", with_length, [](Head& head) { head.target = "/b"; }, false},
  };
  for (const auto& one : cases) {
    Head head = check_head(one.bytes).value();
    one.change(head);
    HttpParser parser;
    const auto begun = parser.begin(one.bytes, head, 100);
    EXPECT_EQ(begun.has_value(), one.is_taken) << one.what;
    if (!begun) {
      EXPECT_EQ(begun.error().status, 400) << one.what;
    }
  }
}

}  // namespace
}  // namespace sallyport::gate
