// However a session ends: its processes are killed, its containers removed, its cgroup gone, its closing record
// written.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "keeper_under_test.hpp"

namespace sallyport::testing_support {
namespace {

namespace spawner = protocol::spawner;

void expect_everything_gone(KeeperUnderTest& keeper, const std::string& rule) {
  EXPECT_TRUE(keeper.spawner_saw("kill")) << rule;
  EXPECT_TRUE(eventually([&] {
    return keeper.dockerd().saw("DELETE /v1.41/containers/" + FakeDockerd::id('c') + "?v=1&force=1 ");
  })) << rule;
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session())) << rule;
  EXPECT_TRUE(keeper.audit_has("\"rule\":\"" + rule + "\"")) << rule;
  EXPECT_TRUE(eventually([&] { return std::filesystem::is_empty(keeper.directory() + "/state/sessions"); })) << rule;
}

UniqueFd connect_to(const KeeperUnderTest& keeper) {
  UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (keeper.directory() + "/broker.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return socket;
}

const std::string kMadeA1 = "intent sp-0123456789ab-a1\nmade sp-0123456789ab-a1 " + FakeDockerd::id('a') + "\n";

struct Cause {
  const char* sentence;
  std::function<void(KeeperUnderTest&)> act;
  const char* rule;
};
class Session : public testing::TestWithParam<Cause> {};
TEST_P(Session, EndsWhole) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  GetParam().act(keeper);
  expect_everything_gone(keeper, GetParam().rule);
}
INSTANTIATE_TEST_SUITE_P(
    Causes, Session,
    testing::Values(Cause{"the launcher closes", [](auto& keeper) { keeper.close_control(); }, "launcher.closed"},
                    Cause{"the gate closes", [](auto& keeper) { keeper.close_gate(); }, "gate.ended"},
                    Cause{"init is killed", [](auto& keeper) { keeper.kill_init(); }, "init.ended"},
                    Cause{"the spawner says that the gate died",
                          [](auto& keeper) {
                            keeper.tell_keeper(spawner::ChildEnded{*SessionId::parse(keeper.session()),
                                                                   spawner::ChildKind::Gate, true, 31});
                          },
                          "gate.ended"},
                    Cause{"the launcher says what it may not",
                          [](auto& keeper) {
                            (void)send_datagram(keeper.control(),
                                                encode_message(handshake::ToKeeper(handshake::OpenSession{})));
                          },
                          "launcher.misconduct"},
                    Cause{"the broker is stopped",
                          [](auto& keeper) {
                            keeper.signal_keeper(SIGTERM);
                            EXPECT_TRUE(keeper.hears_of_the_stop());
                            keeper.worker_ends();
                          },
                          "broker.stopped"}));

TEST(Session, TellsTheLauncherDoneWhenEverythingIsGone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  (void)send_datagram(keeper.control(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{true, 9, false})));
  const auto received = receive_within(keeper.control(), 5000);
  ASSERT_TRUE(received);
  EXPECT_TRUE(std::holds_alternative<handshake::Done>(*decode_message<handshake::FromKeeper>(received->bytes)));
  EXPECT_TRUE(keeper.dockerd().saw("DELETE "));
  EXPECT_TRUE(keeper.audit_has(R"("object":"signal 9","rule":"worker.ended")"));
}

TEST(Session, RemovesAContainerWhoseCreateWasStillInFlight) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/containers/create") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(201, R"({"Id":")" + FakeDockerd::id('c') + R"("})"),
                               .delay_milliseconds = 700};
  });
  keeper.send(1, keeper.create_request("db"));
  ASSERT_TRUE(eventually([&] { return keeper.dockerd().saw("POST /v1.41/containers/create"); }));
  keeper.close_control();
  expect_everything_gone(keeper, "launcher.closed");
}

TEST(Session, EndsWhileARemovalOfItsOwnHangs) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const std::string listed =
      R"([{"Id":")" + FakeDockerd::id('c') + R"(","Names":["/sp-)" + keeper.session() + R"(-db"]}])";
  keeper.dockerd().behave([listed, removals = std::make_shared<std::atomic<int>>(0)](const std::string& request) {
    if (request.find("/containers/create") != std::string::npos) return FakeDockerd::Answer{.bytes = "no HTTP\r\n\r\n"};
    if (request.find("/containers/json") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, listed)};
    if (request.starts_with("DELETE ")) return FakeDockerd::Answer{.never = (*removals)++ == 0};
    return FakeDockerd::Answer{};
  });
  keeper.expect<protocol::Failed>(keeper.create_request("db"));
  ASSERT_TRUE(eventually([&] { return keeper.dockerd().saw("DELETE "); }))
      << "what the create may have left is removed";
  keeper.close_control();
  expect_everything_gone(keeper, "launcher.closed");
  EXPECT_TRUE(keeper.is_alive());
}

// As dockerd is while it makes a container: it lists it, and does not know it by its id yet.
FakeDockerd::Behaviour unknown_at_first(const std::string& listed_name, char digit, int times) {
  return [=, asked = std::make_shared<std::atomic<int>>(0)](const std::string& request) {
    if (request.find("/containers/create") != std::string::npos) return FakeDockerd::Answer{.bytes = "no HTTP\r\n\r\n"};
    if (request.find("/containers/json") != std::string::npos)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(200, R"([{"Id":")" + FakeDockerd::id(digit) +
                                                                      R"(","Names":["/)" + listed_name + R"("]}])")};
    if (request.starts_with("DELETE /v1.41/containers/" + FakeDockerd::id(digit)) && (*asked)++ < times)
      return FakeDockerd::Answer{.bytes = FakeDockerd::reply(404, R"({"message":"No such container"})")};
    return FakeDockerd::Answer{};
  };
}
std::size_t removals_of(const KeeperUnderTest& keeper, char digit) {
  return keeper.dockerd().times("DELETE /v1.41/containers/" + FakeDockerd::id(digit));
}

TEST(Session, KeepsTheNameOfACreateThatDockerdStillMakes) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(unknown_at_first("sp-" + keeper.session() + "-db", 'c', 1));
  keeper.expect<protocol::Failed>(keeper.create_request("db"));
  ASSERT_TRUE(eventually([&] { return removals_of(keeper, 'c') == 1; }));
  EXPECT_EQ(keeper.expect<protocol::Failed>(keeper.create_request("db")).http_status, 409);
  EXPECT_TRUE(eventually([&] { return removals_of(keeper, 'c') == 2; })) << "it is asked for until it is gone";
  keeper.dockerd().behave({});
  EXPECT_TRUE(eventually([&] {
    return std::holds_alternative<protocol::Created>(keeper.ask(keeper.create_request("db")));
  })) << "the name is free again";
}

TEST(Session, EndsOnlyWhenAContainerThatDockerdStillMadeIsGone) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.dockerd().behave(unknown_at_first("sp-" + keeper.session() + "-db", 'c', 3));
  keeper.expect<protocol::Failed>(keeper.create_request("db"));
  keeper.close_control();
  expect_everything_gone(keeper, "launcher.closed");
  EXPECT_EQ(removals_of(keeper, 'c'), 4U);
}

TEST(Session, IsCleanedUpWhenDockerdComesBack) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().go_away();
  keeper.close_control();
  EXPECT_TRUE(keeper.spawner_saw("kill")) << "its processes die at once";
  EXPECT_FALSE(keeper.spawner_saw("remove-cgroup " + keeper.session(), 300));
  keeper.dockerd().listen();
  expect_everything_gone(keeper, "launcher.closed");
}

TEST(Session, HasNotEndedWhileItsCgroupIsStillInUse) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.let_cgroups_stay(1);
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(keeper.ledger_of(keeper.session()).empty()) << "the next broker would still reap it";
  const auto records = keeper.audit();
  EXPECT_TRUE(std::ranges::none_of(records, [](const std::string& line) { return line.contains("session-end"); }));
  EXPECT_TRUE(eventually([&] { return keeper.audit_has("session-end"); }, 10'000)) << "it is asked for again";
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); }));  // right after the record
}

TEST(Session, LeavesItsLedgerToTheNextBrokerWhenTheSpawnerDies) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.let_spawner_die_after_a_kill();
  keeper.signal_keeper(SIGSTOP);  // so that it finds the end of its channel where it asks, not where it reads
  keeper.close_control();
  keeper.signal_keeper(SIGCONT);
  EXPECT_EQ(keeper.exit_code(5000), 1);
  EXPECT_FALSE(keeper.ledger_of(keeper.session()).empty());
  const auto records = keeper.audit();
  EXPECT_TRUE(std::ranges::none_of(records, [](const std::string& line) { return line.contains("session-end"); }));
}

TEST(Stopping, EndsWithZero) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.signal_keeper(SIGTERM);
  ASSERT_TRUE(keeper.hears_of_the_stop());
  EXPECT_EQ(keeper.exit_code(500), std::nullopt) << "it waits for the worker";
  keeper.worker_ends();
  EXPECT_EQ(keeper.exit_code(5000), 0);
}

TEST(Operator, EndsASessionAndHearsWhenItIsGone) {
  if (::getuid() != 0) GTEST_SKIP() << "only root may";
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  const UniqueFd socket = connect_to(keeper);
  handshake::KillSession kill;
  kill.session = *SessionId::parse(keeper.session());
  (void)send_datagram(socket.get(), encode_message(handshake::ToKeeper(kill)));
  const auto received = receive_within(socket.get(), 5000);
  ASSERT_TRUE(received && !received->bytes.empty());
  EXPECT_TRUE(std::holds_alternative<handshake::Done>(*decode_message<handshake::FromKeeper>(received->bytes)));
  EXPECT_TRUE(keeper.audit_has("\"rule\":\"operator\""));
}

TEST(Operator, WaitsUntilItIsGoneAlsoWhereTheLauncherReportsMeanwhile) {
  if (::getuid() != 0) GTEST_SKIP() << "only root may";
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open());
  keeper.expect<protocol::Created>(keeper.create_request("db"));
  keeper.dockerd().behave([](const std::string& request) {
    if (!request.starts_with("DELETE ")) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{.bytes = FakeDockerd::reply(204, ""), .delay_milliseconds = 700};
  });
  const UniqueFd socket = connect_to(keeper);
  handshake::KillSession kill;
  kill.session = *SessionId::parse(keeper.session());
  (void)send_datagram(socket.get(), encode_message(handshake::ToKeeper(kill)));
  ASSERT_TRUE(keeper.spawner_saw("kill"));
  (void)send_datagram(keeper.control(), encode_message(handshake::ToKeeper(handshake::WorkerEnded{true, 9, false})));
  const auto received = receive_within(socket.get(), 5000);
  ASSERT_TRUE(received && !received->bytes.empty());
  EXPECT_TRUE(std::holds_alternative<handshake::Done>(*decode_message<handshake::FromKeeper>(received->bytes)));
}

TEST(Control, ThatSendsNoHelloIsClosedAndTheKeeperLives) {
  KeeperUnderTest keeper;
  for (const std::string_view text : {std::string_view("x"), std::string_view("\2"), std::string_view("\0\0\0", 3)}) {
    const UniqueFd socket = connect_to(keeper);
    (void)send_datagram(socket.get(), std::as_bytes(std::span(text)));
    const auto received = receive_within(socket.get(), 5000);
    ASSERT_TRUE(received);
    if (received->bytes.empty()) continue;
    EXPECT_TRUE(std::holds_alternative<handshake::Refused>(*decode_message<handshake::FromKeeper>(received->bytes)));
  }
  EXPECT_TRUE(keeper.open());
}

TEST(Reaper, RemovesByRecordAndNeverByLabelAlone) {
  KeeperUnderTest keeper(after_a_broker_that_left(kMadeA1 + "intent sp-0123456789ab-b1\n"));
  keeper.dockerd().behave([](const std::string& request) {
    if (request.find("/containers/json") == std::string::npos) return FakeDockerd::Answer{};
    return FakeDockerd::Answer{
        .bytes =
            FakeDockerd::reply(200, R"([{"Id":")" + FakeDockerd::id('f') + R"(","Names":["/forged"]},)" + R"({"Id":")" +
                                        FakeDockerd::id('b') + R"(","Names":["/sp-0123456789ab-b1"]}])")};
  });
  keeper.start();
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup 0123456789ab", 10'000));
  EXPECT_TRUE(keeper.dockerd().saw("DELETE /v1.41/containers/" + FakeDockerd::id('a')));
  EXPECT_TRUE(keeper.dockerd().saw("DELETE /v1.41/containers/" + FakeDockerd::id('b')));
  EXPECT_FALSE(keeper.dockerd().saw("DELETE /v1.41/containers/" + FakeDockerd::id('f'))) << "its labels are no record";
  EXPECT_TRUE(keeper.audit_has("\"event\":\"reap\""));
  EXPECT_TRUE(eventually([&] { return std::filesystem::is_empty(keeper.directory() + "/state/sessions"); }));
}

TEST(Reaper, AsksAgainForAListedContainerThatDockerdDoesNotKnowYet) {
  KeeperUnderTest keeper(after_a_broker_that_left("intent sp-0123456789ab-b1\n"));
  keeper.dockerd().behave(unknown_at_first("sp-0123456789ab-b1", 'b', 2));
  keeper.start();
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup 0123456789ab", 10'000));
  EXPECT_EQ(removals_of(keeper, 'b'), 3U) << "404 about a listed container is no proof that it is gone";
}

TEST(Reaper, TakesTheWordOfDockerdForAContainerWhoseCreateWasAnswered) {
  KeeperUnderTest keeper(after_a_broker_that_left(kMadeA1));
  keeper.dockerd().behave([](const std::string& request) {
    return FakeDockerd::Answer{.bytes = request.starts_with("DELETE ") ? FakeDockerd::reply(404, "{}") : ""};
  });
  keeper.start();
  EXPECT_TRUE(keeper.spawner_saw("remove-cgroup 0123456789ab"));
  EXPECT_EQ(removals_of(keeper, 'a'), 1U);
}

}  // namespace
}  // namespace sallyport::testing_support
