// The last wait of a run that had a session, with this test as the broker and as whoever asks it to end.
#include "launcher/session_end.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "sallyport/limits.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::launcher {
namespace {

using Clock = std::chrono::steady_clock;

// A pipe that takes not one byte more: what is written to it waits for a reader who never comes.
UniqueFd full_pipe(UniqueFd& reader) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
  reader = UniqueFd::adopt(ends[0]);
  const std::array<char, 4096> page{};
  while (::write(ends[1], page.data(), page.size()) > 0) continue;
  return UniqueFd::adopt(ends[1]);
}

TEST(LastWait, IsNotTakenForOverWhereAnAskToEndMeetsAStderrThatNobodyReads) {
  auto [ours, brokers] = *seqpacket_pair();
  UniqueFd reader;
  const UniqueFd full = full_pipe(reader);
  const auto begin = Clock::now();
  const pid_t launcher = ::fork();
  if (launcher == 0) {
    ::dup2(full.get(), STDERR_FILENO);
    auto signals = Signals::take();
    BrokerSession session(std::move(ours));
    Outcome outcome{.ended = Outcome::Ended::Worker};
    wait_for_session_end(session, *signals, outcome);
    ::_exit(0);
  }
  // Then saying so outlasts the moment after which it would have said it unasked.
  const auto asked = limits::kLauncherSaysItWaits - limits::kSayWithin / 2;
  std::this_thread::sleep_until(begin + asked);
  ASSERT_EQ(::kill(launcher, SIGTERM), 0);
  std::this_thread::sleep_until(begin + limits::kLauncherSaysItWaits + 2 * limits::kSayWithin);
  EXPECT_EQ(::waitpid(launcher, nullptr, WNOHANG), 0) << "it waits on: it has a minute for that";
  (void)send_datagram(brokers.get(), encode_message(handshake::FromKeeper(handshake::Done{})));
  int status = -1;
  ::waitpid(launcher, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(WhatTheBrokerSays, LeavesTheTerminalOfItsReaderAlone) {
  auto [ours, brokers] = *seqpacket_pair();
  BrokerSession session(std::move(ours));
  const auto hears = [&](const handshake::FromKeeper& message) {
    (void)send_datagram(brokers.get(), encode_message(message));
    return session.hear().text;
  };
  EXPECT_EQ(hears(handshake::Notice{"a\x1b[31mb\nsallyport: c"}), "a?[31mb?sallyport: c");
  EXPECT_EQ(hears(handshake::LeftBehind{"\x1b]0;x\x07"}), "?]0;x?");
  EXPECT_EQ(hears(handshake::Ended{"\x9b"}), "the broker ended the session: ?");
}

}  // namespace
}  // namespace sallyport::launcher
