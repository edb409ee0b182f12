// The real relay in its containment, with the test as keeper, worker and upstream.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <filesystem>
#include <functional>
#include <thread>

#include "broker/protocol/relay_messages.hpp"
#include "broker/relay/relay.hpp"
#include "sallyport/seqpacket.hpp"
#include "unit/spawner/harness.hpp"

namespace sallyport::spawner_test {
namespace {

namespace relay = protocol::relay;
using testing::HasSubstr;

struct Pair {
  UniqueFd ours, theirs;
};
Pair stream_pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd::adopt(ends[0]), UniqueFd::adopt(ends[1])};
}

std::string read_some(int fd) {
  pollfd entry{fd, POLLIN, 0};
  if (::poll(&entry, 1, 5000) != 1) return "(silence)";
  std::array<char, 65536> buffer;
  const ssize_t size = ::read(fd, buffer.data(), buffer.size());
  return size < 0 ? "(error)" : size == 0 ? "(end)" : std::string(buffer.data(), static_cast<std::size_t>(size));
}
void write_text(int fd, std::string_view text) {
  ASSERT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

class Relaying : public testing::Test {
 protected:
  Harness harness{{.relay_program = SALLYPORT_BIN_DIR "/sallyport-relay"}};
  RunningSession session = start_session(harness, {.tcp_listeners = 2});

  UniqueFd connect_to(std::size_t forward) {
    return connect_inside(session.sandbox, session.sandbox.tcp_ports.at(forward));
  }
  std::optional<relay::ToKeeper> hear(std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    pollfd entry{session.relay.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
    std::array<std::byte, 8192> buffer;
    auto datagram = receive_datagram(session.relay.get(), buffer);
    if (!datagram || datagram->size == 0) return std::nullopt;
    EXPECT_TRUE(datagram->fds.empty()) << "a relay cannot pass descriptors";
    return *decode_message<relay::ToKeeper>(std::span(buffer).first(datagram->size));
  }
  relay::Connect hear_connect() { return std::get<relay::Connect>(hear().value()); }
  relay::Closed hear_closed() { return std::get<relay::Closed>(hear().value()); }
  void tell(const relay::FromKeeper& message, int fd = -1) {
    const int fds[] = {fd};
    ASSERT_TRUE(send_datagram(session.relay.get(), encode_message(message),
                              fd >= 0 ? std::span<const int>(fds) : std::span<const int>()));
  }
  struct Carried {
    UniqueFd client, upstream;
    std::uint32_t number = 0;
  };
  Carried carry(std::size_t forward = 0) {
    Carried carried;
    carried.client = connect_to(forward);
    carried.number = hear_connect().connection;
    Pair pair = stream_pair();
    tell(relay::Connected{carried.number}, pair.theirs.get());
    carried.upstream = std::move(pair.ours);
    return carried;
  }
  messages::ChildEnded how_it_ended() { return harness.hear_one<messages::ChildEnded>(); }
};

TEST_F(Relaying, ItAsksForTheForwardThatWasConnectedTo) {
  const UniqueFd first = connect_to(0);
  EXPECT_EQ(hear_connect().forward, 0);
  const UniqueFd second = connect_to(1);
  EXPECT_EQ(hear_connect().forward, 1);
}

TEST_F(Relaying, BytesGoBothWaysAndAreCounted) {
  Carried carried = carry();
  write_text(carried.client.get(), "to the upstream");
  EXPECT_EQ(read_some(carried.upstream.get()), "to the upstream");
  write_text(carried.upstream.get(), "back");
  EXPECT_EQ(read_some(carried.client.get()), "back");
  carried.client.reset();
  EXPECT_EQ(read_some(carried.upstream.get()), "(end)");
  carried.upstream.reset();
  const relay::Closed closed = hear_closed();
  EXPECT_EQ(closed.connection, carried.number);
  EXPECT_EQ(closed.bytes_up, 15U);
  EXPECT_EQ(closed.bytes_down, 4U);
}

TEST_F(Relaying, WhatWasSentBeforeTheUpstreamCameIsNotLost) {
  const UniqueFd client = connect_to(0);
  write_text(client.get(), "early");
  const std::uint32_t number = hear_connect().connection;
  Pair pair = stream_pair();
  tell(relay::Connected{number}, pair.theirs.get());
  EXPECT_EQ(read_some(pair.ours.get()), "early");
}

TEST_F(Relaying, AHalfClosePassesInEitherDirection) {
  Carried up = carry();
  ASSERT_EQ(::shutdown(up.client.get(), SHUT_WR), 0);
  EXPECT_EQ(read_some(up.upstream.get()), "(end)");
  write_text(up.upstream.get(), "the answer");
  EXPECT_EQ(read_some(up.client.get()), "the answer");
  Carried down = carry();
  ASSERT_EQ(::shutdown(down.upstream.get(), SHUT_WR), 0);
  EXPECT_EQ(read_some(down.client.get()), "(end)");
  write_text(down.client.get(), "more");
  EXPECT_EQ(read_some(down.upstream.get()), "more");
}

TEST_F(Relaying, AnUpstreamThatResetsEndsTheConnection) {
  Carried carried = carry();
  write_text(carried.client.get(), "unread");
  ASSERT_EQ(read_some(carried.upstream.get()), "unread");
  write_text(carried.client.get(), "unread again");
  carried.upstream.reset();
  EXPECT_EQ(read_some(carried.client.get()).substr(0, 2), "(e");
  EXPECT_EQ(hear_closed().connection, carried.number);
}

TEST_F(Relaying, AnUnreachableUpstreamClosesTheClient) {
  const UniqueFd client = connect_to(0);
  tell(relay::Unreachable{hear_connect().connection});
  EXPECT_EQ(read_some(client.get()), "(end)");
  Carried next = carry();
  write_text(next.client.get(), "x");
  EXPECT_EQ(read_some(next.upstream.get()), "x") << "the relay goes on";
}

TEST_F(Relaying, ASideThatDoesNotReadStopsTheOtherOneAlone) {
  Carried stuck = carry();
  Carried live = carry();
  const std::string block(1 << 16, 'x');
  std::size_t sent = 0;
  for (ssize_t size; (size = ::send(stuck.client.get(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0;)
    sent += static_cast<std::size_t>(size);
  EXPECT_LT(sent, 64U << 20) << "nobody buffers without end";
  write_text(live.client.get(), "still here");
  EXPECT_EQ(read_some(live.upstream.get()), "still here");
}

TEST_F(Relaying, EveryByteOfALongStreamArrivesInOrder) {
  Carried carried = carry();
  constexpr std::size_t kBytes = 8U << 20;
  const pid_t writer = ::fork();
  if (writer == 0) {
    std::string data(kBytes, '\0');
    for (std::size_t i = 0; i < kBytes; ++i) data[i] = static_cast<char>((i * 31) >> 3);
    for (std::size_t at = 0; at < kBytes;) {
      const ssize_t size = ::send(carried.client.get(), data.data() + at, kBytes - at, MSG_NOSIGNAL);
      if (size <= 0) ::_exit(1);
      at += static_cast<std::size_t>(size);
    }
    ::_exit(0);
  }
  Child child = *Child::from_pid(writer);
  std::size_t at = 0;
  while (at < kBytes) {
    const std::string part = read_some(carried.upstream.get());
    for (std::size_t i = 0; i < part.size(); ++i, ++at) ASSERT_EQ(part[i], static_cast<char>((at * 31) >> 3)) << at;
  }
  EXPECT_EQ(at, kBytes);
}

TEST_F(Relaying, BeyondTheMostConnectionsTheOthersWait) {
  std::vector<UniqueFd> clients;
  std::vector<std::uint32_t> numbers;
  for (std::size_t i = 0; i < limits::kMaxForwardConnections + 3; ++i) clients.push_back(connect_to(0));
  for (std::size_t i = 0; i < limits::kMaxForwardConnections; ++i) numbers.push_back(hear_connect().connection);
  EXPECT_FALSE(hear(std::chrono::milliseconds(200)));
  tell(relay::Unreachable{numbers[0]});
  EXPECT_TRUE(hear(std::chrono::seconds(5)));
  EXPECT_FALSE(hear(std::chrono::milliseconds(200)));
}

TEST_F(Relaying, ItEndsWithTheKeepersChannel) {
  Carried carried = carry();
  session.relay.reset();
  const auto ended = how_it_ended();
  EXPECT_EQ(ended.kind, messages::ChildKind::Relay);
  EXPECT_FALSE(ended.signalled);
  EXPECT_EQ(read_some(carried.client.get()).substr(0, 2), "(e");
}

TEST_F(Relaying, ItEndsWhenTheKeepersMessagesMakeNoSense) {
  tell(relay::Connected{12345}, session.sandbox.worker_stream.get());
  const auto ended = how_it_ended();
  EXPECT_EQ(ended.kind, messages::ChildKind::Relay);
  EXPECT_EQ(ended.value, 1);
}

// Each would let a keeper that is wrong, or whoever speaks in its place, go on unseen.
TEST_F(Relaying, ItEndsWhateverPartOfAMessageMakesNoSense) {
  const int stream = session.sandbox.worker_stream.get();
  const std::uint32_t nobody = 12345;
  const auto say = [](int channel, const std::vector<std::byte>& bytes, const std::vector<int>& fds) {
    EXPECT_TRUE(send_datagram(channel, bytes, fds));
  };
  const std::vector<std::byte> nonsense(3, std::byte{0xff});
  const auto of = [](const relay::FromKeeper& message) { return encode_message(message); };
  const std::function<void(int, std::uint32_t)> kinds[] = {
      [&](int channel, std::uint32_t number) { say(channel, of(relay::Connected{number}), {stream, stream}); },
      [&](int channel, std::uint32_t number) { say(channel, of(relay::Connected{number}), {}); },
      [&](int channel, std::uint32_t number) { say(channel, of(relay::Unreachable{number}), {stream}); },
      [&](int channel, std::uint32_t) { say(channel, of(relay::Unreachable{nobody}), {}); },
      [&](int channel, std::uint32_t) { say(channel, nonsense, {}); },
  };
  for (const auto& kind : kinds) {
    RunningSession own = start_session(harness, {.tcp_listeners = 1});
    const UniqueFd client = connect_inside(own.sandbox, own.sandbox.tcp_ports.at(0));
    std::swap(session.relay, own.relay);
    const std::uint32_t number = hear_connect().connection;
    std::swap(session.relay, own.relay);
    kind(own.relay.get(), number);
    const auto ended = how_it_ended();
    EXPECT_EQ(ended.session, own.id) << &kind - kinds;
    EXPECT_EQ(ended.kind, messages::ChildKind::Relay);
    EXPECT_EQ(ended.value, 1);
    harness.send(messages::KillProcesses{own.id});
    harness.hear_one<messages::ProcessesDead>();
  }
}

TEST_F(Relaying, ItIsLockedDownWithAFilterAndNotDumpable) {
  Carried carried = carry();  // it serves
  const pid_t pid = harness.children().at(1);
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  struct stat info;
  ASSERT_EQ(::stat(("/proc/" + std::to_string(pid) + "/environ").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U) << "proc(5): the files of a process that is not dumpable are root's";
}

// In this process, because the real one waits for minutes.
class RelayingInAHurry : public testing::Test {
 protected:
  RelayingInAHurry() {
    auto [ours, theirs] = *seqpacket_pair();
    keeper = std::move(ours);
    listener = unix_listener();
    std::vector<UniqueFd> listeners;
    listeners.push_back(UniqueFd::adopt(::fcntl(listener.get(), F_DUPFD_CLOEXEC, 3)));
    served = std::thread([channel = std::move(theirs), made = std::move(listeners)]() mutable {
      const ::sallyport::relay::HalfClosed soon{std::chrono::milliseconds(20), std::chrono::milliseconds(200)};
      EXPECT_EQ(::sallyport::relay::serve(std::move(channel), std::move(made), []() noexcept { return 0; }, soon), 0);
    });
  }
  ~RelayingInAHurry() override {
    keeper.reset();
    served.join();
  }
  template <class T>
  T hear() {
    std::array<std::byte, 8192> buffer;
    pollfd entry{keeper.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 5000), 1);
    const auto datagram = receive_datagram(keeper.get(), buffer);
    return std::get<T>(decode_message<relay::ToKeeper>(std::span(buffer).first(datagram->size)).value());
  }
  struct Ends {
    UniqueFd client, upstream;
    std::uint32_t number = 0;
  };
  Ends carry() {
    Ends ends;
    ends.client = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::connect(ends.client.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    ends.number = hear<relay::Connect>().connection;
    Pair pair = stream_pair();
    const int fds[] = {pair.theirs.get()};
    EXPECT_TRUE(send_datagram(keeper.get(), encode_message(relay::FromKeeper(relay::Connected{ends.number})), fds));
    ends.upstream = std::move(pair.ours);
    return ends;
  }
  UniqueFd keeper, listener;
  std::thread served;
};

// Whoever half-closes and leaves must not hold a place for ever.
TEST_F(RelayingInAHurry, AHalfClosedConnectionThatIsSilentIsCutAndTheTwinThatIsOpenIsNot) {
  const Ends open = carry();
  for (const bool of_client : {true, false}) {
    const Ends half = carry();
    ASSERT_EQ(::shutdown((of_client ? half.client : half.upstream).get(), SHUT_WR), 0);
    EXPECT_EQ(hear<relay::Closed>().connection, half.number);
    EXPECT_EQ(read_some((of_client ? half.client : half.upstream).get()), "(end)");
  }
  write_text(open.client.get(), "still here");
  EXPECT_EQ(read_some(open.upstream.get()), "still here");
}

TEST_F(RelayingInAHurry, AHalfClosedConnectionThatIsUsedStays) {
  const Ends half = carry();
  ASSERT_EQ(::shutdown(half.client.get(), SHUT_WR), 0);
  EXPECT_EQ(read_some(half.upstream.get()), "(end)");
  for (int i = 0; i < 8; ++i) {
    write_text(half.upstream.get(), "x");
    EXPECT_EQ(read_some(half.client.get()), "x") << i;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace
}  // namespace sallyport::spawner_test
