// UNTRUSTED SIDE. A routed request with its query and body to the typed request for the keeper.
#pragma once

#include <string_view>

#include "broker/gate/http_head.hpp"
#include "broker/gate/list_filter.hpp"
#include "broker/gate/route.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

struct TypedRequest {
  protocol::Request request;
  ListFilter filter;  // of a list
};

// Not for the verbs that the gate answers alone.
Outcome<TypedRequest> typed_request(const Route& route, const Head& head, std::string_view body);

// Bodies that mean nothing: none at all, or a small JSON object of this verb's own query keys (dockerode's way).
Outcome<> check_idle_body(api::Verb verb, const Head& head, std::string_view body);

}  // namespace sallyport::gate
