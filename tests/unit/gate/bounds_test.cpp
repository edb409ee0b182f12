// What a client hears that asks for one more than a bound: which bound it is, in words that name it. Up to the bound it
// is served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/gate/create_body.hpp"
#include "broker/gate/http_head.hpp"
#include "broker/gate/json_reader.hpp"
#include "broker/gate/route.hpp"
#include "broker/gate/typed_request.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

std::string repeated(std::string_view text, std::size_t count, std::string_view between = ",") {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out.append(i == 0 ? "" : between).append(text);
  return out;
}

// "" where it is served.
template <class T>
std::string refused(const Outcome<T>& outcome) {
  return outcome ? "" : std::to_string(outcome.error().status) + " " + outcome.error().message;
}
std::string creating(const std::string& member) {
  return refused(read_create(*Query::parse(api::Verb::Create, {}), R"({"Image":"busybox",)" + member + "}"));
}
std::string with_headers(std::size_t count) {
  const std::string head = "GET / HTTP/1.1\r\nHost: d\r\n" + repeated("A: b\r\n", count - 1, "") + "\r\n";
  return refused(check_head(head));
}
std::string with_method(std::size_t size) {
  return refused(check_head(std::string(size, 'A') + " / HTTP/1.1\r\nHost: d\r\n\r\n"));
}
std::string with_target(std::string_view method, const std::string& target, std::size_t size) {
  return refused(route(method, target + std::string(size - target.size(), 'a')));
}
std::string with_head(std::size_t size) {
  const std::string begin = "GET / HTTP/1.1\r\nHost: d\r\nX: ";
  return refused(check_head(begin + std::string(size - begin.size() - 4, 'a') + "\r\n\r\n"));
}
std::string with_segments(std::size_t count) {
  return refused(route("GET", "/images" + repeated("/a", count - 2, "") + "/json"));
}
std::string create_with_query(const std::string& query) {
  const auto read = Query::parse(api::Verb::Create, query);
  return read ? refused(read_create(*read, R"({"Image":"busybox"})")) : refused(read);
}
std::string image_of(std::size_t size) { return "r.example/" + std::string(size - 12, 'a') + ":1"; }
std::string of_image(const std::string& image) {
  return refused(read_create(*Query::parse(api::Verb::Create, {}), R"({"Image":")" + image + "\"}"));
}
std::string of_container(api::Verb verb, const std::string& query) {
  return refused(typed_request(Route{&api::row_of(verb), "job", query}, Head{}, ""));
}
std::string logs_since(const std::string& moment) { return of_container(api::Verb::Logs, "stdout=1&since=" + moment); }
std::string members(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
  return text;
}

struct Bound {
  const char* name;
  std::size_t most;
  std::function<std::string(std::size_t)> asks;  // for so many
  std::string words;
};
class ABound : public testing::TestWithParam<Bound> {};
TEST_P(ABound, IsServedAndOneMoreIsToldWhichBoundItIs) {
  EXPECT_EQ(GetParam().asks(GetParam().most), "");
  EXPECT_THAT(GetParam().asks(GetParam().most + 1), testing::StartsWith(GetParam().words));
}

const Bound kBounds[] = {
    {"Target", limits::kMaxTargetBytes, [](auto n) { return with_target("GET", "/_ping?x=", n); },
     "414 the target is longer than is served (8192 bytes)"},
    {"CreateTarget", limits::kMaxCreateTargetBytes,
     [](auto n) { return with_target("POST", "/containers/create?Image=", n); },
     "414 the target is longer than is served (65536 bytes)"},
    {"Headers", limits::kMaxHeaders, with_headers, "431 more headers than are served (64)"},
    {"Method", limits::kMaxMethodBytes, with_method, "400 the method is longer than is served (16 bytes)"},
    {"Head", limits::kMaxHeadBytes, with_head, "431 the request head is larger than is served (81920 bytes)"},
    {"PathSegments", limits::kMaxPathSegments, with_segments, "404 the path is too deep"},
    {"Name", limits::kMaxNameBytes, [](auto n) { return create_with_query("name=" + std::string(n, 'z')); },
     "400 the name \"zzz"},
    {"Platform", limits::kMaxChoiceBytes, [](auto n) { return create_with_query("platform=" + std::string(n, 'x')); },
     "400 the parameter platform "},
    {"User", limits::kMaxUserBytes, [](auto n) { return creating("\"User\":\"" + std::string(n, 'u') + "\""); },
     "400 User is longer than is served (128 bytes)"},
    {"Runtime", limits::kMaxChoiceBytes,
     [](auto n) { return creating("\"HostConfig\":{\"Runtime\":\"" + std::string(n, 'r') + "\"}"); },
     "400 HostConfig.Runtime is longer than is served (64 bytes)"},
    {"ImageRef", limits::kMaxImageRefBytes, [](auto n) { return of_image(image_of(n)); },
     "400 Image " + gate::quoted(image_of(limits::kMaxImageRefBytes)) +
         " is not allowed: the image reference is longer than is served (512 bytes)"},
    {"Tag", limits::kMaxTagBytes, [](auto n) { return of_image("busybox:" + std::string(n, 't')); },
     "400 Image " + gate::quoted("busybox:" + std::string(limits::kMaxTagBytes, 't')) +
         " is not allowed: the image's tag is not valid"},
    {"Timestamp", limits::kMaxTimestampBytes, [](auto n) { return logs_since("1." + std::string(n - 2, '0')); },
     "400 the parameter since "},
    {"Seconds", 9'223'372'035, [](auto n) { return logs_since(std::to_string(n)); }, "400 the parameter since "},
    {"DetachKeys", limits::kMaxDetachKeysBytes,
     [](auto n) { return of_container(api::Verb::Attach, "detachKeys=" + std::string(n, 'a')); },
     "400 the parameter detachKeys "},
    {"JsonDepth", limits::kMaxJsonDepth,
     [](auto n) { return refused(read_json(std::string(n, '[') + std::string(n, ']'))); },
     "400 the JSON is nested deeper than is served (32)"},
    {"JsonValues", limits::kMaxJsonValues - 1,  // and the list itself
     [](auto n) { return refused(read_json("[" + repeated("0", n) + "]")); },
     "400 the JSON is not served: it holds more values than are served (20000)"},
    {"JsonMembers", limits::kMaxJsonMembers, [](auto n) { return refused(read_json("{" + members(n) + "}")); },
     "400 the JSON is not served: an object holds more members than are served (1024)"},
    {"Arguments", limits::kMaxArguments, [](auto n) { return creating("\"Cmd\":[" + repeated("\"x\"", n) + "]"); },
     "400 Cmd has more entries than are served (1024)"},
    {"ArgumentBytes", limits::kMaxArgumentBytes,
     [](auto n) { return creating("\"Cmd\":[\"" + std::string(n, 'x') + "\"]"); },
     "400 Cmd has an entry that is longer than is served (98304 bytes)"},
    {"Environment", limits::kMaxEnvironmentEntries,
     [](auto n) { return creating("\"Env\":[" + repeated("\"A=b\"", n) + "]"); },
     "400 Env has more entries than are served (512)"},
    {"Labels", limits::kMaxLabels,
     [](auto n) {
       return creating("\"Labels\":{" + [n] {
         std::string text;
         for (std::size_t i = 0; i < n; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"\"";
         return text;
       }() + "}");
     },
     "400 Labels has more entries than are served (256)"},
    {"LabelBytes", limits::kMaxLabelBytes,
     [](auto n) { return creating(R"("Labels":{"a":")" + std::string(n, 'x') + "\"}"); },
     "400 Labels \"a\" is longer than is served (4096 bytes)"},
    {"LabelKeyBytes", limits::kMaxLabelKeyBytes,
     [](auto n) { return creating("\"Labels\":{\"" + std::string(n, 'x') + "\":\"\"}"); },
     "400 Labels has a key that is longer than is served (256 bytes)"},
    {"Options", limits::kMaxOptions,
     [](auto n) {
       return creating(R"("HostConfig":{"Ulimits":[)" + repeated(R"({"Name":"core","Soft":0,"Hard":0})", n) + "]}");
     },
     "400 HostConfig.Ulimits has more entries than are served (16)"},
    {"Path", limits::kMaxPathBytes,
     [](auto n) { return creating("\"WorkingDir\":\"/" + std::string(n - 1, 'x') + "\""); },
     "400 WorkingDir is longer than is served (4096 bytes)"},
    {"Hostname", limits::kMaxHostnameBytes,
     [](auto n) { return creating("\"Hostname\":\"" + std::string(n, 'x') + "\""); },
     "400 Hostname is longer than is served (63 bytes)"},
};
INSTANTIATE_TEST_SUITE_P(Of, ABound, testing::ValuesIn(kBounds),
                         [](const testing::TestParamInfo<Bound>& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sallyport::gate
