// The real spawner in a process of its own, with the test in the keeper's place: it sends requests and hears answers
// and events. Gate and relay are the probe program unless a test names others.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
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
  std::string relay_program;  // "" for the probe
  std::uint32_t max_sessions = 64;
  gid_t docker_group = 0;
};

class Harness {
 public:
  explicit Harness(HarnessShape shape = {});
  ~Harness();

  const BrokerConfig& config() const { return config_; }
  UidRange take_range() const;
  SessionId new_session() const;

  void send(const messages::ToSpawner& message, const std::vector<int>& fds = {}, std::uint32_t number = 1) const;
  void send_raw(const std::string& bytes) const;
  // The next message of any kind, within `limit`.
  std::optional<Heard> hear(std::chrono::milliseconds limit = std::chrono::seconds(8));
  template <class T>
  T hear_one(std::vector<UniqueFd>* fds = nullptr);

  // What a launcher of root sends for this sandbox, through the keeper.
  messages::StartSession request_for(const SessionId& session, const FakeSandbox& sandbox,
                                     std::uint32_t uid_base) const;
  std::vector<int> fds_for(const FakeSandbox& sandbox, const UidRange& range) const;

  pid_t spawner_pid() const { return spawner_pid_; }
  std::vector<pid_t> children() const;  // of the spawner: gates, relays, dialers; not the stand-in for the keeper
  void keeper_exits(int code);
  std::optional<ExitStatus> wait_for_spawner(std::chrono::milliseconds limit = std::chrono::seconds(8));
  const Child& spawner() const { return spawner_; }

 private:
  BrokerConfig config_;
  std::string directory_;
  UniqueFd channel_;
  UniqueFd keeper_life_;
  Child spawner_;
  pid_t spawner_pid_ = 0;
};

template <class T>
T Harness::hear_one(std::vector<UniqueFd>* fds) {
  auto heard = hear();
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

std::string read_file(const std::string& path);
std::string cgroup_of(const SessionId& session);  // "" where it has none
// True once `condition` holds, polled for `limit`.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(5));

}  // namespace sallyport::spawner_test
