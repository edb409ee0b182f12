// What a person sees of a record, and what a worker cannot do to that person's terminal.
#include "broker/audit/show.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "sallyport/ids.hpp"

namespace sallyport::audit {
namespace {

TEST(AuditLine, HasTheFormPeopleKnow) {
  const auto record = parse_record(
      R"({"time":"2026-03-14T10:23:45.123Z","seq":1,"broker":"b","session":"0123456789ab","profile":"worker","event":"request",)"
      R"("decision":"DENY","source":"keeper","method":"POST","endpoint":"/containers/create","object":"","rule":"HostConfig.Binds",)"
      R"("reason":"\"/:/host\" is not allowed","count":1})");
  ASSERT_TRUE(record);
  EXPECT_EQ(show(*record),
            "2026-03-14 10:23:45 | DENY  | POST /containers/create | HostConfig.Binds \"/:/host\" is not allowed "
            "(profile worker, session 0123456789ab)");
}

TEST(AuditLine, PadsTheDecisionSoThatColumnsStandBelowEachOther) {
  AuditRecord record;
  record.time = "2026-03-14T10:23:45Z";
  record.event = "session-open";
  record.decision = "ALLOW";
  EXPECT_EQ(show(record), "2026-03-14 10:23:45 | ALLOW | session-open | ");
  record.decision = "DENY";
  EXPECT_EQ(show(record), "2026-03-14 10:23:45 | DENY  | session-open | ");
}

TEST(AuditLine, SaysWhatAGateOnlyClaimsAndWhatWasCounted) {
  AuditRecord record;
  record.time = "2026-03-14T10:23:45Z";
  record.method = "GET";
  record.endpoint = "/_ping";
  record.decision = "ALLOW";
  record.source = "gate";
  record.count = 120;
  EXPECT_EQ(show(record), "2026-03-14 10:23:45 | ALLOW | GET /_ping | (120 times, as its gate says)");
}

TEST(AuditLine, DoesNotRepeatARuleWithWhichTheReasonBegins) {
  AuditRecord record;
  record.rule = "HostConfig.Binds";
  record.reason = "HostConfig.Binds is not allowed";
  EXPECT_TRUE(show(record).ends_with("| HostConfig.Binds is not allowed"));
  record.reason = "";
  EXPECT_TRUE(show(record).ends_with("| HostConfig.Binds"));
}

struct HostileCase {
  const char* sentence;
  std::string text;
  const char* shown;
};
TEST(AuditLine, EscapesWhatATerminalWouldAct) {
  const HostileCase cases[] = {
      {"clear the screen", "\x1b[2J", "\\x1b[2J"},
      {"an eight-bit CSI",
       "\x9b"
       "2J",
       "\\x9b2J"},
      {"set the window's title", "\x1b]0;x\x07", "\\x1b]0;x\\x07"},
      {"right to left",
       "\xe2\x80\xae"
       "evil",
       "\\xe2\\x80\\xaeevil"},
      {"a line of its own", "a\nb\rc", "a\\x0ab\\x0dc"},
      {"another column", "a | ALLOW | b", "a \\x7c ALLOW \\x7c b"},
      {"its own escape", "\\x1b", "\\\\x1b"},
      {"bytes that are no text", "\xff\xfe", "\\xff\\xfe"},
      {"a NUL and a DEL", std::string("\0\x7f", 2), "\\x00\\x7f"},
      {"plain text", "busybox:1 ~", "busybox:1 ~"},
  };
  for (const HostileCase& one : cases) {
    EXPECT_EQ(escaped(one.text), one.shown) << one.sentence;
    AuditRecord record;
    record.time = record.decision = record.method = record.endpoint = record.object = record.rule = record.reason =
        record.session = record.profile = one.text;
    const std::string line = show(record);
    EXPECT_TRUE(detail::all(line, detail::is_printable_ascii)) << one.sentence;
    EXPECT_EQ(std::count(line.begin(), line.end(), '|'), 3) << one.sentence;
  }
}

// One at a time: what one field leaves out where another is set hides nothing.
TEST(AuditLine, EscapesEachOfItsFields) {
  for (std::string AuditRecord::* field :
       {&AuditRecord::time, &AuditRecord::session, &AuditRecord::profile, &AuditRecord::event, &AuditRecord::decision,
        &AuditRecord::source, &AuditRecord::method, &AuditRecord::endpoint, &AuditRecord::object, &AuditRecord::rule,
        &AuditRecord::reason}) {
    for (const std::string& text : {std::string("\x1b[2J|\n"), "2026-03-14T10:23:45Z" + std::string("\x1b[2J|\n"),
                                    "2026-03-14T10:23:4\x1b" + std::string("[2J|\n"), std::string(40, '\x1b')}) {
      AuditRecord record;
      record.*field = text;
      const std::string line = show(record);
      EXPECT_TRUE(detail::all(line, detail::is_printable_ascii)) << line;
      EXPECT_EQ(std::count(line.begin(), line.end(), '|'), 3) << line;
    }
  }
  EXPECT_TRUE(detail::all(show_unreadable("\x1b[2J\xff", 5), detail::is_printable_ascii));
}

TEST(AuditLine, CutsATextThatIsTooLong) {
  EXPECT_EQ(escaped(std::string(kMaxShownBytes, 'a')), std::string(kMaxShownBytes, 'a'));
  EXPECT_EQ(escaped(std::string(kMaxShownBytes + 1, 'a')), std::string(kMaxShownBytes, 'a') + "... (1025 bytes)");
}

TEST(AuditRecord, IsNothingWhereTheLineIsNoFlatObject) {
  for (const char* wrong :
       {"", "null", "[]", "\"a\"", "{", "{\"time\":\"a\"", "{}x", "{\"a\":[[[[[[1]]]]]]}", "{\"time\":\"\xff\"}"})
    EXPECT_FALSE(parse_record(wrong)) << wrong;
  EXPECT_TRUE(parse_record("{}"));
}

TEST(AuditRecord, TakesAFieldOfAnotherTypeForEmpty) {
  const auto record = parse_record(R"({"time":1,"decision":["DENY"],"count":"many"})");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->time, "");
  EXPECT_EQ(record->decision, "");
  EXPECT_EQ(record->count, 1);
}

TEST(AsciiJson, KeepsTheMeaningWithoutBytesOutsideAscii) {
  EXPECT_EQ(ascii_json(R"({"a":"b"})"), R"({"a":"b"})");
  EXPECT_EQ(ascii_json("{\"a\":\"\xce\xbb\"}"), R"({"a":"\u03bb"})");
  EXPECT_EQ(ascii_json("{\"a\":\"\xe2\x80\xae\"}"), R"({"a":"\u202e"})");
  EXPECT_EQ(ascii_json("{\"a\":\"\xf0\x9f\x98\x80\"}"), R"({"a":"\ud83d\ude00"})");
  EXPECT_EQ(ascii_json("{\"a\":\"\x7f\"}"), R"({"a":"\u007f"})");
  EXPECT_TRUE(detail::all(ascii_json("\xf0\xff\x80"), detail::is_printable_ascii)) << "even where it was no UTF-8";
}

}  // namespace
}  // namespace sallyport::audit
