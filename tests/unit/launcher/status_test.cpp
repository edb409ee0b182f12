// The status line is one line of ASCII JSON, whatever the texts in it are.
#include "launcher/status.hpp"

namespace sallyport::launcher {
namespace {

TEST(AStatusLine, SaysHowTheWorkerEnded) {
  RunRecord record{.profile = "w", .instance = "2", .session = "abc", .not_enforced = {"memory"}};
  record.outcome = {.ended = Outcome::Ended::Worker, .worker = ExitStatus{false, 3}, .dropped_output_bytes = 5};
  EXPECT_EQ(
      status_line(record),
      "{\"profile\":\"w\",\"instance\":\"2\",\"session\":\"abc\",\"ended\":\"exited\",\"code\":3,\"signal\":null,"
      "\"time_up\":false,\"dropped_output_bytes\":5,\"not_enforced\":[\"memory\"],\"exit_code\":3,\"reason\":\"\"}\n");
  record.outcome.worker = ExitStatus{true, 9};
  record.outcome.time_up = true;
  const std::string line = status_line(record);
  EXPECT_NE(line.find("\"ended\":\"signalled\",\"code\":null,\"signal\":9,\"time_up\":true"), std::string::npos);
  EXPECT_NE(line.find("\"exit_code\":124"), std::string::npos);
}

TEST(AStatusLine, TellsASandboxThatCouldNotBeBuiltFromAWorkerThatExitsWith125) {
  RunRecord record{.profile = "w"};
  record.outcome = {.ended = Outcome::Ended::NotBuilt, .reason = "why"};
  const std::string not_built = status_line(record);
  record.outcome = {.ended = Outcome::Ended::Worker, .worker = ExitStatus{false, 125}};
  const std::string by_worker = status_line(record);
  for (const std::string& line : {not_built, by_worker}) EXPECT_NE(line.find("\"exit_code\":125"), std::string::npos);
  EXPECT_NE(not_built.find("\"ended\":\"not-built\",\"code\":null"), std::string::npos);
  EXPECT_NE(by_worker.find("\"ended\":\"exited\",\"code\":125"), std::string::npos);
}

TEST(AStatusLine, SaysHowTheWorkerEndedAlsoWhereTheBrokerEndedItsSession) {
  RunRecord record{.profile = "w"};
  record.outcome = {.ended = Outcome::Ended::BrokerGone, .worker = ExitStatus{false, 7}, .reason = "why"};
  const std::string line = status_line(record);
  EXPECT_NE(line.find("\"ended\":\"broker-gone\",\"code\":7,\"signal\":null"), std::string::npos) << line;
  EXPECT_NE(line.find("\"exit_code\":125"), std::string::npos) << line;
}

TEST(AnExitCode, OfAWorkerIsNeverTakenByItsUnitForOneOfAWrongFile) {
  Outcome outcome{.ended = Outcome::Ended::Worker, .worker = ExitStatus{false, 78}};
  EXPECT_EQ(outcome.exit_code(), 78);
  outcome.for_a_unit = true;
  EXPECT_EQ(outcome.exit_code(), 1);
  outcome.worker = ExitStatus{false, 77};
  EXPECT_EQ(outcome.exit_code(), 77);
}

TEST(AnExitCode, SaysOfASandboxThatWasNotBuiltWhoHasToDoSomething) {
  Outcome outcome{.ended = Outcome::Ended::NotBuilt};
  EXPECT_EQ(outcome.exit_code(), 125);
  outcome.is_misconfigured = true;
  EXPECT_EQ(outcome.exit_code(), 78);
  outcome.asked_to_end_by = 15;
  EXPECT_EQ(outcome.exit_code(), 143);
  outcome = {.ended = Outcome::Ended::BrokerGone, .is_misconfigured = true};
  EXPECT_EQ(outcome.exit_code(), 125);
  outcome.asked_to_end_by = 15;
  EXPECT_EQ(outcome.exit_code(), 143);
}

TEST(AnExitCode, OfAUnitWhoseBrokerStopsIsNoFailure) {
  Outcome outcome{.ended = Outcome::Ended::BrokerGone, .broker_stops = true};
  EXPECT_EQ(outcome.exit_code(), 125) << "a caller that waits for a result has none";
  outcome.for_a_unit = true;
  EXPECT_EQ(outcome.exit_code(), 143);
  outcome.broker_stops = false;
  EXPECT_EQ(outcome.exit_code(), 125);
}

TEST(AStatusLine, EscapesWhatIsNotPrintableAscii) {
  RunRecord record{.profile = "a\"b\\c\n\x1b\xff"};
  const std::string line = status_line(record);
  EXPECT_NE(line.find(R"(a\"b\\c\u000a\u001b\u00ff)"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

}  // namespace
}  // namespace sallyport::launcher
