// The real keeper loop in a process of its own, with this test as launcher, spawner and gate, and a fake dockerd.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/protocol/messages.hpp"
#include "broker/protocol/spawner_messages.hpp"
#include "broker/protocol/tally.hpp"
#include "fake_dockerd.hpp"
#include "sallyport/child.hpp"
#include "sallyport/handshake.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::testing_support {

inline constexpr const char* kProfileText = R"([worker]
command = ["/bin/true"]
[sandbox]
root = "host"
[docker]
allow = ["run", "stop", "remove", "observe"]
images = ["busybox:*"]
[docker.budget]
containers = 40
creates = "200/min"
requests = "20000/min"
)";

// Receives within a time; empty: nothing came. A datagram of size 0: the peer has closed.
struct Received {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};
std::optional<Received> receive_within(int socket, int milliseconds);
std::optional<std::string> refusal_in(const handshake::FromKeeper& answer);  // Refused, or RefusedForNow

inline constexpr uid_t kUser = 64'992;  // no root, who may open "worker"

class KeeperUnderTest {
 public:
  struct Options {
    std::string profile = kProfileText;
    std::string ledger_session;  // what an earlier broker left
    std::string ledger_text;
    std::map<std::string, std::string> more_ledgers;  // session -> whole text
    bool start = true;
    bool reap_only = false;
    std::uint32_t max_sessions = 64;
    std::size_t ballast = 0;     // bytes that the keeper's process takes a moment after its start...
    bool ballast_waits = false;  // ...or when it is told to
    std::size_t open_files = 0;  // the most that the keeper may have; 0: as this process
  };
  KeeperUnderTest() : KeeperUnderTest(Options{}) {}
  explicit KeeperUnderTest(const Options& options);
  ~KeeperUnderTest();

  void start();
  void restart();  // the next broker, once this one has ended
  // Opens a session; gate() and control() are its ends here. False: refused, see refusal().
  // With a uid range of its own only where the test is root.
  bool open(std::uint32_t uid_base = 0, int milliseconds = 15'000);
  // The two halves of it, without an answer that is waited for.
  UniqueFd connect() const;
  void say_hello(int control, std::uint32_t uid_base = 0);
  const std::string& refusal() const { return refusal_; }
  int gate() const { return gate_.get(); }
  int relay() const { return relay_.get(); }  // where the profile has a forward
  int control() const { return control_.get(); }
  void close_control() { control_.reset(); }
  void close_gate() { gate_.reset(); }
  std::string session() const { return session_; }
  protocol::Tally* tally() const { return tally_.get(); }  // of the gate that this test is

  void send(protocol::RequestId id, const protocol::Request& request);
  void send_raw(std::span<const std::byte> bytes, std::span<const int> fds = {});
  // The next reply to `id`; others are kept for their turn.
  std::optional<protocol::ReplyEnvelope> reply(protocol::RequestId id, int milliseconds = 15'000);
  std::vector<UniqueFd> take_fds() { return std::move(fds_); }
  // Sends and waits for the last reply.
  protocol::Reply ask(const protocol::Request& request);
  template <class T>
  T expect(const protocol::Request& request) {
    const protocol::Reply answer = ask(request);
    if (const auto* of = std::get_if<T>(&answer)) return *of;
    if (const auto* failed = std::get_if<protocol::Failed>(&answer))
      ADD_FAILURE() << failed->http_status << " " << failed->message.value;
    else ADD_FAILURE() << "another reply, " << answer.index();
    return T{};
  }
  protocol::CreateContainer create_request(const char* name = nullptr) const;

  void take_ballast() const;

  std::vector<std::string> audit() const;
  std::vector<std::string> audit_of_reads() const;
  bool audit_has(std::string_view part) const;
  bool audit_has_now(std::string_view part) const;
  // The ledgers of this keeper cannot be written from now on, though everything else can.
  void let_ledger_grow(bool may) const;
  void let_ledger_stop_growing_with_its_range() { ledger_ends_with_range_ = true; }  // of the next session
  std::vector<std::string> spawner_events() const;
  bool spawner_saw(const std::string& event, int milliseconds = 5000) const;
  void tell_keeper(const protocol::spawner::FromSpawner& message);
  void tell_keeper_of_dial(const protocol::spawner::DialDone& done, int upstream);
  std::string ledger_of(const std::string& session) const;  // "": there is none
  std::string log() const;                                  // what the keeper has said to people
  UniqueFd take_control() { return std::move(control_); }   // the session lives as long as this is open
  UniqueFd take_gate() { return std::move(gate_); }         // and this, beside the next that is opened
  pid_t keeper_pid() const { return keeper_pid_; }
  std::size_t own_memory() const;  // of the keeper: resident and backed by no file
  bool is_alive() const { return !keeper_.has_ended(); }
  void signal_keeper(int signal) const { (void)keeper_.send_signal(signal); }
  // As a launcher does it: hears that its worker is to end, and says that it has.
  [[nodiscard]] bool hears_of_the_stop() const;
  void worker_ends() const;
  std::optional<int> exit_code(int milliseconds);
  void kill_init();
  // From now on the trail cannot be written, though smaller files can; or it can again. A session has been opened.
  void let_files_grow(bool may) const;
  std::string directory() const { return directory_; }

  // The next so many removals of a cgroup fail.
  void let_cgroups_stay(int times) { stubborn_cgroups_ = times; }
  void hold_kills(bool held) { holds_kills_ = held; }              // the spawner answers none until it is let go of
  void let_dials_end_with(int error) { dials_end_with_ = error; }  // 0: they hang
  void let_next_uid_base_be(std::uint32_t base) { next_uid_base_ = base; }
  void let_take_over_of_never_be_answered(const std::string& session) { mute_take_over_ = session; }  // before start()
  // Answers none before it has been asked for so many: whoever waits for one before it asks for the next waits for
  // good.
  void answer_take_overs_when_there_are(std::size_t count) { take_overs_together_ = count; }  // before start()
  void let_spawner_die_after_a_kill() { spawner_dies_after_kill_ = true; }

  FakeDockerd& dockerd() { return *dockerd_; }
  const FakeDockerd& dockerd() const { return *dockerd_; }

 private:
  void run_spawner();
  std::string directory_;
  bool reap_only_ = false;
  std::uint32_t max_sessions_ = 64;
  std::size_t ballast_ = 0;
  bool ballast_waits_ = false;
  std::size_t open_files_ = 0;
  std::unique_ptr<FakeDockerd> dockerd_;
  ProcessHandle keeper_;
  pid_t keeper_pid_ = -1;
  pid_t init_pid_ = -1;
  std::thread spawner_;
  UniqueFd spawner_end_;
  UniqueFd control_;
  UniqueFd gate_;
  UniqueFd next_gate_;
  UniqueFd relay_;
  UniqueFd next_relay_;
  std::string session_;
  std::string refusal_;
  std::atomic<int> stubborn_cgroups_ = 0;
  std::atomic<bool> spawner_dies_after_kill_ = false;
  std::atomic<bool> holds_kills_ = false;
  std::atomic<bool> ledger_ends_with_range_ = false;
  std::atomic<int> dials_end_with_ = 0;
  std::atomic<std::uint32_t> next_uid_base_ = 300'000;
  std::string mute_take_over_;
  std::size_t take_overs_together_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
  std::multimap<protocol::RequestId, protocol::ReplyEnvelope> kept_;
  std::vector<UniqueFd> fds_;
  protocol::SharedTally tally_;
  protocol::RequestId last_id_ = 1000;
};

inline const std::string kLeftSession = "0123456789ab";
// For a keeper that is not started yet, so that the test says first how dockerd behaves. `lines`: of the ledger that an
// earlier broker left, after its head.
inline KeeperUnderTest::Options after_a_broker_that_left(const std::string& lines) {
  KeeperUnderTest::Options options;
  options.ledger_session = kLeftSession;
  options.ledger_text = "session " + kLeftSession + " worker 300000 cgroupfs\n" + lines;
  options.start = false;
  return options;
}

// True as soon as the condition holds, within the time.
template <class Condition>
bool eventually(Condition&& condition, int milliseconds = 5000) {
  for (int waited = 0; waited < milliseconds; waited += 10) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

}  // namespace sallyport::testing_support
