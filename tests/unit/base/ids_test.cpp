// Names and ids: every grammar takes what it is for, and refuses the byte that would make it mean something else.
#include "sallyport/ids.hpp"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

struct Case {
  const char* sentence;
  std::string text;
  bool accepted;
};

template <class T>
void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(T::parse(c.text).has_value(), c.accepted) << c.sentence << ": " << c.text;
}

TEST(ContainerName, IsDockersOwnGrammarWithABound) {
  check<ContainerName>({{"a plain name", "db_1.x-y", true},
                        {"empty", "", false},
                        {"a leading dot", ".db", false},
                        {"a slash", "a/b", false},
                        {"a percent escape", "a%2fb", false},
                        {"a query", "a?b", false},
                        {"a line end", "a\n", false},
                        {"a NUL", std::string("a\0b", 3), false},
                        {"a byte beyond ASCII", "a\xc5\xbf", false},
                        {"exactly the bound", std::string(limits::kMaxNameBytes, 'a'), true},
                        {"one more than the bound", std::string(limits::kMaxNameBytes + 1, 'a'), false}});
}

TEST(ContainerId, IsSixtyFourLowerHexDigitsAndNothingElse) {
  check<ContainerId>({{"64 digits", std::string(64, 'a'), true},
                      {"63 digits", std::string(63, 'a'), false},
                      {"65 digits", std::string(65, 'a'), false},
                      {"an upper case digit", std::string(63, 'a') + "A", false},
                      {"a letter that is no digit", std::string(63, 'a') + "g", false}});
}

TEST(ProfileName, CannotNameAnotherDirectory) {
  check<ProfileName>({{"a plain name", "worker-1", true},
                      {"a dot", "worker.1", false},
                      {"the parent", "..", false},
                      {"a slash", "a/b", false},
                      {"an upper case letter", "Worker", false},
                      {"32 characters", std::string(32, 'a'), true},
                      {"33 characters", std::string(33, 'a'), false}});
}

TEST(ImageRef, HoldsNoCharacterThatMeansAnythingInAPathOrQuery) {
  check<ImageRef>({{"a tag", "docker.io/library/busybox:latest", true},
                   {"a digest", "a/b@sha256:" + std::string(64, '0'), true},
                   {"dot segments", "a/../b", false},
                   {"an empty segment", "a//b", false},
                   {"a query", "a?b", false},
                   {"an escape", "a%2e", false},
                   {"a blank", "a b", false},
                   {"exactly the bound", std::string(limits::kMaxImageRefBytes, 'a'), true},
                   {"one more than the bound", std::string(limits::kMaxImageRefBytes + 1, 'a'), false}});
}

TEST(ImageId, IsASha256Digest) {
  check<ImageId>({{"a digest", "sha256:" + std::string(64, 'f'), true},
                  {"another algorithm", "sha512:" + std::string(64, 'f'), false},
                  {"too short", "sha256:" + std::string(63, 'f'), false}});
}

}  // namespace
}  // namespace sallyport
