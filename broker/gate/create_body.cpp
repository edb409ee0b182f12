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

// Value against value, never text against text: a client's text could hold what separates the neutral ones.
bool is_neutral(const JsonValue& value, std::string_view neutral) {
  while (!neutral.empty()) {
    const std::size_t bar = neutral.find('|');
    const auto one = read_json(neutral.substr(0, bar));
    if (one && *one == value) return true;
    neutral.remove_prefix(bar == std::string_view::npos ? neutral.size() : bar + 1);
  }
  return false;
}

constexpr const api::CreateField& kEndpointsConfig = api::create_field("NetworkingConfig.EndpointsConfig");
constexpr const api::CreateField& kAnyNetwork = api::create_field("NetworkingConfig.EndpointsConfig.<net>");
constexpr const api::CreateField& kHostConfig = api::create_field("HostConfig");
constexpr const api::CreateField& kMisplaced = api::create_field("<every HostConfig field at TOP LEVEL>");

// Where a member stands, for a message; nothing is decided by it.
std::string shown_place(std::string_view parent, std::string_view key) {
  return parent.empty() ? std::string(key) : std::string(parent) + "." + std::string(key);
}

Outcome<> unknown_member(std::string_view parent, const JsonMember& member) {
  const std::string place = shown_place(parent, member.key);
  for (std::size_t i = 0; i < api::kCreateFields.size(); ++i) {
    const api::CreateField& row = api::kCreateFields[i];
    if (row.rule == api::FieldRule::RepeatsQuery) continue;  // dockerd ignores it in any spelling
    if (api::kFieldPlaces[i].parent == parent && same_folded(api::kFieldPlaces[i].name, member.key))
      return refuse(
          400, row.path,
          "the key " + quoted(place) + " is spelled " + quoted(row.path) + "; other spellings are not served");
  }
  if (is_zero(member.value)) return {};
  if (parent.empty() && api::member_field(kHostConfig.path, member.key) != nullptr)
    return refuse(403, kMisplaced.path,
                  place + " " + shown(member.value) + " is not allowed: " + std::string(kMisplaced.reason));
  return refuse(400, "unknown-field", "the field " + quoted(place) + " is not known here, so it has to be empty");
}

const api::CreateField* row_of_member(std::string_view parent, const JsonMember& member) {
  if (parent != kEndpointsConfig.path) return api::member_field(parent, member.key);
  return member.key == "default" || member.key == "none" ? &kAnyNetwork : nullptr;
}

Outcome<> repeats_query(const Draft& draft, const Taking& field) {
  if (is_zero(field.value)) return {};
  if (!field.value.is(Kind::String)) return wrong(field, "a text");
  const std::string_view asked = draft.query.text(field.path);
  if (field.value.text == asked) return {};
  return refuse(400, field.path,
                std::string(field.path) + " " + shown(field.value) + " in the body is not " + quoted(asked) +
                    ", as the query has it: " + std::string(field.row.reason));
}

Outcome<> take_members(Draft& draft, std::string_view parent, const JsonValue& object);

Outcome<> take_member(Draft& draft, std::string_view parent, const JsonMember& member) {
  const api::CreateField* row = row_of_member(parent, member);
  if (row == nullptr && parent == kEndpointsConfig.path)
    return refuse(403, kAnyNetwork.path,
                  quoted(shown_place(parent, member.key)) + " is not allowed: " + std::string(kAnyNetwork.reason));
  if (row == nullptr) return unknown_member(parent, member);
  const Taking field{row->path, member.value, *row};
  switch (row->rule) {
    case api::FieldRule::Allow:
    case api::FieldRule::Clamp:
    case api::FieldRule::Rewrite:
    case api::FieldRule::Force: return take_field(draft, field);
    case api::FieldRule::MustBeDefault:
    case api::FieldRule::Deny:
      if (is_zero(member.value) || is_neutral(member.value, row->neutral)) return {};
      return not_allowed(field);
    case api::FieldRule::Members:
      if (member.value.is(Kind::Null)) return {};
      if (!member.value.is(Kind::Object)) return wrong(field, "an object");
      return take_members(draft, row->path, member.value);
    case api::FieldRule::RepeatsQuery: return repeats_query(draft, field);
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
  draft.request.nano_cpus = draft.cpu_quota * 1'000'000'000 / period;  // never 0: a period is a second at most
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
  const JsonValue root = TRY(read_json(body, OwnKeys::OfLabels));
  if (!root.is(Kind::Object)) return refuse(400, "json", "the body is not a JSON object");
  Draft draft{.query = query};
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
