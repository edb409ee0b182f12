#include "broker/engine/api_version.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::engine {
namespace {

struct Offer {
  const char* sentence;
  const char* oldest;
  const char* newest;
  const char* chosen;
};
class Offered : public testing::TestWithParam<Offer> {};
TEST_P(Offered, VersionIsTheNewestThatBothSpeak) {
  const auto chosen = choose_version({GetParam().newest, GetParam().oldest});
  ASSERT_TRUE(chosen) << GetParam().sentence << ": " << chosen.error().text();
  EXPECT_EQ(chosen->text(), GetParam().chosen) << GetParam().sentence;
}
INSTANTIATE_TEST_SUITE_P(Ranges, Offered,
                         testing::Values(Offer{"dockerd 20.10", "1.12", "1.41", "1.41"},
                                         Offer{"dockerd 26.1", "1.24", "1.45", "1.45"},
                                         Offer{"dockerd 28.5", "1.24", "1.51", "1.51"},
                                         Offer{"dockerd 29.0", "1.44", "1.52", "1.51"},
                                         Offer{"one that offers just our oldest", "1.41", "1.41", "1.41"},
                                         Offer{"one that offers just our newest", "1.51", "1.51", "1.51"},
                                         Offer{"the numbers are no fraction", "1.9", "1.100", "1.51"}));

TEST(ChooseVersion, RefusesADockerdThatIsTooOldAndSaysWhatToDo) {
  const auto chosen = choose_version({"1.40", "1.12"});
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().text(),
            "dockerd speaks API 1.12 to 1.40, and this broker 1.41 to 1.51; install dockerd 20.10 or a later one");
}

TEST(ChooseVersion, RefusesADockerdThatIsTooNewAndSaysWhatToDo) {
  for (const auto& [oldest, newest] : {std::pair{"1.52", "1.60"}, std::pair{"2.0", "2.1"}}) {
    const auto chosen = choose_version({newest, oldest});
    ASSERT_FALSE(chosen);
    EXPECT_EQ(chosen.error().text(), std::string("dockerd speaks API ") + oldest + " to " + newest +
                                         ", and this broker 1.41 to 1.51; install a later Sallyport, or start dockerd "
                                         "with DOCKER_MIN_API_VERSION=1.51 in its environment");
  }
}

TEST(ChooseVersion, TakesNothingThatIsNoVersion) {
  for (const char* text : {"", "1", "1.", ".1", "1.41x", "x", "-1.41", "1.-41", " 1.41", "1.41.0", "1,41",
                           "1.4294967337", "99999999999.1", "1.41\n"}) {
    EXPECT_FALSE(choose_version({text, "1.12"})) << text;
    EXPECT_FALSE(choose_version({"1.51", text})) << text;
    EXPECT_FALSE(ApiVersion::parse(text)) << text;
  }
  EXPECT_FALSE(choose_version({"1.41", "1.51"})) << "a range that is upside down";
}

}  // namespace
}  // namespace sallyport::engine
