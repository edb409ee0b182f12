#include "broker/gate/query.hpp"

namespace sallyport::gate {
namespace {

using api::Verb;

struct QueryCase {
  Verb verb;
  const char* text;
  int status;  // 0: accepted
  const char* sentence;
};
const QueryCase kQueries[] = {
    {Verb::Logs, "stdout=True&stderr=False&follow=1", 0, "PythonBooleans"},
    {Verb::Logs, "stdout=TRUE", 400, "OtherBooleans"},
    {Verb::Logs, "stdout=2", 400, "ANumberForABoolean"},
    {Verb::Logs, "stdout", 0, "ABareKeyIsFalse"},
    {Verb::Logs, "stdout=1&stdout=1", 400, "AKeyTwice"},
    {Verb::Logs, "stdout=1&st%64out=0", 400, "AKeyTwiceInTwoSpellings"},
    {Verb::Logs, "Stdout=1", 400, "AKeyInAnotherCase"},
    {Verb::Logs, "details=0", 0, "DetailsOff"},
    {Verb::Logs, "details=1", 403, "DetailsOn"},
    {Verb::Kill, "signal=CONT;signal=KILL", 400, "ASemicolon"},
    {Verb::Kill, "x=%zz&signal=KILL", 400, "ABadEscape"},
    {Verb::Kill, "signal=%00", 400, "ANul"},
    {Verb::Kill, "t=1", 400, "AKeyOfAnotherEndpoint"},
    {Verb::Stop, "t=10", 0, "ANumber"},
    {Verb::Stop, "t=1e1", 400, "AnExponent"},
    {Verb::Stop, "t=9223372036854775808", 400, "ANumberAbove64Bits"},
    {Verb::Stop, "t=", 0, "AnEmptyNumber"},
    {Verb::Start, "checkpoint=", 0, "AnEmptyCheckpoint"},
    {Verb::Start, "checkpoint=x", 403, "ACheckpoint"},
    {Verb::Create, "name=a&platform=", 0, "AnEmptyPlatform"},
    {Verb::Create, "platform=linux%2Farm64", 0, "APlatform"},
    {Verb::Create, "name=a&name=b", 400, "TwoNames"},
    {Verb::Create, "Image=busybox&Cmd=echo&Cmd=hi&HostConfig=%7B%7D&name=x", 0, "TheWholeBodyAsDockerodeRepeatsIt"},
    {Verb::Create, "HostConfig.Privileged=1", 400, "APathThatIsNoTopLevelField"},
    {Verb::Remove, "link=1", 403, "ALink"},
    {Verb::List, "limit=-1&all=0&size=0&trunc_cmd=0", 0, "TheListOfDockerPy"},
    {Verb::Ping, "x=1", 400, "AnyKeyOfPing"},
    {Verb::Ping, "&&", 0, "NothingBetweenAmpersands"},
};

class QueryTest : public testing::TestWithParam<QueryCase> {};
TEST_P(QueryTest, IsAcceptedOrRefused) {
  const auto query = Query::parse(GetParam().verb, GetParam().text);
  EXPECT_EQ(query.has_value() ? 0 : query.error().status, GetParam().status);
}
INSTANTIATE_TEST_SUITE_P(Queries, QueryTest, testing::ValuesIn(kQueries),
                         [](const auto& info) { return info.param.sentence; });

TEST(Query, DecodesOnceAndTakesPlusForABlank) {
  const auto query = Query::parse(Verb::List, "filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->text("filters"), R"({"label": ["a=b"]})");
}

}  // namespace
}  // namespace sallyport::gate
