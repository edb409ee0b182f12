// The pumps: every byte, in order, within the budget, and never blocked by a reader who stops.
#include "launcher/pumps.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace sallyport::launcher {
namespace {

struct Pipe {
  UniqueFd read_end, write_end;
};
Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
}

void put(const UniqueFd& into, const std::string& text) {
  EXPECT_EQ(::write(into.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string take(const UniqueFd& from) {
  std::string text(1 << 20, '\0');
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);
  const ssize_t size = ::read(from.get(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

void pump_until_idle(OutputPump& pump) {
  while (auto wanted = pump.wanted()) {
    if (::poll(&*wanted, 1, 0) != 1) return;
    pump.step();
  }
}

TEST(AnOutputPump, CarriesBytesAndEndsWithItsSource) {
  Pipe source = make_pipe(), sink = make_pipe();
  OutputBudget budget(100);
  OutputPump pump(std::move(source.read_end), sink.write_end.get(), budget);
  put(source.write_end, "hello");
  pump_until_idle(pump);
  EXPECT_EQ(take(sink.read_end), "hello");
  EXPECT_FALSE(pump.done());
  source.write_end.reset();
  pump_until_idle(pump);
  EXPECT_TRUE(pump.done());
}

TEST(AnOutputPump, DropsAndCountsWhatIsBeyondTheBudgetThatTwoPumpsShare) {
  Pipe first = make_pipe(), second = make_pipe(), sink = make_pipe();
  OutputBudget budget(6);
  OutputPump one(std::move(first.read_end), sink.write_end.get(), budget);
  OutputPump two(std::move(second.read_end), sink.write_end.get(), budget);
  put(first.write_end, "abcd");
  pump_until_idle(one);
  put(second.write_end, "efgh");
  pump_until_idle(two);
  put(first.write_end, "ij");
  pump_until_idle(one);
  EXPECT_EQ(take(sink.read_end), "abcdef");
  EXPECT_EQ(budget.dropped(), 4U);
}

TEST(AnOutputPump, NeverBlocksOnAReaderWhoStops) {
  Pipe source = make_pipe(), sink = make_pipe();
  OutputBudget budget(1 << 30);
  const int flags = ::fcntl(sink.write_end.get(), F_GETFL);
  OutputPump pump(std::move(source.read_end), sink.write_end.get(), budget);
  for (int i = 0; i < 8; ++i) {
    put(source.write_end, std::string(32 * 1024, 'x'));
    ::alarm(10);  // a pump that blocks fails the test instead of hanging it
    pump_until_idle(pump);
    ::alarm(0);
    auto wanted = pump.wanted();
    if (wanted && wanted->events == POLLOUT) break;
  }
  EXPECT_EQ(pump.wanted()->events, POLLOUT) << "the pipe is full, so the pump waits for room";
  EXPECT_EQ(::fcntl(sink.write_end.get(), F_GETFL), flags) << "the caller's descriptor keeps its flags";
}

TEST(AnOutputPump, ClosesItsSourceWhenNobodyReads) {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe source = make_pipe(), sink = make_pipe();
  OutputBudget budget(100);
  OutputPump pump(std::move(source.read_end), sink.write_end.get(), budget);
  sink.read_end.reset();
  put(source.write_end, "lost");
  pump_until_idle(pump);
  EXPECT_TRUE(pump.done());
  EXPECT_EQ(::write(source.write_end.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST(AnOutputPump, WritesToSocketsToo) {
  Pipe source = make_pipe();
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours = UniqueFd::adopt(ends[0]), theirs = UniqueFd::adopt(ends[1]);
  OutputBudget budget(100);
  OutputPump pump(std::move(source.read_end), theirs.get(), budget);
  put(source.write_end, "hello");
  pump_until_idle(pump);
  EXPECT_EQ(take(ours), "hello");
}

TEST(AnInputPump, PassesTheEndOfInputOn) {
  Pipe source = make_pipe(), sink = make_pipe();
  InputPump pump(source.read_end.get(), std::move(sink.write_end));
  put(source.write_end, "in");
  pump.step();
  pump.step();
  EXPECT_EQ(take(sink.read_end), "in");
  source.write_end.reset();
  pump.step();
  EXPECT_FALSE(pump.wanted());
  char byte;
  EXPECT_EQ(::read(sink.read_end.get(), &byte, 1), 0);
}

TEST(AnInputPump, StopsWhenTheWorkerReadsNoMore) {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe source = make_pipe(), sink = make_pipe();
  InputPump pump(source.read_end.get(), std::move(sink.write_end));
  sink.read_end.reset();
  put(source.write_end, "in");
  pump.step();
  pump.step();
  EXPECT_FALSE(pump.wanted());
}

}  // namespace
}  // namespace sallyport::launcher
