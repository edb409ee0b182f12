// The files by which a host gives ids away, as those who read them do: what gives one of the span to anybody is found.
#include <filesystem>
#include <fstream>

#include "sallyport/profile/config.hpp"
#include "unit/temporary_directory.hpp"

namespace sallyport {
namespace {

constexpr UidSpan kSpan{.first = 200'000, .last = 200'099};

class Etc : public testing::Test {
 protected:
  // "" where the span is nobody's.
  std::string said(const std::string& file, const std::string& text) const {
    std::ofstream(directory_ + "/" + file) << text;
    const auto outcome = check_span(kSpan, directory_);
    std::filesystem::remove(directory_ + "/" + file);
    return outcome ? "" : outcome.error().text();
  }
  const tests::TemporaryDirectory made_;
  const std::string directory_ = made_.path();
};

TEST_F(Etc, GivesAnIdOfTheSpanAway) {
  const struct {
    const char *file, *inside, *outside;
  } rows[] = {
      {"passwd", "a:x:200000:5::/:/bin/sh", "a:x:199999:5::/:/bin/sh"},
      {"passwd", "a:x:5:200099::/:/bin/sh", "a:x:5:200100::/:/bin/sh"},
      {"group", "a:x:200099:", "a:x:200100:200000"},
      {"subuid", "a:199999:2", "a:199999:1"},
      {"subuid", "a:200099:1", "a:200100:70000"},
      {"subuid", "a:0x30D3F:2", "a:0x30D3F:1"},
      {"subgid", "a:0:4294967295", "#a:0:4294967295"},
      {"subgid", "b:1:1\na:200050:1", "b:1:1\na:200050:0"},
  };
  for (const auto& row : rows) {
    const std::string inside = said(row.file, row.inside);
    EXPECT_NE(inside.find(directory_ + "/" + row.file + " gives to \"a\" ("), std::string::npos)
        << row.inside << ": " << inside;
    EXPECT_EQ(said(row.file, row.outside), "") << row.outside;
  }
}

TEST_F(Etc, NamesTheIdsAndTheWayOut) {
  const std::string text = said("subuid", "a\x1b:199999:3\n");
  EXPECT_NE(text.find("uid_span 200000-200099 has ids that "), std::string::npos) << text;
  EXPECT_NE(text.find("gives to \"a?\" (199999, and 2 more)"), std::string::npos) << text;
  EXPECT_NE(text.find("name a uid_span in broker.toml that is nobody else's (" + UidSpan{}.text()), std::string::npos)
      << text;
}

TEST_F(Etc, ThatCannotBeReadGivesNobodyTheBenefitOfTheDoubt) {
  std::filesystem::create_directory(directory_ + "/subuid");
  const auto outcome = check_span(kSpan, directory_);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().text().find("read " + directory_ + "/subuid: Is a directory"), std::string::npos)
      << outcome.error().text();
}

TEST(TheDefaultSpan, IsWhatTheExampleSays) {
  std::ifstream example(SALLYPORT_UNITS "/broker.toml");
  const std::string text{std::istreambuf_iterator<char>(example), {}};
  EXPECT_NE(text.find("\n# uid_span = \"" + UidSpan{}.text() + "\"\n"), std::string::npos);
}

}  // namespace
}  // namespace sallyport
