#include "broker/keeper/ledger_file.hpp"

#include <filesystem>
#include <fstream>

namespace sallyport::keeper {
namespace {

const std::string kId(64, 'a');
const std::string kHead = "session 0123456789ab worker 200000 cgroupfs\n";

TEST(LedgerText, TellsWhatIsStillThere) {
  const auto record = parse_ledger(kHead + "intent sp-0123456789ab-a1\nmade sp-0123456789ab-a1 " + kId +
                                   "\nintent sp-0123456789ab-b1\nintent sp-0123456789ab-c1\ngone sp-0123456789ab-c1\n");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->uid_base, 200'000U);
  EXPECT_THAT(record->containers,
              testing::ElementsAre(testing::Pair("sp-0123456789ab-a1", kId), testing::Pair("sp-0123456789ab-b1", "")));
}

TEST(LedgerText, PassesOverWhatACrashOrSomebodyElseLeft) {
  const auto record =
      parse_ledger(kHead + "made sp-ffffffffffff-x " + kId + "\nmade sp-0123456789ab-y short\nnoise\n\n" +
                   "intent postgres\nintent sp-0123456789ab-../x\nintent sp-0123456789ab-half");
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->containers.empty());
}

TEST(LedgerText, OfAnEndedSessionTellsOnlyOfIntents) {
  const std::string text =
      kHead + "intent sp-0123456789ab-a1\nmade sp-0123456789ab-a1 " + kId + "\nintent sp-0123456789ab-b1\n";
  EXPECT_FALSE(parse_ledger(text)->ended);
  for (const char* malformed : {"ended\n", "ended x\n", "ended -1\n", "ended 12", "ended 1 2\n"}) {
    EXPECT_FALSE(parse_ledger(text + malformed)->ended) << malformed;
    EXPECT_EQ(parse_ledger(text + malformed)->containers.size(), 2U) << malformed;
  }
  const auto record = parse_ledger(text + "ended 1700000000\n");
  EXPECT_EQ(record->ended, 1'700'000'000);
  EXPECT_THAT(record->containers, testing::ElementsAre(testing::Pair("sp-0123456789ab-b1", "")));
}

TEST(LedgerText, OfAClosedSessionTellsOfItsContainers) {
  const std::string text = kHead + "intent sp-0123456789ab-a1\nmade sp-0123456789ab-a1 " + kId + "\n";
  EXPECT_FALSE(parse_ledger(text + "closed 1\n")->closed);
  const auto record = parse_ledger(text + "closed\n");
  EXPECT_TRUE(record->closed);
  EXPECT_FALSE(record->ended);
  EXPECT_THAT(record->containers, testing::ElementsAre(testing::Pair("sp-0123456789ab-a1", kId)));
}

TEST(LedgerText, WithoutItsHeadIsRefused) {
  for (const char* text : {"", "session", "session 0123456789ab worker 200000", "session x worker 1 cgroupfs\n",
                           "session 0123456789ab ../x 1 cgroupfs\n", "session 0123456789ab worker -1 cgroupfs\n"})
    EXPECT_FALSE(parse_ledger(text)) << text;
}

class LedgerFileTest : public testing::Test {
 protected:
  LedgerFileTest() {
    char made[] = "/tmp/sallyport-ledger-XXXXXX";
    state = ::mkdtemp(made);
    head.session = *SessionId::parse("0123456789ab");
    head.profile = *ProfileName::parse("worker");
  }
  ~LedgerFileTest() override { std::filesystem::remove_all(state); }
  void SetUp() override { ASSERT_TRUE(make_ledger_directory(state)); }
  std::string state;
  LedgerRecord head;
};

TEST_F(LedgerFileTest, IsReadBackByTheNextBroker) {
  head.systemd_cgroups = true;
  auto file = LedgerFile::create(state, head);
  ASSERT_TRUE(file);
  EXPECT_FALSE(LedgerFile::create(state, head)) << "an id is used once";
  const std::string name = dockerd_name(head.session, *ContainerName::parse("db"));
  ASSERT_TRUE(file->uid_base(300'000));
  ASSERT_TRUE(file->intent(name));
  ASSERT_TRUE(file->made(name, *ContainerId::parse(kId)));
  std::ofstream(ledger_directory(state) + "/not-a-session") << "x";
  auto left = read_left_ledgers(state);
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 1U);
  EXPECT_EQ(left->front().record.uid_base, 300'000U);
  EXPECT_TRUE(left->front().record.systemd_cgroups);
  EXPECT_EQ(left->front().record.containers.at("sp-0123456789ab-db"), kId);
  auto again = LedgerFile::open_left(left->front().path);
  ASSERT_TRUE(again);
  ASSERT_TRUE(again->ended(1'700'000'000));
  EXPECT_EQ(read_left_ledgers(state)->front().record.ended, 1'700'000'000);
  again->remove();
  EXPECT_TRUE(read_left_ledgers(state)->empty());
  EXPECT_FALSE(LedgerFile::open_left(left->front().path));
}

TEST_F(LedgerFileTest, IsWrittenAnewWhenItHasGrownAndStillTellsWhatIsThere) {
  auto file = LedgerFile::create(state, head);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->uid_base(300'000));
  const auto name = [&](const std::string& text) { return dockerd_name(head.session, *ContainerName::parse(text)); };
  ASSERT_TRUE(file->intent(name("made")));
  ASSERT_TRUE(file->made(name("made"), *ContainerId::parse(kId)));
  ASSERT_TRUE(file->intent(name("intended")));
  const std::string passing = name(std::string(100, 'x'));
  for (int i = 0; i < 10'000; ++i) {  // four times what it may grow to
    ASSERT_TRUE(file->intent(passing));
    ASSERT_TRUE(file->made(passing, *ContainerId::parse(kId)));
    ASSERT_TRUE(file->gone(passing));
  }
  EXPECT_LT(std::filesystem::file_size(ledger_directory(state) + "/0123456789ab"), limits::kLedgerGrowsTo * 11 / 10);
  const auto left = read_left_ledgers(state);
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 1U);
  EXPECT_EQ(left->front().record.uid_base, 300'000U);
  EXPECT_THAT(left->front().record.containers,
              testing::ElementsAre(testing::Pair(name("intended"), ""), testing::Pair(name("made"), kId)));
  file->remove();
  EXPECT_TRUE(std::filesystem::is_empty(ledger_directory(state)));
}

}  // namespace
}  // namespace sallyport::keeper
