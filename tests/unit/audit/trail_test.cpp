// The files of a trail: their order, what a crash or a hostile line leaves in them, and what the options select.
#include "broker/audit/trail.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "broker/audit/lines.hpp"
#include "sallyport/limits.hpp"
#include "unit/temporary_directory.hpp"

namespace sallyport::audit {
namespace {

class Trail : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const { std::ofstream(directory_ + "/" + name) << text; }
  static std::string record(const std::string& session, const std::string& decision, const std::string& rule) {
    return R"({"time":"2026-03-14T10:23:45Z","event":"request","session":")" + session + R"(","decision":")" +
           decision + R"(","rule":")" + rule + "\"}\n";
  }
  // What was printed, and what was noted beside it.
  std::pair<std::string, std::string> printed(const Query& query = {}) const {
    char* texts[2] = {};
    std::size_t sizes[2] = {};
    std::FILE* out = ::open_memstream(&texts[0], &sizes[0]);
    std::FILE* notes = ::open_memstream(&texts[1], &sizes[1]);
    auto files = open_trail(directory_);
    EXPECT_TRUE(files && print_trail(*std::move(files), query, out, notes));
    std::fclose(out);
    std::fclose(notes);
    std::pair<std::string, std::string> result(std::string(texts[0], sizes[0]), std::string(texts[1], sizes[1]));
    std::free(texts[0]);
    std::free(texts[1]);
    return result;
  }
  static std::size_t lines_of(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  const tests::TemporaryDirectory made_;
  const std::string directory_ = made_.path();
};

TEST_F(Trail, IsReadOldestFirstAcrossRotations) {
  write("audit.jsonl", record("c", "DENY", "third"));
  write("audit.jsonl.1", record("b", "DENY", "second"));
  write("audit.jsonl.2", record("a", "DENY", "first"));
  const std::string text = printed().first;
  EXPECT_LT(text.find("first"), text.find("second"));
  EXPECT_LT(text.find("second"), text.find("third"));
  EXPECT_EQ(lines_of(text), 3U);
}

std::string numbered(int second, int seq, const std::string& rule) {
  return R"({"time":"2026-03-14T10:23:0)" + std::to_string(second) + R"(Z","seq":)" + std::to_string(seq) +
         R"(,"event":"request","decision":"DENY","rule":")" + rule + "\"}\n";
}

TEST_F(Trail, ShowsReadsAndChangesInTheOrderOfTheirTime) {
  write("audit.jsonl.1", numbered(1, 1, "r1"));
  write("audit.jsonl", numbered(1, 3, "r3") + "torn\n" + numbered(5, 6, "r6") + numbered(6, 1, "r7"));
  write("audit.jsonl.reads.1", numbered(1, 2, "r2"));
  write("audit.jsonl.reads", numbered(2, 4, "r4") + numbered(3, 5, "r5") + numbered(7, 2, "r8"));
  const std::string text = printed().first;
  std::size_t last = 0;
  for (int number = 1; number <= 8; ++number) {
    const std::size_t at = text.find("r" + std::to_string(number));
    ASSERT_NE(at, std::string::npos) << number;
    EXPECT_GT(at, last) << text;
    last = at;
  }
  EXPECT_LT(text.find("torn"), text.find("r4")) << "what is no record stays where it stands";
}

TEST_F(Trail, IsReadWhereThereAreReadsOnly) {
  write("audit.jsonl.reads", record("a", "DENY", "only"));
  EXPECT_EQ(lines_of(printed().first), 1U);
}

TEST_F(Trail, ShowsAFileMetUnderTwoNamesOnce) {
  write("audit.jsonl", record("a", "DENY", "only"));
  std::filesystem::create_hard_link(directory_ + "/audit.jsonl", directory_ + "/audit.jsonl.1");
  EXPECT_EQ(lines_of(printed().first), 1U);
}

TEST_F(Trail, SaysThatItsLastLineIsTornAndPrintsTheRest) {
  write("audit.jsonl", record("a", "DENY", "whole") + "{\"time\":\"2026-03");
  const auto [text, notes] = printed();
  EXPECT_EQ(lines_of(text), 1U);
  EXPECT_NE(notes.find("is torn (16 bytes)"), std::string::npos) << notes;
}

TEST_F(Trail, PassesOverAnEmptyLine) {
  write("audit.jsonl", "\n" + record("a", "DENY", "x") + "\n");
  const auto [text, notes] = printed();
  EXPECT_EQ(lines_of(text), 1U);
  EXPECT_EQ(notes, "");
}

TEST_F(Trail, ShowsALineThatIsNoRecordWithoutLosingTheNext) {
  write("audit.jsonl", std::string("\x1b[2J\n") + record("a", "DENY", "next"));
  const std::string text = printed().first;
  EXPECT_NE(text.find("not a record | \\x1b[2J (4 bytes)\n"), std::string::npos) << text;
  EXPECT_NE(text.find("next"), std::string::npos);
}

TEST_F(Trail, PassesALineOfAMebibyteWithoutHoldingIt) {
  write("audit.jsonl", "{\"reason\":\"" + std::string(1 << 20, 'a') + "\"}\n" + record("a", "DENY", "next"));
  const std::string text = printed().first;
  EXPECT_NE(text.find("(1048589 bytes)\n"), std::string::npos) << text.substr(0, 400);
  EXPECT_NE(text.find("next"), std::string::npos);
  EXPECT_LT(text.size(), 1000U);
}

TEST_F(Trail, ShowsTheLongestLineThatIsReadAsARecordAndOneByteMoreAsNone) {
  const auto of_size = [](std::size_t size) {
    const std::string begin = R"({"decision":"DENY","rule":"longest","other":")";
    return begin + std::string(size - begin.size() - 2, 'a') + "\"}\n";
  };
  write("audit.jsonl", of_size(limits::kMaxAuditLineBytes));
  EXPECT_NE(printed().first.find("longest"), std::string::npos);
  EXPECT_EQ(printed().first.find("not a record"), std::string::npos);
  write("audit.jsonl", of_size(limits::kMaxAuditLineBytes + 1));
  EXPECT_NE(printed().first.find("not a record | "), std::string::npos);
  EXPECT_NE(printed().first.find("aaa (262145 bytes)\n"), std::string::npos) << printed().first;
  std::string padded = record("a", "DENY", "longest");  // of which so much as is read would be a record
  padded.insert(padded.size() - 1, limits::kMaxAuditLineBytes, ' ');
  write("audit.jsonl", padded);
  EXPECT_NE(printed().first.find("not a record | "), std::string::npos) << printed().first.substr(0, 400);
}

TEST_F(Trail, ShowsARecordAsDeepAsIsReadAndADeeperLineAsNone) {
  const auto nested = [](int lists) {
    return R"({"decision":"DENY","rule":"deep","x":)" + std::string(lists, '[') + std::string(lists, ']') + "}\n";
  };
  write("audit.jsonl", nested(3));
  EXPECT_EQ(printed().first.find("not a record"), std::string::npos) << printed().first;
  write("audit.jsonl", nested(4));
  EXPECT_NE(printed().first.find("not a record | {"), std::string::npos) << printed().first;
}

TEST_F(Trail, SelectsByTheFirstDigitsOfASessionAndByDecision) {
  write("audit.jsonl", record("abc1", "DENY", "x") + record("abd2", "DENY", "x") + record("abc1", "ALLOW", "x"));
  EXPECT_EQ(lines_of(printed({.session = "abc"}).first), 2U);
  EXPECT_EQ(lines_of(printed({.session = "abc", .decision = "DENY"}).first), 1U);
  EXPECT_EQ(lines_of(printed({.decision = "ALLOW"}).first), 1U);
  EXPECT_EQ(lines_of(printed({.session = "none"}).first), 0U);
}

TEST_F(Trail, GivesTheRecordsThemselvesInAsciiWhenAskedForJson) {
  write("audit.jsonl", "{\"session\":\"\xe2\x80\xae\",\"decision\":\"DENY\"}\nnonsense\n");
  const auto [text, notes] = printed({.json = true});
  EXPECT_EQ(text, "{\"session\":\"\\u202e\",\"decision\":\"DENY\"}\n");
  EXPECT_NE(notes.find("a line of 8 bytes is not a record"), std::string::npos) << notes;
}

TEST_F(Trail, ThatIsNotThereSaysWhereItLooked) {
  const auto files = open_trail(directory_);
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().text().find("no trail in " + directory_), std::string::npos);
}

TEST_F(Trail, OfWhichAPartCannotBeReadIsAnErrorAndNotLessOfATrail) {
  write("audit.jsonl", record("a", "DENY", "newest"));
  std::filesystem::create_directory(directory_ + "/audit.jsonl.1");
  EXPECT_FALSE(open_trail(directory_));
  std::filesystem::remove(directory_ + "/audit.jsonl.1");
  std::filesystem::create_symlink("audit.jsonl.reads", directory_ + "/audit.jsonl.reads");
  EXPECT_FALSE(open_trail(directory_));
  std::filesystem::remove(directory_ + "/audit.jsonl.reads");
  EXPECT_TRUE(open_trail(directory_));
  EXPECT_FALSE(open_files({directory_ + "/audit.jsonl", directory_ + "/nowhere"}));
  LineReader reader(UniqueFd::adopt(::open(directory_.c_str(), O_RDONLY | O_CLOEXEC)));  // no read of it succeeds
  EXPECT_FALSE(reader.next());
}

TEST_F(Trail, ThatCannotBePrintedIsAnError) {
  write("audit.jsonl", record("a", "DENY", "x"));
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  EXPECT_FALSE(print_trail(*open_trail(directory_), {}, full, full));
  std::fclose(full);
}

TEST_F(Trail, SaysNothingToATerminalByTheNameOfAFile) {
  const std::string hostile = directory_ + "/\x1b[2J";
  std::filesystem::create_directory(hostile);
  std::ofstream(hostile + "/audit.jsonl") << "nonsense\n{\"time\"";
  for (const bool json : {false, true}) {
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* notes = ::open_memstream(&text, &size);
    EXPECT_TRUE(print_trail(*open_trail(hostile), {.json = json}, notes, notes));
    std::fclose(notes);
    EXPECT_EQ(std::string_view(text, size).find('\x1b'), std::string_view::npos) << text;
    EXPECT_NE(std::string_view(text, size).find("\\x1b[2J/audit.jsonl is torn"), std::string_view::npos) << text;
    std::free(text);
  }
}

TEST_F(Trail, DoesNotWaitForAFifo) {
  ASSERT_EQ(::mkfifo((directory_ + "/audit.jsonl").c_str(), 0600), 0);
  EXPECT_FALSE(open_trail(directory_));
}

TEST_F(Trail, KeepsLinesWholeAtTheEdgesOfTheBuffer) {
  constexpr std::size_t kBuffer = 64 * 1024;
  for (const std::size_t size :
       {kBuffer - 1, kBuffer, kBuffer + 1, limits::kMaxAuditLineBytes, limits::kMaxAuditLineBytes + 1}) {
    write("audit.jsonl", std::string(size, 'a') + "\nb\n");
    auto files = open_files({directory_ + "/audit.jsonl"});
    ASSERT_TRUE(files);
    LineReader reader(std::move(files->front().front().file));
    const auto first = reader.next();
    ASSERT_TRUE(first && first->has_value());
    EXPECT_EQ((*first)->size, size);
    EXPECT_EQ((*first)->text.size(), std::min(size, limits::kMaxAuditLineBytes));
    const auto second = reader.next();
    ASSERT_TRUE(second && second->has_value());
    EXPECT_EQ((*second)->text, "b");
    const auto end = reader.next();
    EXPECT_TRUE(end && !end->has_value());
  }
}

}  // namespace
}  // namespace sallyport::audit
