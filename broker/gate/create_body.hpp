// UNTRUSTED SIDE. A create body to the typed CreateContainer, driven by kCreateFields: every member of the body is
// looked up there, and what has no row is refused unless it is zero. Nothing of the body goes on but the fields of the
// result.
#pragma once

#include <string_view>

#include "broker/gate/query.hpp"
#include "broker/gate/refusal.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

Outcome<protocol::CreateContainer> read_create(const Query& query, std::string_view body);

}  // namespace sallyport::gate
