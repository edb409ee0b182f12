#include "broker/gate/typed_request.hpp"

#include <algorithm>

#include "broker/api/names.hpp"
#include "broker/gate/create_body.hpp"
#include "broker/gate/json_reader.hpp"
#include "broker/gate/query.hpp"
#include "broker/gate/timestamp.hpp"

namespace sallyport::gate {

namespace {

using api::Verb;

// A text that can be no container's name is no container: the same answer as for one that is not ours.
Outcome<ContainerName> container_of(const Route& route) {
  auto name = ContainerName::parse(route.object);
  if (!name) return refuse(404, row_of(route.row->verb).path, "No such container: " + route.object.substr(0, 80));
  return std::move(*name);
}

Outcome<std::int64_t> nanoseconds_of(const Query& query, std::string_view key) {
  const std::string_view text = query.text(key);
  if (text.empty() || text == "0") return 0;  // no bound at all, as dockerd has it
  const auto moment = timestamp_of(text);
  if (!moment)
    return refuse(400, key,
                  "the parameter " + std::string(key) + " " + quoted(text) +
                      " is neither SECONDS[.FRACTION] nor a date and time as in 2026-01-31T23:59:59Z");
  return std::max<std::int64_t>(1, *moment);  // the epoch and all before it are a bound, and 0 would be none
}

Outcome<protocol::WaitCondition> condition_of(const Query& query) {
  const std::string_view text = query.text("condition");
  if (text.empty() || text == "not-running") return protocol::WaitCondition::NotRunning;
  if (text == "next-exit") return protocol::WaitCondition::NextExit;
  if (text == "removed") return protocol::WaitCondition::Removed;
  return refuse(400, "condition", "invalid condition: " + quoted(text));
}

Outcome<std::string> detach_keys_of(const Query& query) {
  const std::string_view text = query.text("detachKeys");
  const auto plain = [](char c) {
    return detail::is_lower(c) || detail::is_digit(c) || std::string_view("@[]^_,-").find(c) != std::string_view::npos;
  };
  if (text.size() > limits::kMaxDetachKeysBytes || !detail::all(text, plain))
    return refuse(400, "detachKeys", "the parameter detachKeys " + quoted(text) + " is not a list of keys");
  return std::string(text);
}

Outcome<protocol::Request> attach_of(ContainerName container, const Query& query) {
  protocol::AttachContainer attach;
  attach.container = std::move(container);
  attach.logs = query.flag("logs");
  attach.stream = query.flag("stream");
  attach.use_stdin = query.flag("stdin");
  attach.use_stdout = query.flag("stdout");
  attach.use_stderr = query.flag("stderr");
  attach.detach_keys = TRY(detach_keys_of(query));
  return attach;
}

Outcome<protocol::Request> logs_of(ContainerName container, const Query& query) {
  protocol::ReadLogs logs;
  logs.container = std::move(container);
  logs.follow = query.flag("follow");
  logs.use_stdout = query.flag("stdout");
  logs.use_stderr = query.flag("stderr");
  if (!logs.use_stdout && !logs.use_stderr)
    return refuse(400, "stdout", "Bad parameters: you must choose at least one stream");
  logs.timestamps = query.flag("timestamps");
  logs.since_nanoseconds = TRY(nanoseconds_of(query, "since"));
  logs.until_nanoseconds = TRY(nanoseconds_of(query, "until"));
  const std::string_view tail = query.text("tail");
  if (tail.empty() || tail == "all") return logs;
  const auto lines = integer_of(tail);
  if (!lines) return refuse(400, "tail", "the parameter tail " + quoted(tail) + " is not a number of lines");
  if (*lines >= 0) logs.tail = static_cast<std::uint32_t>(std::min<std::int64_t>(*lines, UINT32_MAX));
  return logs;
}

Outcome<protocol::Request> kill_of(ContainerName container, const Query& query) {
  const auto signal = api::signal_of(query.text("signal"));
  if (!signal) return refuse(400, "signal", "Invalid signal: " + quoted(query.text("signal")));
  protocol::KillContainer kill;
  kill.container = std::move(container);
  kill.signal = *signal;
  return kill;
}

Outcome<protocol::Request> stop_of(ContainerName container, const Query& query) {
  protocol::StopContainer stop;
  stop.container = std::move(container);
  if (const auto seconds = query.integer("t")) {
    const bool for_ever =
        *seconds < 0 || *seconds > UINT32_MAX;  // the keeper holds it to what is waited, and records it
    stop.timeout = for_ever ? UINT32_MAX : static_cast<std::uint32_t>(*seconds);
  }
  return stop;
}

Outcome<protocol::Request> resize_of(ContainerName container, const Query& query) {
  const auto height = query.integer("h");
  const auto width = query.integer("w");
  if (!height || !width || *height < 0 || *height > UINT16_MAX || *width < 0 || *width > UINT16_MAX)
    return refuse(400, "h", "resize needs h and w between 0 and 65535");
  protocol::ResizeContainer resize;
  resize.container = std::move(container);
  resize.height = static_cast<std::uint16_t>(*height);
  resize.width = static_cast<std::uint16_t>(*width);
  return resize;
}

Outcome<protocol::Request> container_request(Verb verb, ContainerName container, const Query& query) {
  switch (verb) {
    case Verb::Start: return protocol::StartContainer{std::move(container)};
    case Verb::Wait: return protocol::WaitContainer{std::move(container), TRY(condition_of(query))};
    case Verb::Attach: return attach_of(std::move(container), query);
    case Verb::Logs: return logs_of(std::move(container), query);
    case Verb::Kill: return kill_of(std::move(container), query);
    case Verb::Stop: return stop_of(std::move(container), query);
    case Verb::Resize: return resize_of(std::move(container), query);
    case Verb::Inspect: return protocol::InspectContainer{std::move(container)};
    case Verb::Remove: return protocol::RemoveContainer{std::move(container), query.flag("force")};
    case Verb::None:
    case Verb::Ping:
    case Verb::Version:
    case Verb::Info:
    case Verb::Create:
    case Verb::List:
    case Verb::kCount: break;
  }
  return refuse(500, "verb", "this verb has no typed request");
}

}  // namespace

Outcome<> check_idle_body(Verb verb, const Head& head, std::string_view body) {
  if (head.has_content_type && !is_json_type(head.content_type) && !body.empty())
    return refuse(400, "body", "a body of type " + quoted(head.content_type) + " is not served here");
  if (body.empty()) return {};
  const JsonValue root = TRY(read_json(body));
  if (root.is(JsonValue::Kind::Null)) return {};
  if (!root.is(JsonValue::Kind::Object)) return refuse(400, "body", "the body is not a JSON object");
  for (const JsonMember& member : root.members) {
    const api::QueryField* field = api::query_field(verb, member.key);
    const bool nested = member.value.is(JsonValue::Kind::Object) || member.value.is(JsonValue::Kind::Array);
    if (is_zero(member.value)) continue;
    if (verb == Verb::Start || field == nullptr || field->rule == api::QueryRule::MustBeDefault || nested)
      return refuse(verb == Verb::Start ? 403 : 400, "body",
                    "the field " + quoted(member.key) + " is not served in the body of this request");
  }
  return {};
}

Outcome<TypedRequest> typed_request(const Route& route, const Head& head, std::string_view body) {
  const Verb verb = route.row->verb;
  const Query query = TRY(Query::parse(verb, route.query));
  TypedRequest typed;
  if (verb == Verb::Create) {
    if (!is_json_type(head.content_type))
      return refuse(
          400, "body",
          "Content-Type specified (" + std::string(head.content_type.substr(0, 80)) + ") must be 'application/json'");
    typed.request = TRY(read_create(query, body));
    return typed;
  }
  TRY(check_idle_body(verb, head, body));
  if (verb == Verb::List) {
    typed.filter = TRY(ListFilter::parse(query));
    typed.request = protocol::ListContainers{typed.filter.needs_all()};
    return typed;
  }
  ContainerName container = TRY(container_of(route));
  typed.request = TRY(container_request(verb, std::move(container), query));
  return typed;
}

}  // namespace sallyport::gate
