#include "broker/gate/route.hpp"

namespace sallyport::gate {
namespace {

struct RouteCase {
  const char* method;
  const char* target;
  int status;      // 0: routed
  api::Verb verb;  // of what is routed; None for a row that is refused
  const char* object;
  const char* sentence;
};
const RouteCase kRoutes[] = {
    {"GET", "/_ping", 0, api::Verb::Ping, "", "PingWithoutAVersion"},
    {"HEAD", "/v1.41/_ping", 0, api::Verb::Ping, "", "HeadPingWithAVersion"},
    {"GET", "/v1.24/containers/json?all=1", 0, api::Verb::List, "", "TheOldestVersion"},
    {"GET", "/v1.23/containers/json", 400, api::Verb::None, "", "AVersionTooOld"},
    {"GET", "/v1.42/containers/json", 0, api::Verb::List, "", "AVersionNewerThanTheOldestDockerd"},
    {"GET", "/v1.51/containers/json", 0, api::Verb::List, "", "TheNewestVersion"},
    {"GET", "/v1.52/containers/json", 400, api::Verb::None, "", "AVersionTooNew"},
    {"GET", "/v1.99/_ping", 400, api::Verb::None, "", "APingOfAVersionTooNew"},
    {"GET", "/v4.3.1/libpod/_ping", 404, api::Verb::None, "", "PodmansOwnPing"},
    {"POST", "/v4.3.1/libpod/containers/create", 404, api::Verb::None, "", "PodmansOwnCreate"},
    {"GET", "/v1.41/libpod/containers/json", 404, api::Verb::None, "", "PodmansOwnBehindAVersionOfOurs"},
    {"GET", "/containers/libpod/json", 0, api::Verb::Inspect, "libpod", "AContainerNamedAsPodmansOwn"},
    {"DELETE", "/containers/libpod", 0, api::Verb::Remove, "libpod", "RemoveOfAContainerNamedAsPodmansOwn"},
    {"GET", "/v4.3.1/containers/json", 400, api::Verb::None, "", "AVersionOfThreePartsThatIsNotPodmans"},
    {"GET", "/v1.041/containers/json", 400, api::Verb::None, "", "AVersionWithALeadingZero"},
    {"GET", "/v01.41/containers/json", 400, api::Verb::None, "", "AMajorWithALeadingZero"},
    {"GET", "/v1.41.0/containers/json", 400, api::Verb::None, "", "AVersionOfThreeParts"},
    {"GET", "/v1..41/containers/json", 400, api::Verb::None, "", "AVersionWithTwoDots"},
    {"GET", "/v.../containers/json", 400, api::Verb::None, "", "AVersionOfDots"},
    {"GET", "/v1/containers/json", 400, api::Verb::None, "", "AVersionWithoutMinor"},
    {"GET", "/v999/containers/json", 400, api::Verb::None, "", "AVersionWithoutDot"},
    {"GET", "/v1.%34%31/containers/json", 400, api::Verb::None, "", "AnEncodedVersion"},
    {"GET", "/%761.41/containers/json", 404, api::Verb::None, "", "AnEncodedVersionLetter"},
    {"GET", "/V1.41/containers/json", 404, api::Verb::None, "", "AnUpperCaseVersion"},
    {"GET", "/v1.41/v1.41/containers/json", 404, api::Verb::None, "", "TwoVersions"},
    {"GET", "/v1.41", 404, api::Verb::None, "", "AVersionAlone"},
    {"GET", "/version", 0, api::Verb::Version, "", "VersionIsNoVersionPrefix"},
    {"GET", "/", 404, api::Verb::None, "", "TheRoot"},
    {"GET", "//containers/json", 404, api::Verb::None, "", "AnEmptyFirstSegment"},
    {"GET", "/containers//json", 404, api::Verb::None, "", "AnEmptySegment"},
    {"GET", "/containers/json/", 404, api::Verb::None, "", "ATrailingSlash"},
    {"GET", "/./containers/json", 400, api::Verb::None, "", "ADotSegment"},
    {"GET", "/_ping/../containers/json", 400, api::Verb::None, "", "ADotDotSegment"},
    {"GET", "/_ping/%2e%2e/containers/json", 400, api::Verb::None, "", "AnEncodedDotDot"},
    {"GET", "/containers/a%2fjson", 400, api::Verb::None, "", "AnEncodedSlash"},
    {"GET", "/containers/%2Fvictim/json", 400, api::Verb::None, "", "AnEncodedLeadingSlash"},
    {"GET", "/cont%61iners/json", 404, api::Verb::None, "", "AnEncodedLiteral"},
    {"GET", "/containers/json%00", 400, api::Verb::None, "", "AnEncodedNul"},
    {"GET", "/containers/a%0ab/json", 400, api::Verb::None, "", "AnEncodedLineFeed"},
    {"GET", "/containers/a%zz/json", 400, api::Verb::None, "", "ABadEscape"},
    {"GET", "/containers/a%2/json", 400, api::Verb::None, "", "AShortEscape"},
    {"GET", "/containers/a;x/json", 400, api::Verb::None, "", "ASemicolon"},
    {"GET", "/v1.41\\containers\\json", 400, api::Verb::None, "", "Backslashes"},
    {"GET", "/containers/json#/../images/json", 400, api::Verb::None, "", "AFragment"},
    {"GET", "/containers/a#b/json", 400, api::Verb::None, "", "AHashInAName"},
    {"GET", "/containers/a%23b/json", 400, api::Verb::None, "", "AnEncodedHash"},
    {"GET", "/containers/a\\b/json", 400, api::Verb::None, "", "ABackslashInAName"},
    {"GET", "/containers/a%5Cb/json", 400, api::Verb::None, "", "AnEncodedBackslash"},
    {"GET", "/containers/a%3Bb/json", 400, api::Verb::None, "", "AnEncodedSemicolon"},
    {"GET", "/containers/a%7Fb/json", 400, api::Verb::None, "", "AnEncodedDelete"},
    {"GET", "/containers/a%C3%A9/json", 400, api::Verb::None, "", "AnEncodedLetterOutsideOfAscii"},
    {"GET", "/containers/a%20b/json", 0, api::Verb::Inspect, "a b", "AnEncodedBlankIsOfNoContainer"},
    {"GET", "/containers/%2e/json", 400, api::Verb::None, "", "AnEncodedDot"},
    {"GET", "/containers/a\x7f/json", 400, api::Verb::None, "", "ADelete"},
    {"GET", "/containers/a\xc3\xa9/json", 400, api::Verb::None, "", "ALetterOutsideOfAscii"},
    {"GET", "/containers/%76ictim/json", 0, api::Verb::Inspect, "victim", "AnEncodedNameIsDecodedOnce"},
    {"GET", "/containers/%2576ictim/json", 0, api::Verb::Inspect, "%76ictim", "ATwiceEncodedNameIsNotDecodedTwice"},
    {"GET", "/containers/a+b/json", 0, api::Verb::Inspect, "a+b", "APlusInAPathIsAPlus"},
    {"DELETE", "/containers/x?force=1", 0, api::Verb::Remove, "x", "Remove"},
    {"GET", "/containers/x", 404, api::Verb::None, "", "AMethodThatHasNoRow"},
    {"POST", "/containers/json", 404, api::Verb::None, "", "AnotherMethodOfAnEndpoint"},
    {"PATCH", "/containers/json", 404, api::Verb::None, "", "AMethodThatDockerDoesNotHave"},
    {"POST", "/containers/P/al/exec", 404, api::Verb::None, "", "ALegacyLinkAlias"},
    {"POST", "/containers/x/exec", 0, api::Verb::None, "x", "ExecHasARowThatRefuses"},
    {"GET", "/images/a/b/c/json", 0, api::Verb::None, "a/b/c", "AnImageOfManySegments"},
    {"GET", "/networks/", 404, api::Verb::None, "", "NetworksWithASlash"},
    {"POST", "/debug/pprof/cmdline", 404, api::Verb::None, "", "DebugByAnotherMethod"},
    {"GET", "/metrics", 404, api::Verb::None, "", "Metrics"},
    {"GET", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", 404, api::Verb::None, "", "APathTooDeep"},
};

class RouteTest : public testing::TestWithParam<RouteCase> {};
TEST_P(RouteTest, IsRoutedOrRefused) {
  const RouteCase& expected = GetParam();
  const auto found = route(expected.method, expected.target);
  ASSERT_EQ(found.has_value() ? 0 : found.error().status, expected.status) << (found ? "" : found.error().message);
  if (!found) return;
  EXPECT_EQ(found->row->verb, expected.verb);
  EXPECT_EQ(found->object, expected.object);
}
INSTANTIATE_TEST_SUITE_P(Targets, RouteTest, testing::ValuesIn(kRoutes),
                         [](const auto& info) { return info.param.sentence; });

TEST(Route, SaysInDockersWordsThatAVersionIsTooNew) {
  const auto found = route("GET", "/v1.99/info");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "client version 1.99 is too new. Maximum supported API version is 1.51");
}

TEST(Route, HoldsTargetsToTheirCeilings) {
  const auto padded = [](std::string base, std::size_t size) { return base + std::string(size - base.size(), 'a'); };
  EXPECT_TRUE(route("GET", padded("/_ping?x=", limits::kMaxTargetBytes)));
  EXPECT_EQ(route("GET", padded("/_ping?x=", limits::kMaxTargetBytes + 1)).error().status, 414);
  EXPECT_TRUE(route("POST", padded("/containers/create?Image=", limits::kMaxCreateTargetBytes)));
  EXPECT_EQ(route("POST", padded("/containers/create?Image=", limits::kMaxCreateTargetBytes + 1)).error().status, 414);
}

}  // namespace
}  // namespace sallyport::gate
