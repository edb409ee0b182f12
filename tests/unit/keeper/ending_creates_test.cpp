// Creates that dockerd answers while their session is being cleaned up: nothing of them is left, whenever the answers
// come.
#include "dockerd_model.hpp"
#include "keeper_under_test.hpp"
#include "unit/thorough.hpp"

namespace sallyport::testing_support {
namespace {

// As one moment of a dockerd that is slow: creates are answered between the first removal and its answer.
class CrossingDockerd {
 public:
  explicit CrossingDockerd(std::size_t in_flight) : in_flight_(in_flight) {
    model.before_create_is_answered([this](const std::string& name) {
      if (!name.ends_with("-known")) deleting_.wait();
      return FakeDockerd::Answer{};
    });
    model.before_delete([this](const std::string&) {
      deleting_.happen();
      // Until the keeper has heard of every create: its answer is read before ours, which comes later.
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
      return FakeDockerd::Answer{};
    });
  }
  void go_on() { deleting_.happen(); }
  bool has_all(const KeeperUnderTest& keeper, std::size_t known) const {
    return eventually([&] { return keeper.dockerd().times("POST /v1.41/containers/create") == known + in_flight_; });
  }
  DockerdModel model;

 private:
  std::size_t in_flight_;
  Event deleting_;
};

void end_while_creates_are_in_flight(std::size_t known, std::size_t in_flight) {
  KeeperUnderTest keeper;
  CrossingDockerd dockerd(in_flight);
  keeper.dockerd().behave(dockerd.model.behaviour());
  ASSERT_TRUE(keeper.open()) << keeper.refusal();
  for (std::size_t i = 0; i < known; ++i)
    keeper.expect<protocol::Created>(keeper.create_request(("c" + std::to_string(i) + "-known").c_str()));
  for (std::size_t i = 0; i < in_flight; ++i)
    keeper.send(static_cast<protocol::RequestId>(i + 1), keeper.create_request(("f" + std::to_string(i)).c_str()));
  ASSERT_TRUE(dockerd.has_all(keeper, known));
  keeper.close_control();
  ASSERT_TRUE(keeper.spawner_saw("kill"));
  if (known == 0) dockerd.go_on();  // there is no removal before an answer
  EXPECT_TRUE(eventually([&] { return keeper.ledger_of(keeper.session()).empty(); }));
  EXPECT_THAT(dockerd.model.names(), testing::IsEmpty()) << known << " known, " << in_flight << " in flight";
  EXPECT_TRUE(keeper.audit_has(R"("event":"session-end")"));
}

TEST(CreatesInFlight, LeaveNothingWhereTheyAreAnsweredDuringTheRemovalOfWhatIsKnown) {
  for (const std::size_t known : {0, 1, 2, 3, 4, 5, 6, 7, 8})
    for (std::size_t in_flight = 1; in_flight <= 8; ++in_flight) {
      if (!tests::in_all() && known > 2 && known < 8) continue;
      end_while_creates_are_in_flight(known, in_flight);
      if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace sallyport::testing_support
