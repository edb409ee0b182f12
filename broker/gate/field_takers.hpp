// UNTRUSTED SIDE. What is done with the fields of a create body that are carried or forced: one taker for each such row
// of kCreateFields. A taker checks its value's kind and grammar, and puts it into the typed request or nowhere.
#pragma once

#include <string>
#include <string_view>

#include "broker/api/create_fields.hpp"
#include "broker/gate/json_reader.hpp"
#include "broker/gate/query.hpp"
#include "broker/gate/refusal.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

// What one field needs while it is taken: where it is, its value, its row.
struct Taking {
  std::string_view path;
  const JsonValue& value;
  const api::CreateField& row;
};
struct Draft {
  const Query& query;
  protocol::CreateContainer request;
  std::int64_t cpu_period = 0;
  std::int64_t cpu_quota = 0;
};

// For the rows that are carried or forced and that a client's key can reach.
Outcome<> take_field(Draft& draft, const Taking& field);

// Refusals that name field, value and reason.
std::string shown(const JsonValue& value);
std::unexpected<Refusal> not_allowed(const Taking& field);
std::unexpected<Refusal> wrong(const Taking& field, std::string_view what);

}  // namespace sallyport::gate
