// Whoever comes to open a session: how many wait for a place, what a broker that stops says, what is written of those
// that are refused, and what a session finds that the one before has spent.
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "broker/keeper/account.hpp"
#include "keeper_under_test.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::testing_support {
namespace {

std::optional<std::string> refusal_on(int control, int milliseconds) {
  const auto received = receive_within(control, milliseconds);
  if (!received || received->bytes.empty()) return {};
  const auto answer = decode_message<handshake::FromKeeper>(received->bytes);
  const auto refused = answer ? refusal_in(*answer) : std::nullopt;
  return refused.value_or("another answer");
}

TEST(FullHouse, IsWaitedForBySoManyAndTheNextHearsAtOnce) {
  KeeperUnderTest::Options options;
  options.max_sessions = 1;
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.let_cgroups_stay(1'000'000);
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + keeper.session()));
  std::vector<UniqueFd> openers;
  for (std::size_t i = 0; i < limits::kMaxWaitingForPlace; ++i) {
    openers.push_back(keeper.connect());
    keeper.say_hello(openers.back().get());
  }
  const auto first = openers.front().get();
  EXPECT_FALSE(receive_within(first, 200)) << "they wait";
  const UniqueFd one_more = keeper.connect();
  keeper.say_hello(one_more.get());
  const auto refused = refusal_on(one_more.get(), 2000);
  ASSERT_TRUE(refused) << "it waits with the others";
  EXPECT_THAT(*refused, testing::HasSubstr("max_sessions in broker.toml allows no more; one of them is ending"));
  for (const UniqueFd& opener : openers) ASSERT_FALSE(receive_within(opener.get(), 0)) << "the others wait on";
}

// One whose connection was taken before, as it waits for others or is slow to speak.
TEST(Opening, IsRefusedByABrokerThatStops) {
  KeeperUnderTest keeper;
  const UniqueFd late = keeper.connect();
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const auto begun = [&] {
    return std::ranges::count_if(keeper.spawner_events(),
                                 [](const auto& event) { return event.starts_with("start "); });
  };
  const auto before = begun();
  keeper.signal_keeper(SIGTERM);
  ASSERT_TRUE(keeper.hears_of_the_stop()) << "it is there until that has ended";
  keeper.say_hello(late.get());
  EXPECT_EQ(refusal_on(late.get(), 5000), "the broker is stopping");
  EXPECT_EQ(begun(), before);
}

TEST(Opening, IsRefusedBeforeAnythingRunsWhereItsRangeCannotBeWrittenIntoTheLedger) {
  KeeperUnderTest keeper;
  keeper.let_ledger_stop_growing_with_its_range();
  ASSERT_FALSE(keeper.open(0, 5000));
  ASSERT_THAT(keeper.refusal(), testing::HasSubstr("write the ledger"));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"session.not-started")"));
  for (const std::string& event : keeper.spawner_events()) EXPECT_FALSE(event.starts_with("start ")) << event;
  keeper.let_ledger_grow(true);
  EXPECT_TRUE(keeper.open()) << keeper.refusal();
}

TEST(Openers, ThatAreRefusedForEverWriteNoMoreThanOneShareAndAreAllCounted) {
  KeeperUnderTest keeper;
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  handshake::OpenSession hello;
  hello.version = handshake::kVersion + 1;
  hello.profile = *ProfileName::parse("worker");
  hello.command = std::string(limits::kMaxCommandBytes, '\x01');  // six bytes of each
  const auto bytes = encode_message(handshake::ToKeeper(hello));
  constexpr std::size_t kLeastOfARecord = 6 * limits::kMaxCommandBytes;
  constexpr std::size_t kKnocks = limits::kAuditRefusalBytesPerHour / kLeastOfARecord + 50;
  for (std::size_t i = 0; i < kKnocks; ++i) {
    const UniqueFd control = keeper.connect();
    ASSERT_TRUE(send_datagram(control.get(), bytes));
    ASSERT_TRUE(refusal_on(control.get(), 5000)) << i;
  }
  keeper.signal_keeper(SIGTERM);
  ASSERT_TRUE(keeper.exit_code(10'000));
  std::size_t written = 0;
  std::size_t size = 0;
  std::size_t counted = 0;
  for (const std::string& line : keeper.audit()) {
    if (line.contains(R"("rule":"session.refused")")) ++written, size += line.size() + 1;
    const std::string rule = R"("rule":"audit.quota")";
    if (const std::string count = "\"count\":"; line.contains(rule) && line.contains("session.refused"))
      counted += std::stoul(line.substr(line.rfind(count) + count.size()));
  }
  EXPECT_GT(written, 0U);
  EXPECT_LE(size, limits::kAuditRefusalBytesPerHour);
  EXPECT_EQ(written + counted, kKnocks);
}

TEST(Openers, ThatAreNotRootAreRecordedByTheirUidWhereTheyAreRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes somebody else";
  KeeperUnderTest keeper;
  ASSERT_EQ(::chmod(keeper.directory().c_str(), 0711), 0);
  ASSERT_EQ(::chmod((keeper.directory() + "/broker.sock").c_str(), 0777), 0);
  const pid_t user = ::fork();
  if (user == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kUser, kUser, kUser) != 0 || ::setresuid(kUser, kUser, kUser) != 0)
      ::_exit(1);
    const UniqueFd control = keeper.connect();
    handshake::OpenSession hello;
    hello.version = handshake::kVersion + 1;
    hello.profile = *ProfileName::parse("worker");
    (void)send_datagram(control.get(), encode_message(handshake::ToKeeper(hello)));
    ::_exit(refusal_on(control.get(), 5000).value_or("").contains("another version") ? 0 : 1);
  }
  int status = -1;
  ::waitpid(user, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(keeper.audit_has("\"reason\":\"uid " + std::to_string(kUser) + ": the launcher speaks another version"));
}

// While the endings take long as well: what was spent is given back where an ending begins.
TEST(Account, IsFoundAsItWasByTheNextSessionBeforeTheLastHasEnded) {
  KeeperUnderTest::Options options;
  options.profile.replace(options.profile.find("200/min"), 7, "2/min");
  KeeperUnderTest keeper(options);
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.expect<protocol::Created>(keeper.create_request("d1"));
  keeper.expect<protocol::Created>(keeper.create_request("d2"));
  EXPECT_EQ(keeper.expect<protocol::Failed>(keeper.create_request("d3")).http_status, 429);
  keeper.let_cgroups_stay(1'000'000);
  for (int again = 0; again < 3; ++again) {
    const std::string ended = keeper.session();
    keeper.close_control();
    ASSERT_TRUE(keeper.spawner_saw("remove-cgroup " + ended));
    ASSERT_TRUE(keeper.open()) << keeper.refusal();
    EXPECT_FALSE(keeper.ledger_of(ended).empty()) << "that one ends yet";
    EXPECT_EQ(keeper.expect<protocol::Failed>(keeper.create_request("d3")).http_status, 429) << again;
  }
}

// Openings and endings that say no more than that are counted only; the last part of the share is for the others.
TEST(Ending, ThatTellsMoreIsWrittenWhereTheShareForPlainOnesIsSpent) {
  KeeperUnderTest::Options options;
  options.start = false;
  KeeperUnderTest keeper(options);
  keeper::SavedAccounts saved;
  saved.hour =
      std::chrono::duration_cast<std::chrono::hours>(std::chrono::system_clock::now().time_since_epoch()).count();
  saved.uses[static_cast<std::size_t>(keeper::Share::Restart)].bytes =
      limits::kAuditRestartBytesPerHour - limits::kAuditRestartBytesPerHour / limits::kAuditEndingsPart;
  std::filesystem::create_directories(keeper.directory() + "/state/accounts");
  std::ofstream(keeper.directory() + "/state/accounts/worker") << keeper::text_of(saved);
  keeper.start();
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  const std::string plain = keeper.session();
  keeper.close_control();
  keeper.close_gate();
  ASSERT_TRUE(eventually([&] { return keeper.ledger_of(plain).empty(); }));
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  keeper.send_raw(std::as_bytes(std::span("junk")));
  EXPECT_TRUE(keeper.audit_has(R"("rule":"gate.misconduct")"));
  EXPECT_FALSE(keeper.audit_has_now(R"("event":"session-open")"));
  EXPECT_FALSE(keeper.audit_has_now(R"("rule":"launcher.closed")")) << "or the share was not spent";
}

}  // namespace
}  // namespace sallyport::testing_support
