// UNTRUSTED SIDE. What the gate decided alone, told to the keeper for the record: at most one a second of each kind,
// with a count, so that a flood of refusals is counted and not dropped, and never floods the keeper. Each is in the
// tally that the keeper can read before its client hears of it; what waits is told when the last client leaves, and at
// the end.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "broker/gate/keeper_client.hpp"
#include "broker/gate/ticker.hpp"

namespace sallyport::gate {

class Claims {
 public:
  Claims(KeeperClient& keeper, Ticker& ticker);
  // `endpoint` is the path of a row, or, where the client made it up, its own.
  enum class Named { Row, MadeUp };
  void add(bool allowed, std::uint16_t status, std::string_view method, std::string_view endpoint,
           std::string_view rule, std::string_view reason, Named named = Named::Row);
  // Whoever left may have been the last. Not for each of many short connections: the tick tells as well.
  void tell_early();
  bool tell_all();  // whatever its interval; false where the channel is full: some still wait

 private:
  struct Kind {
    protocol::GateClaim claim;
    bool made_up = false;
    std::uint32_t waiting = 0;  // not told yet
    Clock::time_point told{};
  };
  bool flush(Clock::time_point now);
  bool tell(Kind& kind, Clock::time_point now);
  Kind& kind_of(protocol::GateClaim claim, Named named);

  KeeperClient& keeper_;
  Ticker& ticker_;
  std::map<std::string, Kind> kinds_;
  std::size_t made_up_ = 0;  // of these
  Clock::time_point told_early_{};
};

}  // namespace sallyport::gate
