// What requests weigh, and that honest clients have room for theirs.
#include "broker/keeper/load.hpp"

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "broker/api/endpoints.hpp"

namespace sallyport::keeper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Clock::time_point kStart{};
constexpr std::uint32_t kDefaultRequests = BudgetSection{}.requests_per_minute;

TokenBucket requests(std::uint32_t per_minute) {
  return TokenBucket(per_minute, burst_of_requests(per_minute), kStart);
}

TEST(TokenBucket, GivesItsBurstThenRefusesUntilTheTimeItTells) {
  TokenBucket bucket(3, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(bucket.take(kStart));
  EXPECT_EQ(bucket.take(kStart), 20U);
  EXPECT_EQ(bucket.take(kStart + milliseconds(19'900)), 1U);
  EXPECT_FALSE(bucket.take(kStart + seconds(20)));
}

TEST(TokenBucket, NeverHoldsMoreThanItsBurst) {
  const auto later = kStart + std::chrono::hours(5);
  TokenBucket minute(2, kStart);
  EXPECT_FALSE(minute.take(later));
  EXPECT_FALSE(minute.take(later));
  EXPECT_TRUE(minute.take(later));
  TokenBucket tenth(3000, 300, kStart);
  EXPECT_FALSE(tenth.take(later, 299));
  EXPECT_FALSE(tenth.take(later, 1));
  EXPECT_TRUE(tenth.take(later, 1));
}

TEST(TokenBucket, OfRequestsHoldsATenthOfAMinuteAndAtLeastTwenty) {
  EXPECT_EQ(burst_of_requests(3000), 300U);
  EXPECT_EQ(burst_of_requests(210), 21U);
  EXPECT_EQ(burst_of_requests(200), 20U);
  EXPECT_EQ(burst_of_requests(199), 20U);
  EXPECT_EQ(burst_of_requests(1), 20U);
}

TEST(TokenBucket, TellsATimeThatIsTrueToTheWeight) {
  for (const std::uint32_t weight : {1U, 2U, 30U, 300U}) {
    TokenBucket bucket = requests(kDefaultRequests);
    EXPECT_FALSE(bucket.take(kStart, 300));
    const auto wait = bucket.take(kStart, weight);
    ASSERT_TRUE(wait) << weight;
    EXPECT_EQ(*wait, (weight + 49) / 50) << weight;
    EXPECT_FALSE(bucket.take(kStart + seconds(*wait), weight)) << weight;
  }
}

TEST(TokenBucket, GrantsWhatWeighsMoreThanTheWholeBurstOnceItIsFullAndThenItOwes) {
  TokenBucket bucket = requests(60);  // a burst of 20, one a second
  EXPECT_FALSE(bucket.take(kStart, 30));
  EXPECT_EQ(bucket.take(kStart, 1), 11U);
  EXPECT_EQ(bucket.take(kStart, 30), 30U);
  EXPECT_TRUE(bucket.take(kStart + milliseconds(29'900), 30));
  EXPECT_FALSE(bucket.take(kStart + seconds(30), 30));
}

DockerSection with_log(std::uint64_t bytes) {
  DockerSection docker;
  docker.container.log_bytes = bytes;
  return docker;
}

TEST(Weight, OfALogReadGrowsWithTheLogThatTheProfileAllows) {
  const std::uint32_t row = api::row_of(api::Verb::Logs).weight;
  EXPECT_EQ(log_read_weight(DockerSection{}), row) << "the row is written for the default log";
  EXPECT_EQ(log_read_weight(with_log(30 << 20)), 3 * row);
  EXPECT_EQ(log_read_weight(with_log(64 << 10)), api::row_of(api::Verb::Attach).weight)
      << "opening costs something too";
  EXPECT_EQ(log_read_weight(with_log(1ULL << 40)), burst_of_requests(kDefaultRequests)) << "never beyond the burst";
}

TEST(Weight, OfAnInspectionAndAListGrowsWithTheTextsThatTheClientChose) {
  OwnedContainer container;
  container.name = *ContainerName::parse("large");
  container.described_bytes = 65'006;
  const DockerSection docker;
  const std::uint32_t inspect = api::row_of(api::Verb::Inspect).weight;
  const std::uint32_t list = api::row_of(api::Verb::List).weight;
  Ledger ledger;
  EXPECT_EQ(weigh_list(ledger, docker), list);
  const Owned owned = ledger.reserve(container);
  EXPECT_EQ(weigh_inspect(owned, docker), inspect + 3);
  EXPECT_EQ(weigh_inspect(nullptr, docker), inspect);
  container.name = *ContainerName::parse("other");
  ledger.reserve(container);
  EXPECT_EQ(weigh_list(ledger, docker), list + 7) << "of all together";
  ledger.forget(owned);
  EXPECT_EQ(weigh_list(ledger, docker), list + 3);
  ledger.describe(owned, 1U << 20);
  EXPECT_EQ(weigh_list(ledger, docker), list + 3) << "it is not there any more";
  ledger.describe(ledger.conflict(container.name), 32 * 1024);
  EXPECT_EQ(weigh_list(ledger, docker), list + 2);
  owned->described_bytes = 16 * 1024 - 1;
  EXPECT_EQ(weigh_inspect(owned, docker), inspect) << "what most clients send";
  owned->described_bytes = 1U << 30;
  EXPECT_EQ(weigh_inspect(owned, docker), burst_of_requests(kDefaultRequests)) << "never beyond the burst";
}

TEST(Weight, IsNoneForTheFirstStartAndTheRowsForEachAfterIt) {
  const auto owned = std::make_shared<OwnedContainer>();
  EXPECT_EQ(load_of_start(owned).weight, 0U);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(load_of_start(owned).weight, api::row_of(api::Verb::Start).weight);
  EXPECT_EQ(load_of_start(nullptr).weight, 1U);
}

TEST(Weight, OfTheFirstReadOfALogIsThatOfAnAttachAndTheRowsForEachAfterIt) {
  const auto owned = std::make_shared<OwnedContainer>();
  EXPECT_EQ(weigh_log_read(owned, DockerSection{}), api::row_of(api::Verb::Attach).weight);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(weigh_log_read(owned, DockerSection{}), api::row_of(api::Verb::Logs).weight);
  EXPECT_EQ(weigh_log_read(nullptr, DockerSection{}), 1U);
}

// Measured by tests/bench/weights.py: processor time of dockerd and keeper, with 5 MB of log.
TEST(Weight, LetsNoKindOfReadTakeHalfACoreAtTheDefaultBudget) {
  struct Cost {
    api::Verb verb;
    double milliseconds;
  };
  for (const Cost& cost : {Cost{api::Verb::Inspect, 0.4}, Cost{api::Verb::List, 1.1}, Cost{api::Verb::Wait, 0.3},
                           Cost{api::Verb::Logs, 200.0}, Cost{api::Verb::Attach, 0.7}, Cost{api::Verb::Kill, 4.2},
                           Cost{api::Verb::Resize, 2.0}, Cost{api::Verb::Start, 97.0}}) {
    const api::Endpoint& row = api::row_of(cost.verb);
    EXPECT_LT(kDefaultRequests / row.weight * cost.milliseconds, 30'000) << row.path;
  }
}

// --- recorded clients ---

bool is_instance_of(const api::Endpoint& row, std::string_view method, std::string_view path) {
  if (api::name_of(row.method) != method) return false;
  std::istringstream wanted{std::string(row.path)};
  std::istringstream given{std::string(path)};
  std::string want;
  std::string have;
  for (;;) {
    const bool more_wanted = static_cast<bool>(std::getline(wanted, want, '/'));
    const bool more_given = static_cast<bool>(std::getline(given, have, '/'));
    if (!more_wanted || !more_given) return more_wanted == more_given;
    if (!want.starts_with('{') && want != have) return false;
  }
}

const api::Endpoint* served_row(std::string_view method, std::string_view path) {
  for (const api::Endpoint& row : api::kEndpoints)
    if (row.rule == api::EndpointRule::Serve && is_instance_of(row, method, path)) return &row;
  return nullptr;
}

// One client's requests, each as soon as the one before it was sent: no client is as fast.
struct Replay {
  TokenBucket bucket = requests(kDefaultRequests);
  TokenBucket creates{BudgetSection{}.creates_per_minute, kStart};
  Clock::time_point now = kStart;
  std::map<std::string, Owned> containers;

  Owned container(const std::string& path) {
    const std::string name = path.substr(12, path.find('/', 12) - 12);
    Owned& owned = containers[name];
    if (!owned) owned = std::make_shared<OwnedContainer>();
    return owned;
  }
  bool is_refused(const std::string& method, const std::string& path) {
    const api::Endpoint* row = served_row(method, path);
    if (row == nullptr) return bucket.take(now, 1).has_value();  // not served today: as if it cost a little
    std::uint32_t weight = row->weight;
    if (row->verb == api::Verb::Create) {
      containers.clear();  // recordings call every container <id>
      if (creates.take(now)) return true;
    }
    if (row->verb == api::Verb::Start) weight = load_of_start(container(path)).weight;
    if (row->verb == api::Verb::Logs) weight = weigh_log_read(container(path), DockerSection{});
    return weight > 0 && bucket.take(now, weight).has_value();
  }
};

TEST(Harness, OfTheRecordingMeetsNo429) {
  std::ifstream file(std::string(SALLYPORT_KEEPER_TEST_DATA) + "/harness_requests.tsv");
  std::map<std::string, Replay> harnesses;
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    std::istringstream fields(line);
    std::string name;
    std::string method;
    std::string path;
    std::getline(fields, name, '\t');
    std::getline(fields, method, '\t');
    std::getline(fields, path, '\t');
    Replay& replay = harnesses[name];
    // Thirty commands one after the other, each a Python process that begins by asking for the version: it takes more
    // than this to begin. Within a command no time passes.
    if (name == "docker-compose 1.29" && path == "/version") replay.now += milliseconds(200);
    EXPECT_FALSE(replay.is_refused(method, path)) << line;
  }
  EXPECT_EQ(lines, 616U);
  EXPECT_EQ(harnesses.size(), 21U);
}

TEST(Harness, OfTwentyRunsOfDockerPyAtOnceMeetsNo429) {
  Replay replay;
  for (const char* request : {"POST /containers/create", "GET /containers/ID/json", "POST /containers/ID/start",
                              "GET /containers/ID/logs", "POST /containers/ID/wait", "DELETE /containers/ID"}) {
    for (int run = 0; run < 20; ++run) {
      std::string line = request;
      if (const std::size_t at = line.find("ID"); at != std::string::npos) line.replace(at, 2, std::to_string(run));
      const std::size_t space = line.find(' ');
      EXPECT_FALSE(replay.is_refused(line.substr(0, space), line.substr(space + 1))) << line;
    }
  }
}

TEST(Harness, ThatReadsALogAgainAndAgainIsHeldBack) {
  Replay replay;
  int granted = 0;
  while (!replay.is_refused("GET", "/containers/a/logs")) ++granted;
  EXPECT_EQ(granted, 1 + (300 - 2) / 30);
}

}  // namespace
}  // namespace sallyport::keeper
