// HOSTILE INPUT. The launcher while the worker runs: signals in, output out, the time limit, the broker's connection.
// One thread, one poll; nothing here waits for one party only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/broker_session.hpp"
#include "launcher/pumps.hpp"
#include "launcher/sandbox.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::launcher {

// What is known for certain, for --status-fd and the exit code.
struct Outcome {
  enum class Ended : std::uint8_t { Worker, NotBuilt, BrokerGone, InitGone };
  Ended ended = Ended::NotBuilt;
  std::optional<ExitStatus> worker;  // as init has said: Worker, and BrokerGone where init could still say it
  bool time_up = false;
  bool is_misconfigured = false;  // NotBuilt, and will be until the profile, broker.toml or the host's files change
  int asked_to_end_by = 0;        // NotBuilt, and BrokerGone where it was a stop that both wanted: the caller's signal
  bool broker_stops = false;      // it has said so before the end
  bool for_a_unit = false;        // a worker's own 78 must not be taken for ours, nor a broker's stop for a failure
  std::uint64_t dropped_output_bytes = 0;
  std::string reason;     // for a person; empty where the worker ended by itself
  bool was_said = false;  // on stderr, when it came to be
  int exit_code() const;
};

// The signals that belong to the worker: blocked here and read from a descriptor. Must be made before the clone.
class Signals {
 public:
  static Result<Signals> take();
  int descriptor() const { return descriptor_.get(); }
  std::vector<int> pending();
  void keep(int signal) { kept_.push_back(signal); }  // for the next who asks, though descriptor() does not tell

 private:
  std::vector<int> kept_;
  UniqueFd descriptor_;
};

bool asks_to_end(int signal);
int wish_to_end(const std::vector<int>& signals);  // the last of them that asks to end; 0: none does

class Supervisor {
 public:
  // `session` may be null. Both outlive the supervisor.
  Supervisor(const Plan& plan, Sandbox& sandbox, Signals& signals, BrokerSession* session);
  Outcome run();

 private:
  using Clock = std::chrono::steady_clock;
  void hear_init();
  void hear_inits_end();
  bool init_speaks() const;
  void find_worker();
  void hear_signals();
  void hear_broker();
  void prefer_the_cause();
  void blame_the_stop();
  void say_if_dropping();
  void say(const std::string& what);
  void tell_systemd_what_is_due();
  void start_the_clock();
  void check_the_clock();
  void ask_to_end(const std::string& why);
  void kill_after_grace();
  void signal_worker(int signal);
  void end(Outcome::Ended how, std::string reason);
  void let_broker_bound_the_grace(std::chrono::seconds most);
  int time_to_wait() const;  // in milliseconds; -1: for ever
  int poll_timeout();
  void poll_once();
  void drain_output();

  const Plan& plan_;
  Sandbox& sandbox_;
  Signals& signals_;
  BrokerSession* session_;
  OutputBudget budget_;
  InputPump input_;
  OutputPump output_, error_;
  ProcessHandle worker_;
  std::vector<int> early_signals_;  // came before the worker was there
  std::optional<Clock::time_point> deadline_;
  int callers_wish_ = 0;        // a signal that asks to end
  bool was_asked_ = false;      // to end, by SIGTERM
  bool we_have_asked_ = false;  // and the caller's own SIGTERM, should it come, would be a second one
  Clock::time_point asked_at_;
  bool kills_next_ = false;  // the clock
  std::optional<Outcome> outcome_;
  bool time_up_ = false;
  bool runs_ = false;  // as far as anybody has asked
  int tries_to_say_so_ = 3;
  std::optional<Clock::time_point> next_word_;  // to systemd
  std::chrono::seconds grace_;                  // between SIGTERM and SIGKILL
  bool said_dropping_ = false;
  bool said_killing_ = false;
  bool init_is_gone_ = false;
};

}  // namespace sallyport::launcher
