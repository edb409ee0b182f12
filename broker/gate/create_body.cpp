#include "broker/gate/create_body.hpp"

#include <algorithm>

#include "broker/api/create_fields.hpp"
#include "broker/api/names.hpp"
#include "broker/gate/field_takers.hpp"
#include "broker/gate/json_reader.hpp"

namespace sallyport::gate {

namespace {

using protocol::CreateContainer;
using Kind = JsonValue::Kind;

bool is_neutral(const JsonValue& value, std::string_view neutral) {
  const std::string text = compact(value);
  while (!neutral.empty()) {
    const std::size_t bar = neutral.find('|');
    if (text == neutral.substr(0, bar)) return true;
    neutral.remove_prefix(bar == std::string_view::npos ? neutral.size() : bar + 1);
  }
  return false;
}

constexpr std::string_view kEndpointsConfig = "NetworkingConfig.EndpointsConfig";
constexpr std::string_view kAnyNetwork = "NetworkingConfig.EndpointsConfig.<net>";
constexpr std::string_view kHostConfig = "HostConfig";

Outcome<> unknown_member(std::string_view parent, const JsonMember& member) {
  const std::string path = parent.empty() ? member.key : std::string(parent) + "." + member.key;
  for (const api::CreateField& row : api::kCreateFields) {
    const std::size_t dot = row.path.rfind('.');
    const std::string_view row_parent = dot == std::string_view::npos ? std::string_view() : row.path.substr(0, dot);
    const std::string_view row_key = dot == std::string_view::npos ? row.path : row.path.substr(dot + 1);
    if (row_parent == parent && same_folded(row_key, member.key))
      return refuse(400, row.path,
                    "the key " + quoted(path) + " is spelled " + quoted(row.path) + "; other spellings are not served");
  }
  if (is_zero(member.value)) return {};
  const api::CreateField* misplaced = api::create_field(std::string(kHostConfig) + "." + member.key);
  if (parent.empty() && misplaced != nullptr) {
    const api::CreateField* row = api::create_field("<every HostConfig field at TOP LEVEL>");
    return refuse(403, row->path, path + " " + shown(member.value) + " is not allowed: " + std::string(row->reason));
  }
  return refuse(400, "unknown-field", "the field " + quoted(path) + " is not known here, so it has to be empty");
}

Outcome<> take_members(Draft& draft, std::string_view parent, const JsonValue& object);

Outcome<> take_member(Draft& draft, std::string_view parent, const JsonMember& member) {
  std::string path = parent.empty() ? member.key : std::string(parent) + "." + member.key;
  if (parent == kEndpointsConfig) {
    if (member.key != "default" && member.key != "none")
      return refuse(403, kAnyNetwork, path + " is not allowed: " + std::string(api::create_field(kAnyNetwork)->reason));
    path = kAnyNetwork;
  }
  const api::CreateField* row = api::create_field(path);
  if (row == nullptr) return unknown_member(parent, member);
  const Taking field{row->path, member.value, *row};
  switch (row->rule) {
    case api::FieldRule::Allow:
    case api::FieldRule::Clamp:
    case api::FieldRule::Rewrite:
    case api::FieldRule::Force: return taker_of(row->path)(draft, field);
    case api::FieldRule::MustBeDefault:
    case api::FieldRule::Deny:
      if (is_zero(member.value) || is_neutral(member.value, row->neutral)) return {};
      return not_allowed(field);
    case api::FieldRule::Members:
      if (member.value.is(Kind::Null)) return {};
      if (!member.value.is(Kind::Object)) return wrong(field, "an object");
      return take_members(draft, row->path, member.value);
  }
  return not_allowed(field);
}

Outcome<> take_members(Draft& draft, std::string_view parent, const JsonValue& object) {
  for (const JsonMember& member : object.members) TRY(take_member(draft, parent, member));
  return {};
}

Outcome<> settle_cpus(Draft& draft) {
  if (draft.cpu_quota == 0) return {};
  if (draft.request.nano_cpus != 0)
    return refuse(400, "HostConfig.NanoCpus", "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
  const std::int64_t period = draft.cpu_period == 0 ? 100'000 : draft.cpu_period;
  draft.request.nano_cpus = std::max<std::int64_t>(1, draft.cpu_quota * 1'000'000'000 / period);
  return {};
}

Outcome<std::string> platform_of(const Query& query) {
  const std::string_view platform = query.text("platform");
  const auto ordinary = [](char c) { return detail::is_alnum(c) || c == '/' || c == '.' || c == '_' || c == '-'; };
  if (platform.size() > limits::kMaxChoiceBytes || !detail::all(platform, ordinary))
    return refuse(400, "platform", "the parameter platform " + quoted(platform) + " is not SYSTEM/ARCHITECTURE");
  return std::string(platform);
}

}  // namespace

Outcome<CreateContainer> read_create(const Query& query, std::string_view body) {
  if (body.empty()) return refuse(400, "json", "a create needs a body");
  const JsonValue root = TRY(read_json(body));
  if (!root.is(Kind::Object)) return refuse(400, "json", "the body is not a JSON object");
  Draft draft;
  if (const std::string_view name = query.text("name"); !name.empty()) {
    auto parsed = api::new_container_name(name);
    if (!parsed) return refuse(400, "name", "the name " + quoted(name) + " is not allowed: " + parsed.error().doing);
    draft.request.name = std::move(*parsed);
  }
  draft.request.platform = TRY(platform_of(query));
  TRY(take_members(draft, "", root));
  TRY(settle_cpus(draft));
  if (draft.request.image.empty()) return refuse(400, "Image", "an image has to be named");
  return std::move(draft.request);
}

}  // namespace sallyport::gate
