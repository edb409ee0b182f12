// UNTRUSTED SIDE. A method and target to a row of kEndpoints. The path is split before anything is decoded; literal
// segments match byte for byte, only placeholders are percent-decoded, once. Nothing is cleaned, redirected or guessed.
#pragma once

#include <string>
#include <string_view>

#include "broker/api/endpoints.hpp"
#include "broker/api/versions.hpp"
#include "broker/gate/refusal.hpp"

namespace sallyport::gate {

struct Route {
  const api::Endpoint* row = nullptr;
  std::string object;                  // what the first placeholder stands for, decoded
  std::string_view query;              // view into the target
  unsigned minor = api::kNewestMinor;  // of the client's API version; the newest where it names none
};
Outcome<Route> route(std::string_view method, std::string_view target);

}  // namespace sallyport::gate
