// What a client may keep the gate waiting for, against a clock that runs ahead when a test says so.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "broker/gate/http_session.hpp"
#include "gate_parts.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {
namespace {

using namespace std::chrono_literals;

const std::string kPing = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
const std::string kHalfAHead = "GET /_ping HTTP/1.1\r\nHost: d\r\nX: ";
const std::string kHalfABody = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{";

class Deadline : public GateParts {
 protected:
  ~Deadline() override { end_tasks(); }
  void connect(ClientKind kind = ClientKind::Socket) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    client_ = UniqueFd::adopt(ends[0]);
    const auto session = std::make_shared<HttpSession>(context_.get_executor(), UniqueFd::adopt(ends[1]), kind,
                                                       Services{*keeper_, *claims_, ticker_});
    tasks_.spawn("serve", session->serve());
    context_.poll();
  }
  void send(const std::string& bytes) {
    ASSERT_EQ(::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    context_.poll();
  }
  // To the one request that the gate has sent.
  void reply(protocol::Reply reply, std::vector<int> fds = {}) {
    std::array<std::byte, 4096> buffer;
    const auto size = receive_datagram(keeper_end_.get(), buffer).value().size;
    const auto id = decode_message<protocol::RequestEnvelope>(std::span(buffer).first(size)).value().id;
    ASSERT_TRUE(send_datagram(keeper_end_.get(), encode_message(protocol::ReplyEnvelope{id, std::move(reply)}), fds));
  }
  bool has_asked_the_keeper() {
    std::array<std::byte, 4096> buffer;
    return receive_datagram(keeper_end_.get(), buffer).has_value();
  }
  // Whether the gate has closed, and not its own direction alone.
  bool takes_nothing_more() { return ::send(client_.get(), "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE; }
  // Pings, until the gate reads no more because nobody reads its answers.
  void ask_until_it_is_stuck() {
    std::string many;
    for (int i = 0; i < 100; ++i) many += kPing;
    while (::send(client_.get(), many.data(), many.size(), MSG_NOSIGNAL) > 0) context_.poll();
  }
  // What the client has received once the gate has looked at its deadlines when `passed` was over.
  std::string heard_after(Clock::duration passed) {
    run_to(passed);
    return heard();
  }
  // And now.
  std::string heard() {
    run_for_a_moment();
    std::string heard;
    std::array<char, 4096> buffer;
    ssize_t size;
    while ((size = ::recv(client_.get(), buffer.data(), buffer.size(), 0)) > 0)
      heard.append(buffer.data(), static_cast<std::size_t>(size));
    has_ended_ = size == 0;
    return heard;
  }

  void run_to(Clock::duration passed) {
    ahead_ = passed;
    context_.run_for(1200ms);
  }
  void run_for_a_moment() { context_.run_for(20ms); }

  bool has_ended_ = false;

 private:
  UniqueFd client_;
};

constexpr auto kBefore = -4s;  // ticks of a second, and a machine that may be slow
constexpr auto kAfter = 1s;

TEST_F(Deadline, OfABodyEndsARequestWhoseBodyDoesNotCome) {
  connect();
  send(kHalfABody);
  EXPECT_EQ(heard_after(limits::kBodyDeadline + kBefore), "");
  EXPECT_FALSE(has_ended_);
  const std::string answer = heard_after(limits::kBodyDeadline + kAfter);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
  EXPECT_NE(answer.find("the body did not come in time (20 s)"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  EXPECT_TRUE(has_ended_);
}

TEST_F(Deadline, OfABodyIsNotPutOffByABodyThatTrickles) {
  connect();
  send(kHalfABody);
  EXPECT_EQ(heard_after(limits::kBodyDeadline + kBefore), "");
  send(" ");
  EXPECT_TRUE(heard_after(limits::kBodyDeadline + kAfter).starts_with("HTTP/1.1 408 "));
}

TEST_F(Deadline, OfAHeadEndsAConnectionWhoseHeadTrickles) {
  connect();
  send(kHalfAHead);
  EXPECT_EQ(heard_after(limits::kHeaderDeadline + kBefore), "");
  EXPECT_FALSE(has_ended_);
  send("y");
  const std::string answer = heard_after(limits::kHeaderDeadline + kAfter);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
  EXPECT_NE(answer.find("the request head did not come in time (10 s)"), std::string::npos) << answer;
  EXPECT_TRUE(has_ended_);
}

TEST_F(Deadline, OfAHeadHoldsForOneThatBeganWithTheRequestBefore) {
  connect();
  send(kPing + kHalfAHead);
  EXPECT_TRUE(heard_after(limits::kHeaderDeadline + kBefore).starts_with("HTTP/1.1 200 "));
  EXPECT_FALSE(has_ended_);
  EXPECT_TRUE(heard_after(limits::kHeaderDeadline + kAfter).starts_with("HTTP/1.1 408 "));
}

TEST_F(Deadline, OfAnIdleConnectionClosesItWithoutAWord) {
  connect();
  EXPECT_EQ(heard_after(limits::kIdleDeadline + kBefore), "");
  EXPECT_FALSE(has_ended_);
  EXPECT_EQ(heard_after(limits::kIdleDeadline + kAfter), "");
  EXPECT_TRUE(has_ended_);
}

TEST_F(Deadline, OfAnIdleConnectionHoldsBetweenRequestsToo) {
  connect();
  send(kPing);
  EXPECT_TRUE(heard_after(limits::kIdleDeadline + kBefore).starts_with("HTTP/1.1 200 "));
  EXPECT_FALSE(has_ended_);
  EXPECT_EQ(heard_after(limits::kIdleDeadline + kAfter), "");
  EXPECT_TRUE(has_ended_);
}

TEST_F(Deadline, OfAnIdleConnectionIsNotTheLastingStreams) {
  connect(ClientKind::LastingStream);
  send(kPing);
  EXPECT_TRUE(heard_after(2 * limits::kIdleDeadline).starts_with("HTTP/1.1 200 "));
  EXPECT_FALSE(has_ended_);
}

TEST_F(Deadline, OfABodyIsOverWhenTheBodyHasCome) {
  connect();
  const std::string body = R"({"Image":"busybox"})";
  send("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: " +
       std::to_string(body.size()) + "\r\n\r\n");
  send(body);
  EXPECT_EQ(heard_after(2 * limits::kBodyDeadline), "");
  EXPECT_FALSE(has_ended_);
  reply(protocol::Failed{503, "as the keeper says", 0});
  EXPECT_TRUE(heard_after(2 * limits::kBodyDeadline).starts_with("HTTP/1.1 503 "));
}

TEST_F(Deadline, OfWhatComesBehindARefusalIsOverForWhoeverStays) {
  connect();
  send("PUT /nothing HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n");
  EXPECT_TRUE(heard().starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(has_ended_);
  EXPECT_FALSE(takes_nothing_more()) << "so that the refusal arrives";
  (void)heard_after(limits::kDrainTime + kAfter);
  EXPECT_TRUE(takes_nothing_more());
}

TEST_F(Deadline, OfAnAnswerThatIsNotReadGivesItsClientUp) {
  connect();
  ask_until_it_is_stuck();
  run_to(limits::kWriteStall + kBefore);
  EXPECT_FALSE(takes_nothing_more());
  run_to(limits::kWriteStall + kAfter);
  EXPECT_TRUE(takes_nothing_more());
}

TEST_F(Deadline, OfAnAnswerThatIsNotReadIsNotTheLastingStreams) {
  connect(ClientKind::LastingStream);
  ask_until_it_is_stuck();
  run_to(2 * limits::kWriteStall);
  EXPECT_FALSE(takes_nothing_more());
}

TEST_F(Deadline, OfAnAnswerThatIsNotReadIsNotOfALogThatIsFollowed) {
  connect();
  send("GET /containers/job/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n");
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const UniqueFd source = UniqueFd::adopt(ends[0]);
  reply(protocol::Streaming{false}, {ends[1]});
  ::close(ends[1]);
  const std::string output(64 * 1024, 'x');
  do run_for_a_moment();
  while (::send(source.get(), output.data(), output.size(), MSG_NOSIGNAL) > 0);
  run_to(2 * limits::kWriteStall);
  EXPECT_FALSE(takes_nothing_more());
}

// A stream has taken the connection over: when it has ended, nothing is a request any more.
TEST_F(Deadline, OfAStreamThatHasEndedIsNoBeginningOfRequests) {
  connect();
  send("POST /containers/job/attach?stream=1 HTTP/1.1\r\nHost: d\r\n\r\n");
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  reply(protocol::Hijacked{false, {}}, {ends[1]});
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_TRUE(heard().starts_with("HTTP/1.1 200 "));
  (void)heard_after(limits::kDrainTime + kAfter);
  EXPECT_TRUE(takes_nothing_more());
  EXPECT_FALSE(has_asked_the_keeper());
}

TEST_F(Deadline, IsNoneWhileTheKeeperHasTheRequest) {
  connect();
  send("GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n");
  EXPECT_EQ(heard_after(2 * limits::kIdleDeadline), "");
  EXPECT_FALSE(has_ended_);
  reply(protocol::Succeeded{});
  EXPECT_TRUE(heard_after(2 * limits::kIdleDeadline).starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace sallyport::gate
