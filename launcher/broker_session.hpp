// TRUSTED SIDE. The launcher's end of the control connection to the broker. While it is open the session lives; when
// the keeper closes it, the sandbox has to die.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/plan.hpp"
#include "sallyport/child.hpp"
#include "sallyport/handshake.hpp"
#include "sallyport/profile/config.hpp"
#include "sallyport/uid_range.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::launcher {

Result<UniqueFd> connect_to_broker(const BrokerConfig& config);

// Waits until the descriptor is readable; an error where something else ends the wait (a signal, init's death, time).
using WaitReadable = std::function<Result<>(int descriptor)>;

class BrokerSession {
 public:
  explicit BrokerSession(UniqueFd connection) : connection_(std::move(connection)) {}

  struct Offer {
    const Profile& profile;
    const Plan& plan;
    const UidRange& range;
    const ProcessHandle& init;
    int stream = -1;  // the broker's end of the worker's descriptor 3
    const std::vector<UniqueFd>& listeners;
  };
  Result<handshake::Opened> open(const Offer& offer, const WaitReadable& wait);

  int descriptor() const { return connection_.get(); }
  bool broker_stops() const { return broker_stops_; }  // it has said so: whatever ends then, ends by that
  struct Heard {
    enum class What : std::uint8_t { Ended, Notice, EndWorker } what = What::Ended;
    std::string text;                // for a person
    std::chrono::seconds within{0};  // EndWorker: the most that its worker has
  };
  Heard hear();                                                            // when descriptor() is readable
  std::optional<std::string> says_why(std::chrono::milliseconds at_most);  // it ended, if it does; notices are lost
  void worker_ended(ExitStatus status, bool time_up);                      // for the record

  // When descriptor() is readable, and the worker has ended: the broker's next word.
  enum class Word : std::uint8_t { Notice, LeftBehind, Ended, Done, Closed };
  struct LastWord {
    Word word = Word::Closed;
    std::string text;  // for a person; "" with Done
  };
  LastWord last_word();

 private:
  Result<handshake::FromKeeper> receive();
  bool wait_readable(std::chrono::steady_clock::time_point until) const;
  UniqueFd connection_;
  bool broker_stops_ = false;
};

}  // namespace sallyport::launcher
