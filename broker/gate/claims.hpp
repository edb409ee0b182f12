// UNTRUSTED SIDE. What the gate decided alone, told to the keeper for the record: at most one a second of each kind,
// with a count, so that a flood of refusals is counted and not dropped, and never floods the keeper.
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
  void add(bool allowed, std::uint16_t status, std::string_view method, std::string_view endpoint,
           std::string_view rule, std::string_view reason);

 private:
  struct Kind {
    protocol::GateClaim claim;
    std::uint32_t waiting = 0;  // not told yet
    Clock::time_point told{};
  };
  bool flush(Clock::time_point now);
  bool tell(Kind& kind, Clock::time_point now);

  KeeperClient& keeper_;
  Ticker& ticker_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace sallyport::gate
