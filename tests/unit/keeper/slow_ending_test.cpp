// Sessions that end while dockerd takes connections and answers nothing: their launcher is let go before it gives up,
// and hears what is left.
#include "keeper_under_test.hpp"
#include "unit/thorough.hpp"

namespace sallyport::testing_support {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// What the launcher is told last, for its stderr, and when.
struct LastWords {
  std::string left_behind;
  bool done = false;
  std::chrono::steady_clock::duration after{};
};
LastWords end_and_be_told(KeeperUnderTest& keeper) {
  LastWords last;
  const auto begin = std::chrono::steady_clock::now();
  (void)send_datagram(keeper.control(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{})));
  while (!last.done) {
    const auto received = receive_within(keeper.control(), std::chrono::milliseconds(limits::kLauncherWaits).count());
    if (!received || received->bytes.empty()) break;
    const auto word = decode_message<handshake::FromKeeper>(received->bytes);
    if (const auto* left = std::get_if<handshake::LeftBehind>(&*word)) last.left_behind = left->what.value;
    last.done = std::holds_alternative<handshake::Done>(*word);
  }
  last.after = std::chrono::steady_clock::now() - begin;
  return last;
}

TEST(SlowEnding, LetsTheLauncherGoWhenDockerdHasNotAnsweredTheFirstRemoval) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave(
      [](const std::string& request) { return FakeDockerd::Answer{.never = request.starts_with("DELETE ")}; });
  const LastWords last = end_and_be_told(keeper);
  EXPECT_TRUE(last.done);
  EXPECT_THAT(last.left_behind, HasSubstr("container sp-" + keeper.session() + "-db"));
  EXPECT_LT(last.after, limits::kUpstreamDeadline + seconds(3)) << "it does not wait for a second try";
}

TEST(SlowEnding, LetsTheLauncherGoWhereACreateIsNeverAnsweredAndLeavesNoTaskOfTheSession) {
  SALLYPORT_LONG_TEST();
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  // The create is asked again, in another version that dockerd is slow to tell: it is still waited for when the ending
  // gives up.
  keeper.dockerd().behave([creates = std::make_shared<std::atomic<int>>(0)](const std::string& request) {
    FakeDockerd::Answer answer;
    const bool is_create = request.find("/containers/create") != std::string::npos;
    if (is_create && (*creates)++ == 0)
      answer.bytes = FakeDockerd::reply(400, R"({"message":"client version 1.41 is too old"})");
    else if (is_create || request.find("/containers/json") != std::string::npos) answer.never = true;
    if (request.starts_with("GET /version ")) {
      answer.bytes = FakeDockerd::reply(200, R"({"ApiVersion":"1.42","MinAPIVersion":"1.12"})");
      answer.delay_milliseconds = 9000;
    }
    return answer;
  });
  keeper.send(1, keeper.create_request("db"));
  ASSERT_TRUE(eventually([&] { return keeper.dockerd().times("GET /version ") == 2; }));
  const LastWords last = end_and_be_told(keeper);
  EXPECT_TRUE(last.done);
  EXPECT_EQ(last.left_behind, "its last containers are being removed");
  EXPECT_LT(last.after, limits::kLauncherIsHeld + seconds(2));
  EXPECT_THAT(keeper.log(), testing::Not(HasSubstr("of its tasks do not end")));
}

}  // namespace
}  // namespace sallyport::testing_support
