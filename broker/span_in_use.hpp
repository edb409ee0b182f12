// TRUSTED SIDE. Who already runs under the uids that sessions will have.
#pragma once

#include <string>

#include "sallyport/profile/config.hpp"

namespace sallyport {

// For a person; "" where nobody does. Ranges that somebody holds by their locks are left out: a launcher has them.
// Processes that an earlier broker left are named, too: they hold none, and are about to be ended.
std::string foreign_processes(const BrokerConfig& config);

}  // namespace sallyport
