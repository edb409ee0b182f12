// The real spawner in a process of its own, with the test in the keeper's place: it sends requests and hears answers
// and events. Gate and relay are the probe program unless a test names others.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "broker/protocol/spawner_messages.hpp"
#include "sallyport/child.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/uid_range.hpp"
#include "sallyport/unique_fd.hpp"
#include "unit/spawner/fake_sandbox.hpp"

namespace sallyport::spawner_test {

namespace messages = protocol::spawner;

struct Heard {
  std::uint32_t number = 0;  // of the request that it answers
  messages::FromSpawner message;
  std::vector<UniqueFd> fds;
};

struct HarnessShape {
  std::string gate_program;  // "" for the probe
  std::string relay_program;
  std::uint32_t max_sessions = 64;
  gid_t docker_group = 0;
  std::uint32_t uids = 1600;   // of the span
  bool own_cgroup = false;     // the spawner lives in one of its own, as under systemd
  bool has_systemctl = false;  // the probe stands for it, and writes into the runtime directory how it was called
};

class Harness {
 public:
  explicit Harness(HarnessShape shape = {});
  ~Harness();

  const BrokerConfig& config() const { return config_; }
  const std::string& cgroup() const { return cgroup_; }  // of cgroup2, where it has one of its own
  UidRange take_range() const;
  bool is_free(std::uint32_t base) const;  // a range: nobody holds its lock
  SessionId new_session() const;

  void send(const messages::ToSpawner& message, const std::vector<int>& fds = {}, std::uint32_t number = 1) const;
  void send_raw(const std::string& bytes) const;
  // The next message of any kind, within `limit`; what came by itself before an answer that was awaited comes first.
  std::optional<Heard> hear(std::chrono::milliseconds limit = std::chrono::seconds(8));
  // The next T. What comes by itself, ends of processes and of dials, may come before any answer: it is kept for later.
  template <class T>
  T hear_one(std::vector<UniqueFd>* fds = nullptr);

  // What a launcher of root sends for this sandbox, through the keeper.
  messages::StartSession request_for(const SessionId& session, const FakeSandbox& sandbox,
                                     std::uint32_t uid_base) const;
  std::vector<int> fds_for(const FakeSandbox& sandbox, const UidRange& range) const;

  pid_t spawner_pid() const { return spawner_pid_; }
  std::vector<pid_t> children() const;  // of the spawner: gates, relays, dialers; not the stand-in for the keeper
  void keeper_exits(int code);
  void keeper_closes_its_channel() { channel_.reset(); }
  std::optional<ExitStatus> wait_for_spawner(std::chrono::milliseconds limit = std::chrono::seconds(8));
  const Child& spawner() const { return spawner_; }

 private:
  std::optional<Heard> receive(std::chrono::milliseconds limit);

  BrokerConfig config_;
  std::string directory_;
  std::string cgroup_;
  std::deque<Heard> came_by_itself_;
  UniqueFd channel_;
  UniqueFd keeper_life_;
  Child spawner_;
  pid_t spawner_pid_ = 0;
};

template <class T>
T Harness::hear_one(std::vector<UniqueFd>* fds) {
  constexpr bool kIsAnswer = !std::is_same_v<T, messages::ChildEnded> && !std::is_same_v<T, messages::DialDone>;
  const auto comes_by_itself = [](const std::optional<Heard>& heard) {
    return heard && (std::holds_alternative<messages::ChildEnded>(heard->message) ||
                     std::holds_alternative<messages::DialDone>(heard->message));
  };
  std::optional<Heard> heard = kIsAnswer ? receive(std::chrono::seconds(8)) : hear();
  while (kIsAnswer && comes_by_itself(heard)) {
    came_by_itself_.push_back(std::move(*heard));
    heard = receive(std::chrono::seconds(8));
  }
  if (!heard) throw std::runtime_error("the spawner said nothing in time");
  if (auto* failed = std::get_if<messages::SpawnFailed>(&heard->message);
      failed && !std::is_same_v<T, messages::SpawnFailed>)
    throw std::runtime_error("the spawner refused: " + failed->reason.value);
  if (!std::holds_alternative<T>(heard->message))
    throw std::runtime_error("the spawner said something else, index " + std::to_string(heard->message.index()));
  if (fds != nullptr) *fds = std::move(heard->fds);
  return std::get<T>(heard->message);
}

// A gate in its place, with the keeper's end of its channel.
struct RunningSession {
  SessionId id;
  UidRange range;
  FakeSandbox sandbox;
  UniqueFd gate;
  UniqueFd relay;
};
RunningSession start_session(Harness& harness, SandboxShape shape = {});

// Words with the probe on its channel.
std::string ask_probe(int channel, const std::string& question);
std::string hear_probe(int channel);

// What a caller may have left a process: groups, inheritable and ambient capabilities, a descriptor that an exec keeps,
// the highest limits, an umask of 0.
void have_all_that_must_go();

std::string read_file(const std::string& path);
std::string own_cgroup();                          // this process's, of cgroup2
std::string make_cgroup(const std::string& name);  // below it
std::string cgroup_of(const SessionId& session);   // "" where it has none; of a spawner without one of its own
// True once `condition` holds, polled for `limit`.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(5));

}  // namespace sallyport::spawner_test
