// BOTH SIDES. The table of query parameters of the served endpoints. A parameter without a row is refused, and each may
// come once. None is ever passed on: values become fields of a typed request.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "broker/api/endpoints.hpp"

namespace sallyport::api {

enum class QueryRule : std::uint8_t {
  Carry,          // becomes a field of the typed request, or is evaluated by the gate
  Ignore,         // must be well-formed; without effect here
  MustBeDefault,  // only "" and false values
};
enum class QueryType : std::uint8_t { Boolean, Integer, Text };

struct QueryField {
  Verb verb;
  std::string_view key;
  QueryType type;
  QueryRule rule;
  std::string_view reason;
};

inline constexpr auto kQueryFields = std::to_array<QueryField>({
    QueryField{Verb::Create, "name", QueryType::Text, QueryRule::Carry, "the session's own name for it"},
    QueryField{Verb::Create, "platform", QueryType::Text, QueryRule::Carry, "only the image's own platform"},
    QueryField{Verb::Start, "detachKeys", QueryType::Text, QueryRule::Ignore, "means nothing at start"},
    QueryField{Verb::Start, "checkpoint", QueryType::Text, QueryRule::MustBeDefault, "checkpoints are not restored"},
    QueryField{Verb::Start, "checkpoint-dir", QueryType::Text, QueryRule::MustBeDefault,
               "it names a directory of the host"},
    QueryField{Verb::Attach, "detachKeys", QueryType::Text, QueryRule::Carry, "keys that end an attach"},
    QueryField{Verb::Attach, "logs", QueryType::Boolean, QueryRule::Carry, "output so far"},
    QueryField{Verb::Attach, "stream", QueryType::Boolean, QueryRule::Carry, "output from now on"},
    QueryField{Verb::Attach, "stdin", QueryType::Boolean, QueryRule::Carry, "which streams"},
    QueryField{Verb::Attach, "stdout", QueryType::Boolean, QueryRule::Carry, "which streams"},
    QueryField{Verb::Attach, "stderr", QueryType::Boolean, QueryRule::Carry, "which streams"},
    QueryField{Verb::Attach, "hijack", QueryType::Boolean, QueryRule::Ignore, "dockerode's own"},
    QueryField{Verb::Logs, "follow", QueryType::Boolean, QueryRule::Carry, "until the container ends"},
    QueryField{Verb::Logs, "stdout", QueryType::Boolean, QueryRule::Carry, "which streams"},
    QueryField{Verb::Logs, "stderr", QueryType::Boolean, QueryRule::Carry, "which streams"},
    QueryField{Verb::Logs, "since", QueryType::Text, QueryRule::Carry, "seconds since the epoch with a fraction, or RFC 3339"},
    QueryField{Verb::Logs, "until", QueryType::Text, QueryRule::Carry, "seconds since the epoch with a fraction, or RFC 3339"},
    QueryField{Verb::Logs, "timestamps", QueryType::Boolean, QueryRule::Carry, "a time before each line"},
    QueryField{Verb::Logs, "tail", QueryType::Text, QueryRule::Carry, "a number of lines, or all"},
    QueryField{Verb::Logs, "details", QueryType::Boolean, QueryRule::MustBeDefault,
               "it shows settings of the log driver"},
    QueryField{Verb::Wait, "condition", QueryType::Text, QueryRule::Carry, "not-running, next-exit or removed"},
    QueryField{Verb::Kill, "signal", QueryType::Text, QueryRule::Carry, "a signal's name or number"},
    QueryField{Verb::Stop, "t", QueryType::Integer, QueryRule::Carry, "seconds, held to a ceiling"},
    QueryField{Verb::Stop, "signal", QueryType::Text, QueryRule::MustBeDefault, "the signal is given at create"},
    QueryField{Verb::Resize, "h", QueryType::Integer, QueryRule::Carry, "rows"},
    QueryField{Verb::Resize, "w", QueryType::Integer, QueryRule::Carry, "columns"},
    QueryField{Verb::Inspect, "size", QueryType::Boolean, QueryRule::Ignore, "sizes are not measured"},
    QueryField{Verb::List, "all", QueryType::Boolean, QueryRule::Carry, "also those that do not run"},
    QueryField{Verb::List, "limit", QueryType::Integer, QueryRule::Carry, "the newest so many"},
    QueryField{Verb::List, "size", QueryType::Boolean, QueryRule::Ignore, "sizes are not measured"},
    QueryField{Verb::List, "trunc_cmd", QueryType::Boolean, QueryRule::Ignore, "docker-py's own"},
    QueryField{Verb::List, "since", QueryType::Text, QueryRule::Carry, "own containers only"},
    QueryField{Verb::List, "before", QueryType::Text, QueryRule::Carry, "own containers only"},
    QueryField{Verb::List, "filters", QueryType::Text, QueryRule::Carry, "evaluated on own containers only"},
    QueryField{Verb::Remove, "v", QueryType::Boolean, QueryRule::Ignore, "there are no volumes to keep"},
    QueryField{Verb::Remove, "force", QueryType::Boolean, QueryRule::Carry, "kill it first"},
    QueryField{Verb::Remove, "link", QueryType::Boolean, QueryRule::MustBeDefault, "there are no links"},
});

constexpr const QueryField* query_field(Verb verb, std::string_view key) {
  for (const QueryField& field : kQueryFields)
    if (field.verb == verb && field.key == key) return &field;
  return nullptr;
}

}  // namespace sallyport::api
