// Coroutine helpers: a task's failure reaches its owner by name, waits end at their deadline, channels keep their
// bounds.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "broker/async/channel.hpp"
#include "broker/async/tasks.hpp"

namespace sallyport::async {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

net::awaitable<void> fails() {
  co_await sleep_for(1ms);
  throw std::runtime_error("broken");
}
net::awaitable<Result<int>> answers_after(std::chrono::milliseconds duration) {
  co_await sleep_for(duration);
  co_return 42;
}

TEST(TaskGroup, AnExceptionReachesTheHandlerWithTheTasksName) {
  net::io_context context(1);
  std::string seen;
  TaskGroup group(context.get_executor(),
                  [&](const std::string& task, const std::string& what) { seen = task + ": " + what; });
  group.spawn("copy logs", fails());
  context.run();
  EXPECT_EQ(seen, "copy logs: broken");
}

TEST(TaskGroup, CancelledTasksEndAndAreNoBugs) {
  net::io_context context(1);
  bool bug = false;
  TaskGroup group(context.get_executor(), [&](const std::string&, const std::string&) { bug = true; });
  group.spawn("wait", sleep_for(1h));
  context.poll();
  EXPECT_EQ(group.running(), 1U);
  group.cancel();
  context.restart();
  context.run_for(2s);
  EXPECT_EQ(group.running(), 0U);
  EXPECT_FALSE(bug);
}

TEST(Within, AnAnswerInTimeIsTheResult) {
  net::io_context context(1);
  Result<int> result = fail("not run");
  auto run = [&]() -> net::awaitable<void> { result = co_await within<int>(2s, answers_after(1ms)); };
  net::co_spawn(context, run(), net::detached);
  context.run();
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_EQ(*result, 42);
}

TEST(Within, APassedDeadlineIsAnErrorThatSaysSo) {
  net::io_context context(1);
  Result<int> result = 0;
  auto run = [&]() -> net::awaitable<void> { result = co_await within<int>(5ms, answers_after(1h)); };
  net::co_spawn(context, run(), net::detached);
  context.run_for(5s);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ETIMEDOUT);
}

struct ChannelPair {
  net::io_context context{1};
  Channel left;
  Channel right;
  explicit ChannelPair(std::pair<UniqueFd, UniqueFd> sockets, std::size_t bound, Sending sending = Sending::WithSendmsg)
      : left(context.get_executor(), std::move(sockets.first), bound, sending),
        right(context.get_executor(), std::move(sockets.second), bound, sending) {}
  Result<Message> receive_right() {
    Result<Message> message = fail("nothing arrived");
    auto run = [&]() -> net::awaitable<void> { message = co_await right.receive(); };
    net::co_spawn(context, run(), net::detached);
    context.restart();
    context.run_for(2s);
    return message;
  }
};

TEST(Channel, CarriesADatagramOfExactlyItsBoundAndRefusesOneByteMore) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ChannelPair channels(std::move(*pair), 16);
  ASSERT_TRUE(channels.left.send(bytes_of(std::string(16, 'a'))));
  const auto message = channels.receive_right();
  ASSERT_TRUE(message) << message.error().text();
  EXPECT_EQ(message->bytes.size(), 16U);
  const auto sent = channels.left.send(bytes_of(std::string(17, 'a')));
  if (sent) {
    EXPECT_FALSE(channels.receive_right());
  }
}

TEST(Channel, AClosedPeerIsAnEmptyMessage) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ChannelPair channels(std::move(*pair), 16);
  channels.left.close();
  const auto message = channels.receive_right();
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->bytes.empty());
}

TEST(Channel, APeerThatDoesNotReadIsAnErrorAndNotAHang) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ChannelPair channels(std::move(*pair), 64 * 1024);
  const std::vector<std::byte> large(32 * 1024);
  Result<> sent;
  for (int i = 0; i < 10'000 && sent; ++i) sent = channels.left.send(large);
  EXPECT_FALSE(sent);
}

TEST(Channel, WhereSendingIsWithWriteADescriptorIsRefusedAndBytesArrive) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ChannelPair channels(std::move(*pair), 64, Sending::WithWrite);
  const int fds[] = {0};
  EXPECT_FALSE(channels.left.send(bytes_of("x"), fds));
  ASSERT_TRUE(channels.left.send(bytes_of("hello")));
  const auto message = channels.receive_right();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes, bytes_of("hello"));
}

}  // namespace
}  // namespace sallyport::async
