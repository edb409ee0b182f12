#include "broker/gate/timestamp.hpp"

#include <random>
#include <string>

#include "broker/gate/typed_request.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct TimeCase {
  std::string text;
  std::optional<std::int64_t> nanoseconds;
};
const TimeCase kTimes[] = {
    {"0", 0},
    {"1700000000", 1'700'000'000 * kSecond},
    {"+5", 5 * kSecond},
    {"-5", -5 * kSecond},
    {"-0.5", -kSecond / 2},
    {"1.5", 3 * kSecond / 2},
    {"1.000000001", kSecond + 1},
    {"1.1234567891234", kSecond + 123'456'789},
    {"9223372035", 9'223'372'035 * kSecond},
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01", 0},
    {"2000-02-29T23:59:59Z", 951'868'799 * kSecond},
    {"2026-01-31T23:59:59.25Z", 1'769'903'999 * kSecond + kSecond / 4},
    {"2026-01-31T23:59", 1'769'903'940 * kSecond},
    {"2026-01-31T23:59:59", 1'769'903'999 * kSecond},
    {"2026-01-31T23:59:59+02:00", 1'769'896'799 * kSecond},
    {"2026-01-31T23:59:59-05:30", 1'769'923'799 * kSecond},
    {"1969-12-31T23:59:59.5Z", -kSecond / 2},
    {"1700-01-01T00:00:00Z", -8'520'336'000 * kSecond},
    {"2262-01-01T00:00:00Z", 9'214'646'400 * kSecond},
    // Their twins.
    {"", {}},
    {"+", {}},
    {"-", {}},
    {".5", {}},
    {"1.", {}},
    {"1e9", {}},
    {" 1", {}},
    {"1 ", {}},
    {"0x1", {}},
    {"1.5.5", {}},
    {"5.-1", {}},
    {"9223372037", {}},
    {"99999999999999999999999", {}},
    {"10m", {}},
    {"1h", {}},
    {"2026-02-29", {}},
    {"1900-02-29", {}},
    {"2026-13-01", {}},
    {"2026-00-01", {}},
    {"2026-01-00", {}},
    {"2026-04-31", {}},
    {"26-01-01", {}},
    {"2026-1-1", {}},
    {"12026-01-01", {}},
    {"0000-01-01", {}},
    {"2026-01-01T24:00:00Z", {}},
    {"2026-01-01T00:60:00Z", {}},
    {"2026-01-01T00:00:60Z", {}},
    {"2026-01-01T00Z", {}},
    {"2026-01-01T00:00:00.Z", {}},
    {"2026-01-01t00:00:00z", {}},
    {"2026-01-01 00:00:00Z", {}},
    {"2026-01-01T00:00:00+2:00", {}},
    {"2026-01-01T00:00:00+0200", {}},
    {"2026-01-01T00:00:00+24:00", {}},
    {"2026-01-01T00:00:00ZZ", {}},
    {"2263-01-01T00:00:00Z", {}},
    {"0001-01-01T00:00:00Z", {}},
    {"9999-12-31T23:59:59Z", {}},
    {"-2026-01-01", {}},
    {std::string("2026-01-01\0", 11), {}},
};
TEST(Timestamp, IsSecondsOrADateAndTime) {
  for (const TimeCase& one : kTimes) EXPECT_EQ(timestamp_of(one.text), one.nanoseconds) << one.text;
}

TEST(Timestamp, IsHeldToItsLength) {
  const std::string longest = "1." + std::string(limits::kMaxTimestampBytes - 2, '0');
  EXPECT_EQ(timestamp_of(longest), kSecond);
  EXPECT_FALSE(timestamp_of(longest + "0"));
}

protocol::ReadLogs logs(std::string_view query) {
  const Route route{&api::row_of(api::Verb::Logs), "job", query};
  const auto typed = typed_request(route, Head{}, "");
  return typed ? std::get<protocol::ReadLogs>(typed->request) : protocol::ReadLogs{.since_nanoseconds = -1};
}

// A bound of the epoch or before would read as no bound at the keeper.
TEST(Logs, OfABoundBeforeTheEpochAreNotWithoutBound) {
  EXPECT_EQ(logs("stdout=1&until=2026-01-31T23:59:59Z").until_nanoseconds, 1'769'903'999 * kSecond);
  EXPECT_EQ(logs("stdout=1&since=2026-01-31T23:59:59%2B02:00").since_nanoseconds, 1'769'896'799 * kSecond);
  EXPECT_EQ(logs("stdout=1&until=0").until_nanoseconds, 0);
  EXPECT_EQ(logs("stdout=1&until=").until_nanoseconds, 0);
  for (const char* early : {"-5", "1969-01-01", "1970-01-01T00:00:00Z", "0.0"})
    EXPECT_EQ(logs(std::string("stdout=1&until=") + early).until_nanoseconds, 1) << early;
  EXPECT_EQ(logs("stdout=1&since=yesterday").since_nanoseconds, -1);
  EXPECT_EQ(logs("stdout=1&since=2026-01-31T23:59:59+02:00").since_nanoseconds, -1);  // '+' is a blank in a query
}

}  // namespace
}  // namespace sallyport::gate
