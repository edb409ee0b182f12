// What a client says beside a create's body: bodies of the other requests, types of bodies, and parameters whose values
// become numbers of a typed request. Each with the value at its edge and the one beyond.
#include "broker/gate/typed_request.hpp"

#include <gtest/gtest.h>

#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

using api::Verb;

Head head_of(std::string_view type) {
  Head head;
  head.has_content_type = !type.empty();
  head.content_type = type;
  return head;
}
Outcome<TypedRequest> typed(Verb verb, std::string_view query, std::string_view object = "job") {
  return typed_request(Route{&api::row_of(verb), std::string(object), query}, Head{}, "");
}
int status_of(const auto& outcome) { return outcome ? 0 : outcome.error().status; }
template <class T>
T request_of(Verb verb, std::string_view query) {
  return std::get<T>(typed(verb, query).value().request);
}

TEST(Create, TakesABodyOfJsonAndOfNoOtherType) {
  const Route route{&api::row_of(Verb::Create), "", ""};
  const auto status = [&](std::string_view type) {
    return status_of(typed_request(route, head_of(type), R"({"Image":"busybox"})"));
  };
  for (const char* type : {"application/json", "Application/JSON", "application/json; charset=utf-8",
                           "application/json;charset=\"UTF-8\""})
    EXPECT_EQ(status(type), 0) << type;
  for (const char* type :
       {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/tar",
        "application/json; charset=utf-16", "application/json; charset=utf-8; x=y"})
    EXPECT_EQ(status(type), 400) << type;
}

struct IdleCase {
  Verb verb;
  const char* type;
  const char* body;
  int status;
  const char* sentence;
};
const IdleCase kIdle[] = {
    {Verb::Stop, "", "", 0, "NoBody"},
    {Verb::Stop, "text/plain", "", 0, "ATypeOfNoBody"},
    {Verb::Stop, "application/json", R"({"t":5})", 0, "AsDockerodeSendsIt"},
    {Verb::Stop, "", R"({"t":5})", 0, "ABodyWithoutItsType"},
    {Verb::Stop, "application/x-www-form-urlencoded", R"({"t":5})", 400, "JsonThatIsSaidToBeAForm"},
    {Verb::Stop, "application/json", "null", 0, "Null"},
    {Verb::Stop, "application/json", "[1]", 400, "AList"},
    {Verb::Stop, "application/json", "{", 400, "HalfAnObject"},
    {Verb::Stop, "application/json", R"({"x":1})", 400, "AnUnknownField"},
    {Verb::Stop, "application/json", R"({"x":0,"y":null,"z":""})", 0, "UnknownFieldsOfZero"},
    {Verb::Stop, "application/json", R"({"signal":"KILL"})", 400, "AParameterThatMustBeItsDefault"},
    {Verb::Stop, "application/json", R"({"signal":""})", 0, "AParameterAtItsDefault"},
    {Verb::Stop, "application/json", R"({"t":[5]})", 400, "AListForANumber"},
    {Verb::Stop, "application/json", R"({"t":{"x":5}})", 400, "AnObjectForANumber"},
    {Verb::Start, "application/json", R"({"detachKeys":"ctrl-p"})", 403, "AFieldOfAStart"},
    {Verb::Start, "application/json", R"({"Privileged":true})", 403, "AHostConfigOfAStart"},
    {Verb::Start, "application/json", R"({"Binds":null,"Links":[]})", 0, "AHostConfigOfZerosOfAStart"},
    {Verb::List, "application/json", R"({"x":1})", 400, "AnUnknownFieldOfAList"},
    {Verb::Attach, "application/json", R"({"hijack":true,"stdin":true})", 0, "AnAttachAsDockerodeSendsIt"},
};
class IdleBody : public testing::TestWithParam<IdleCase> {};
TEST_P(IdleBody, SaysNothingThatTheQueryDoesNotSay) {
  const IdleCase& asked = GetParam();
  const Route route{&api::row_of(asked.verb), "job", ""};
  EXPECT_EQ(status_of(typed_request(route, head_of(asked.type), asked.body)), asked.status);
}
INSTANTIATE_TEST_SUITE_P(Of, IdleBody, testing::ValuesIn(kIdle), [](const auto& info) { return info.param.sentence; });

TEST(IdleBody, NeverBecomesAParameter) {
  const Route route{&api::row_of(Verb::Stop), "job", "t=7"};
  const auto stop = typed_request(route, head_of("application/json"), R"({"t":5})");
  EXPECT_EQ(std::get<protocol::StopContainer>(stop.value().request).timeout, 7U);
}

TEST(TypedRequest, OfWhatCanBeNoContainersNameIsOfNoContainer) {
  for (const char* name : {"", "a b", "a/b", "../x", "-a", ".a", "a\x80"})
    EXPECT_EQ(status_of(typed(Verb::Inspect, "", name)), 404) << name;
  EXPECT_EQ(status_of(typed(Verb::Inspect, "", std::string(limits::kMaxNameBytes, 'a'))), 0);
  EXPECT_EQ(status_of(typed(Verb::Inspect, "", std::string(limits::kMaxNameBytes + 1, 'a'))), 404);
}

TEST(TypedRequest, OfLogsNamesAStream) {
  EXPECT_EQ(status_of(typed(Verb::Logs, "follow=1")), 400);
  EXPECT_EQ(status_of(typed(Verb::Logs, "stdout=0&stderr=0")), 400);
  EXPECT_EQ(status_of(typed(Verb::Logs, "stderr=1")), 0);
}

TEST(TypedRequest, OfLogsHoldsTheTailToWhatItsFieldHolds) {
  const auto tail = [](const char* text) {
    return request_of<protocol::ReadLogs>(Verb::Logs, "stdout=1&tail=" + std::string(text)).tail;
  };
  EXPECT_FALSE(tail(""));
  EXPECT_FALSE(tail("all"));
  EXPECT_FALSE(tail("-1"));
  EXPECT_EQ(tail("0"), 0U);
  EXPECT_EQ(tail("4294967295"), 4'294'967'295U);
  EXPECT_EQ(tail("4294967296"), 4'294'967'295U) << "and not none";
  EXPECT_EQ(tail("9223372036854775807"), 4'294'967'295U);
  EXPECT_EQ(status_of(typed(Verb::Logs, "stdout=1&tail=x")), 400);
  EXPECT_EQ(status_of(typed(Verb::Logs, "stdout=1&tail=9223372036854775808")), 400);
}

TEST(TypedRequest, OfAStopHoldsForEverToTheMostThatItsFieldHolds) {
  const auto seconds = [](const char* text) {
    return request_of<protocol::StopContainer>(Verb::Stop, "t=" + std::string(text)).timeout;
  };
  EXPECT_FALSE(seconds(""));
  EXPECT_EQ(seconds("0"), 0U);
  EXPECT_EQ(seconds("4294967295"), 4'294'967'295U);
  EXPECT_EQ(seconds("4294967296"), 4'294'967'295U) << "and not at once";
  EXPECT_EQ(seconds("-1"), 4'294'967'295U);
}

TEST(TypedRequest, OfAResizeTakesWhatATerminalCanHave) {
  const auto status = [](const char* height, const char* width) {
    return status_of(typed(Verb::Resize, "h=" + std::string(height) + "&w=" + width));
  };
  EXPECT_EQ(status("0", "0"), 0);
  EXPECT_EQ(status("65535", "65535"), 0);
  for (const auto& [height, width] :
       {std::pair{"-1", "1"}, {"1", "-1"}, {"65536", "1"}, {"1", "65536"}, {"", "1"}, {"1", ""}})
    EXPECT_EQ(status(height, width), 400) << height << " x " << width;
  const auto resize = request_of<protocol::ResizeContainer>(Verb::Resize, "h=65535&w=1");
  EXPECT_EQ(resize.height, 65'535);
  EXPECT_EQ(resize.width, 1);
}

TEST(TypedRequest, OfAnAttachTakesKeysOfTheirOwnAlphabet) {
  EXPECT_EQ(status_of(typed(Verb::Attach, "detachKeys=ctrl-p,ctrl-%5B,ctrl-%40,ctrl-%5E,ctrl-_,a,1")), 0);
  for (const char* keys : {"A", "%5C", "a%20b", "a.b", "%22", "%C3%A9", "a%0Ab"})
    EXPECT_EQ(status_of(typed(Verb::Attach, "detachKeys=" + std::string(keys))), 400) << keys;
}

}  // namespace
}  // namespace sallyport::gate
