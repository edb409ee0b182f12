#include "broker/gate/list_filter.hpp"

#include <algorithm>
#include <array>

#include "broker/api/names.hpp"
#include "broker/gate/json_reader.hpp"

namespace sallyport::gate {

namespace {

using Kind = JsonValue::Kind;
using protocol::Summary;

constexpr std::array<std::string_view, 7> kStatusNames = {"created",  "running", "paused", "restarting",
                                                          "removing", "exited",  "dead"};
static_assert(kStatusNames.size() == static_cast<std::size_t>(protocol::ContainerStatus::kCount));

bool name_matches(std::string_view name, std::string_view pattern) {
  const bool from_start = pattern.starts_with('^');
  if (from_start) pattern.remove_prefix(1);
  const bool to_end = pattern.ends_with('$');
  if (to_end) pattern.remove_suffix(1);
  if (pattern.starts_with('/')) {
    pattern.remove_prefix(1);
    return to_end ? name == pattern : name.starts_with(pattern);
  }
  if (from_start && to_end) return name == pattern;
  if (from_start) return name.starts_with(pattern);
  if (to_end) return name.ends_with(pattern);
  return name.find(pattern) != std::string_view::npos;
}

bool label_matches(const Summary& container, std::string_view wanted) {
  const std::size_t equals = wanted.find('=');
  for (const protocol::Label& label : container.labels.items) {
    if (label.key.value != wanted.substr(0, equals)) continue;
    return equals == std::string_view::npos || label.value.value == wanted.substr(equals + 1);
  }
  return false;
}

bool refers_to(const Summary& container, std::string_view text) {
  if (text.starts_with('/')) text.remove_prefix(1);
  return !text.empty() && (container.name.text() == text || container.id.text().starts_with(text));
}

bool image_matches(const Summary& container, std::string_view wanted) {
  const auto normal = api::normal_image(wanted);
  const auto own = api::normal_image(container.image.value);
  if (normal && own && normal->text() == own->text()) return true;
  const std::string_view id = container.image_id.value;
  const std::string_view hex = id.substr(std::min<std::size_t>(id.size(), 7));
  return !wanted.empty() && (id == wanted || (wanted.size() >= 12 && hex.starts_with(wanted)));
}

using Matches = bool (*)(const Summary&, std::string_view);
struct Filter {
  std::string_view key;
  Matches matches;
};
bool never(const Summary&, std::string_view) { return false; }
// The filters of Docker's list. Those that ask for what no container here has match nothing.
constexpr auto kFilters = std::to_array<Filter>({
    {"id", [](const Summary& container, std::string_view value) { return container.id.text().starts_with(value); }},
    {"name",
     [](const Summary& container, std::string_view value) { return name_matches(container.name.text(), value); }},
    {"label", label_matches},
    {"status", [](const Summary& container, std::string_view value) { return status_name(container.status) == value; }},
    {"exited",
     [](const Summary& container, std::string_view value) {
       return container.status == protocol::ContainerStatus::Exited && integer_of(value) == container.exit_code;
     }},
    {"ancestor", image_matches},
    {"health", [](const Summary&, std::string_view value) { return value == "none"; }},
    {"network", [](const Summary&, std::string_view value) { return value == "none"; }},
    {"isolation", [](const Summary&, std::string_view value) { return value.empty() || value == "default"; }},
    {"is-task", [](const Summary&, std::string_view value) { return value == "false" || value == "0"; }},
    {"volume", never},
    {"publish", never},
    {"expose", never},
    {"since", nullptr},  // by order, not by a container alone
    {"before", nullptr},
});

const Filter* filter_of(std::string_view key) {
  for (const Filter& filter : kFilters)
    if (filter.key == key) return &filter;
  return nullptr;
}

// {"key": {"value": true}} or {"key": ["value"]}; dockerd ignores the truth value.
Outcome<std::vector<std::string>> values_of(const JsonMember& member) {
  std::vector<std::string> values;
  if (member.value.is(Kind::Object)) {
    for (const JsonMember& value : member.value.members) {
      if (!value.value.is(Kind::Boolean)) return refuse(400, "filters", "Invalid filter " + quoted(member.key));
      values.push_back(value.key);
    }
  } else if (member.value.is(Kind::Array)) {
    for (const JsonValue& value : member.value.items) {
      if (!value.is(Kind::String)) return refuse(400, "filters", "Invalid filter " + quoted(member.key));
      values.push_back(value.text);
    }
  } else if (!member.value.is(Kind::Null)) {
    return refuse(400, "filters", "Invalid filter " + quoted(member.key));
  }
  return values;
}

Outcome<> check_values(std::string_view key, const std::vector<std::string>& values) {
  for (const std::string& value : values) {
    const bool bad_status =
        key == "status" && std::find(kStatusNames.begin(), kStatusNames.end(), value) == kStatusNames.end();
    const bool bad_code = key == "exited" && !integer_of(value);
    if (bad_status || bad_code)
      return refuse(400, "filters", "Invalid filter '" + std::string(key) + "=" + value.substr(0, 80) + "'");
  }
  return {};
}

}  // namespace

std::string_view status_name(protocol::ContainerStatus status) {
  return kStatusNames[static_cast<std::size_t>(status)];
}

Outcome<ListFilter> ListFilter::parse(const Query& query) {
  ListFilter filter;
  filter.all_ = query.flag("all");
  filter.limit_ = query.integer("limit").value_or(0);
  filter.since_ = query.text("since");
  filter.before_ = query.text("before");
  const std::string_view text = query.text("filters");
  if (text.empty()) return filter;
  const JsonValue root = TRY(read_json(text, OwnKeys::OfFilters));
  if (root.is(Kind::Null)) return filter;
  if (!root.is(Kind::Object)) return refuse(400, "filters", "the filters are not a JSON object");
  for (const JsonMember& member : root.members) {
    if (filter_of(member.key) == nullptr)
      return refuse(400, "filters", "Invalid filter '" + member.key.substr(0, 80) + "'");
    auto values = TRY(values_of(member));
    TRY(check_values(member.key, values));
    if (values.empty()) continue;
    if (member.key == "status") filter.all_ = true;  // as dockerd does
    if (member.key == "since") filter.since_ = values.front();
    else if (member.key == "before") filter.before_ = values.front();
    else filter.conditions_.push_back({member.key, std::move(values)});
  }
  return filter;
}

bool ListFilter::accepts(const Summary& container) const {
  if (!all_ && limit_ <= 0 && container.status != protocol::ContainerStatus::Running) return false;
  for (const Condition& condition : conditions_) {
    const Matches matches = filter_of(condition.key)->matches;
    const auto hit = [&](const std::string& value) { return matches(container, value); };
    // Labels have to hold all together; of the others any one is enough, as dockerd has it.
    const bool accepted = condition.key == "label" ? std::all_of(condition.values.begin(), condition.values.end(), hit)
                                                   : std::any_of(condition.values.begin(), condition.values.end(), hit);
    if (!accepted) return false;
  }
  return true;
}

std::vector<Summary> ListFilter::apply(std::vector<Summary> containers) const {
  std::reverse(containers.begin(), containers.end());  // the keeper lists in the order of creation
  std::vector<std::pair<std::int64_t, std::size_t>> order;
  for (std::size_t i = 0; i < containers.size(); ++i) order.emplace_back(-containers[i].created, i);
  std::sort(order.begin(), order.end());
  std::vector<Summary> sorted;
  for (const auto& [created, i] : order) sorted.push_back(std::move(containers[i]));
  containers = std::move(sorted);
  const auto place = [&](const std::string& text) {
    return std::find_if(containers.begin(), containers.end(),
                        [&](const Summary& container) { return refers_to(container, text); });
  };
  auto first = containers.begin();
  auto last = containers.end();
  if (!before_.empty()) first = place(before_) == containers.end() ? last : place(before_) + 1;
  if (!since_.empty()) last = place(since_) == containers.end() ? first : std::max(first, place(since_));
  std::vector<Summary> chosen;
  for (auto container = first; container < last; ++container) {
    if (!accepts(*container)) continue;
    chosen.push_back(std::move(*container));
    if (limit_ > 0 && chosen.size() == static_cast<std::size_t>(limit_)) break;
  }
  return chosen;
}

}  // namespace sallyport::gate
