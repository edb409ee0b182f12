// What the worker's unit says beside what the launcher does.
#include <fstream>

#include "sallyport/limits.hpp"

namespace sallyport::launcher {
namespace {

// Seconds of a key of the unit; 0 where it has none.
std::chrono::seconds seconds_of(const std::string& key) {
  std::ifstream unit(SALLYPORT_UNITS "/sallyport-worker@.service.in");
  for (std::string line; std::getline(unit, line);)
    if (line.starts_with(key + "=")) return std::chrono::seconds(std::stoi(line.substr(key.size() + 1)));
  return {};
}

TEST(WorkersUnit, LetsTheLauncherSayWhatGoesOnWithoutIt) {
  EXPECT_GT(seconds_of("TimeoutStopSec"), limits::kLauncherWaits + limits::kTermGrace);
}

}  // namespace
}  // namespace sallyport::launcher
