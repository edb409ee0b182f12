// Coroutine helpers: a task's failure reaches its owner by name, waits end at their deadline, channels keep their
// bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "broker/async/outbox.hpp"
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
  Result<Message> receive_right(Descriptors descriptors = Descriptors::Taken) {
    Result<Message> message = fail("nothing arrived");
    auto run = [&]() -> net::awaitable<void> { message = co_await right.receive(descriptors); };
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
  EXPECT_TRUE(std::ranges::equal(message->bytes, bytes_of("hello")));
}

TEST(Channel, WhereDescriptorsAreRefusedTheMessageSaysThatSomeCame) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ChannelPair channels(std::move(*pair), 64);
  const int fds[] = {0};
  ASSERT_TRUE(channels.left.send(bytes_of("with"), fds));
  ASSERT_TRUE(channels.left.send(bytes_of("without")));
  const auto with = channels.receive_right(Descriptors::Refused);
  ASSERT_TRUE(with);
  EXPECT_TRUE(with->fds_refused);
  EXPECT_TRUE(with->fds.empty());
  const auto without = channels.receive_right(Descriptors::Refused);
  ASSERT_TRUE(without);
  EXPECT_FALSE(without->fds_refused);
}

using Word = Text<64>;
std::vector<std::string> words_of(const Message& message) {
  std::vector<std::string> words;
  Reader reader(message.bytes);
  while (reader.left() > 0) {
    Word word;
    if (!decode_next(reader, word)) return {"(malformed)"};
    words.push_back(word.value);
  }
  return words;
}

TEST(Outbox, WhatIsPutBeforeAFlushSharesADatagramInItsOrder) {
  ChannelPair channels(seqpacket_pair().value(), 64);
  Outbox outbox(channels.left);
  for (const char* word : {"one", "two", "three"}) ASSERT_TRUE(outbox.put(Word(word)));
  ASSERT_TRUE(outbox.flush());
  ASSERT_TRUE(outbox.put(Word("four")));
  ASSERT_TRUE(outbox.flush());
  EXPECT_EQ(words_of(*channels.receive_right()), (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(words_of(*channels.receive_right()), (std::vector<std::string>{"four"}));
}

TEST(Outbox, NoDatagramIsLargerThanTheChannelAllowsAndNoMessageIsSplit) {
  ChannelPair channels(seqpacket_pair().value(), 16);  // two words of four letters, each with its length
  Outbox outbox(channels.left);
  for (const char* word : {"aaaa", "bbbb", "cccc"}) ASSERT_TRUE(outbox.put(Word(word)));
  ASSERT_TRUE(outbox.flush());
  EXPECT_EQ(words_of(*channels.receive_right()), (std::vector<std::string>{"aaaa", "bbbb"}));
  EXPECT_EQ(words_of(*channels.receive_right()), (std::vector<std::string>{"cccc"}));
}

TEST(Outbox, AMessageThatNoDatagramHoldsIsRefusedAndTheOthersGo) {
  ChannelPair channels(seqpacket_pair().value(), 16);
  Outbox outbox(channels.left);
  ASSERT_TRUE(outbox.put(Word("good")));
  const auto put = outbox.put(Word(std::string(13, 'x')));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, EMSGSIZE);
  ASSERT_TRUE(outbox.put(Word("too")));
  ASSERT_TRUE(outbox.flush());
  EXPECT_EQ(words_of(*channels.receive_right()), (std::vector<std::string>{"good", "too"}));
}

// A peer that reads steadily and is never quite done: nothing of what has gone is kept, and nothing is lost or twice.
TEST(Outbox, APartialFlushKeepsOnlyTheRestAndItsOrder) {
  ChannelPair channels(seqpacket_pair().value(), 64 * 1024);
  Outbox outbox(channels.left);
  using Large = Text<64 * 1024>;
  std::vector<char> put, heard;
  char next = 'a';
  const auto put_one = [&] {
    put.push_back(next);
    ASSERT_TRUE(outbox.put(Large(std::string(40'000, next))));
    next = next == 'z' ? 'a' : static_cast<char>(next + 1);
  };
  for (int i = 0; i < 12; ++i) put_one();
  bool was_partial = false;
  for (int round = 0; round < 100; ++round) {
    const auto flushed = outbox.flush();
    was_partial |= !flushed;
    const auto message = channels.receive_right();
    ASSERT_TRUE(message);
    Large large;
    ASSERT_TRUE(decode_message<Large>(message->bytes));
    heard.push_back(decode_message<Large>(message->bytes)->value[0]);
    put_one();
  }
  EXPECT_TRUE(was_partial);
  EXPECT_LT(outbox.held_bytes(), 13U * 41'000) << "what was sent is not kept";
  put.resize(heard.size());
  EXPECT_EQ(heard, put);
}

TEST(Outbox, AFullChannelKeepsTheRestForTheNextFlush) {
  ChannelPair channels(seqpacket_pair().value(), 64 * 1024);
  Outbox outbox(channels.left);
  const std::vector<std::byte> large(32 * 1024);
  while (channels.left.send(large)) {
  }
  for (const char* word : {"one", "two"}) ASSERT_TRUE(outbox.put(Word(word)));
  EXPECT_EQ(outbox.flush().error().code, EAGAIN);
  EXPECT_TRUE(outbox.is_full());
  while (channels.receive_right()->bytes.size() == large.size() && !outbox.flush()) {
  }
  EXPECT_FALSE(outbox.is_full());
  for (;;) {
    const auto message = channels.receive_right();
    ASSERT_TRUE(message);
    if (message->bytes.size() == large.size()) continue;
    EXPECT_EQ(words_of(*message), (std::vector<std::string>{"one", "two"}));
    break;
  }
}

}  // namespace
}  // namespace sallyport::async
