// Runs the real sallyport-gate on descriptors of ours and plays its keeper from a thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "broker/protocol/messages.hpp"
#include "sallyport/child.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::test {

struct KeeperReply {
  protocol::Reply reply;
  std::vector<UniqueFd> fds;
};

class GateHarness {
 public:
  // What the keeper answers, at once, to one request; nothing for none.
  using Answer = std::function<std::vector<KeeperReply>(protocol::RequestId, const protocol::Request&)>;

  explicit GateHarness(Answer answer);
  ~GateHarness();

  UniqueFd connect() const;               // a client of docker.sock
  UniqueFd& stream() { return stream_; }  // the worker's fd 3
  void reply(protocol::RequestId id, KeeperReply reply);
  void join_replies() { joins_replies_ = true; }  // those to one request share a datagram; none may have descriptors
  void stop_reading(bool stopped) { is_stopped_ = stopped; }  // so that the gate's channel fills up
  std::vector<protocol::RequestEnvelope> requests();
  // All that the gate claimed, with repetitions.
  std::size_t claims(bool allowed);
  // Waits until the gate has sent `count` requests (claims aside), at most five seconds.
  bool wait_for_requests(std::size_t count);
  bool wait_for_claims(bool allowed, std::size_t count);
  std::size_t claim_messages();
  std::vector<protocol::GateClaim> all_claims();
  bool gate_runs() { return !gate_.handle().has_ended(); }
  ExitStatus close_keeper_and_wait();
  // The keeper says no more, and still reads. What the gate claimed until it ended is in claims() then.
  ExitStatus end_keepers_direction_and_wait();
  pid_t pid() const { return pid_; }
  std::size_t open_descriptors() const;  // of the gate

 private:
  void serve();
  void answer(const protocol::RequestEnvelope& envelope);
  Answer answer_;
  std::string path_;
  UniqueFd keeper_;
  UniqueFd listener_;
  UniqueFd stream_;
  Child gate_;
  pid_t pid_ = 0;
  std::atomic<bool> joins_replies_ = false;
  std::atomic<bool> is_stopped_ = false;
  std::mutex mutex_;
  std::vector<protocol::RequestEnvelope> requests_;
  std::vector<protocol::GateClaim> claims_;
  std::thread thread_;
};

// Client side: plain blocking helpers with a time limit of five seconds.
void send_all(const UniqueFd& socket, std::string_view bytes);
std::string read_until(const UniqueFd& socket, const std::function<bool(const std::string&)>& enough);
std::string read_to_end(const UniqueFd& socket);
std::string read_response(const UniqueFd& socket);  // head and body by Content-Length or chunks
std::string ask(const UniqueFd& socket, std::string_view request);
int status_of(std::string_view response);
std::string get(std::string_view target);  // a GET request as bytes
std::string post(std::string_view target, std::string_view body = {}, std::string_view type = "application/json");

// Creates that are larger together than a channel holds whose keeper does not read: each by a client of its own.
std::vector<UniqueFd> fill_channel(const GateHarness& gate);

// A container that the fake keeper knows.
protocol::Summary summary(std::string_view name, char id_digit, std::int64_t created, protocol::ContainerStatus status);

}  // namespace sallyport::test
