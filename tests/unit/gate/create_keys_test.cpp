// Keys of a create body that look like the table's own grammar: paths, prefixes of paths, elements and placeholders. A
// client's key is data: it reaches the row of its own name at its own place, and nothing by any other spelling.
#include <algorithm>
#include <set>

#include "broker/api/create_fields.hpp"
#include "broker/gate/create_body.hpp"
#include "broker/gate/json_reader.hpp"
#include "broker/gate/reply_writer.hpp"

namespace sallyport::gate {
namespace {

std::set<std::string> hostile_keys() {
  std::set<std::string> keys = {".", "..", "[]", "*", "<net>", "Labels.a", "HostConfig."};
  for (const api::CreateField& field : api::kCreateFields) {
    const std::string path(field.path);
    for (std::size_t end = 0; end <= path.size(); ++end) {
      const bool is_prefix = end == path.size() || path[end] == '.' || path[end] == '[' || path[end] == '<';
      if (!is_prefix) continue;
      const std::string prefix = path.substr(0, end);
      for (const char* ending : {"", "[]", ".", "[].", ".<net>", ".*", "[].Name"})
        if (const std::string key = prefix + ending; !key.empty()) keys.insert(key);
      for (std::size_t dot = prefix.find('.'); dot != std::string::npos; dot = prefix.find('.', dot + 1))
        keys.insert(prefix.substr(dot)), keys.insert(prefix.substr(dot + 1));
    }
  }
  return keys;
}

// Where a member of the body can stand: the rows that have members, and the body itself.
struct Depth {
  std::string parent;  // path of a row
  std::vector<std::string> keys;
};
std::vector<Depth> depths() {
  std::vector<Depth> list = {{"", {}}};
  for (const api::CreateField& field : api::kCreateFields) {
    if (field.rule != api::FieldRule::Members) continue;
    Depth depth{std::string(field.path), {}};
    std::string path = depth.parent + ".";
    for (std::size_t dot; (dot = path.find('.')) != std::string::npos; path.erase(0, dot + 1))
      depth.keys.push_back(path.substr(0, dot) == "<net>" ? "none" : path.substr(0, dot));
    list.push_back(std::move(depth));
  }
  return list;
}

std::string body_with(const Depth& depth, const std::string& key, const std::string& value) {
  std::string inner;
  append_json(inner, key);
  inner += ":" + value;
  if (depth.keys.empty()) return R"({"Image":"busybox",)" + inner + "}";
  for (auto outer = depth.keys.rbegin(); outer != depth.keys.rend(); ++outer)
    inner = "\"" + *outer + "\":{" + inner + "}";
  return R"({"Image":"busybox",)" + inner + "}";
}

// Asked of the paths as the table writes them, without its own lookup.
bool is_row(const Depth& depth, const std::string& key) {
  const std::string path = depth.parent.empty() ? key : depth.parent + "." + key;
  const bool plain = key.find_first_of(".[]<>* ") == std::string::npos;
  return plain && std::ranges::find(api::kCreateFields, path, &api::CreateField::path) != api::kCreateFields.end();
}

TEST(CreateKeys, ThatHoldTheTablesGrammarReachNoRow) {
  const Query none = *Query::parse(api::Verb::Create, {});
  const std::set<std::string> keys = hostile_keys();
  ASSERT_GT(keys.size(), 1000U);
  std::size_t tried = 0;
  for (const Depth& depth : depths()) {
    const bool names_networks = depth.parent == "NetworkingConfig.EndpointsConfig";
    for (const std::string& key : keys) {
      if (is_row(depth, key) || (depth.parent.empty() && key == "Image")) continue;
      const auto made = read_create(none, body_with(depth, key, ++tried % 2 == 0 ? "7000000" : R"(["ALL"])"));
      ASSERT_FALSE(made) << depth.parent << " " << key;
      // 403 is said of known names alone: of HostConfig's at the top, and of networks.
      const bool misplaced = depth.parent.empty() && is_row({"HostConfig", {}}, key);
      const bool other_case = made.error().message.find("is spelled") != std::string::npos;
      EXPECT_EQ(made.error().status, misplaced || names_networks ? 403 : 400) << depth.parent << " " << key;
      EXPECT_TRUE(misplaced || names_networks || other_case || made.error().rule == "unknown-field")
          << depth.parent << " " << key << ": " << made.error().rule;
    }
  }
  EXPECT_GT(tried, 10'000U);
}

TEST(CreateKeys, OfAnElementBelongToTheirList) {
  const Query none = *Query::parse(api::Verb::Create, {});
  for (const std::string& key : hostile_keys()) {
    if (key == "Name" || key == "Soft" || key == "Hard") continue;
    std::string element = R"({"Image":"busybox","HostConfig":{"Ulimits":[{)";
    append_json(element, key);
    const auto made = read_create(none, element + ":1}]}}");
    ASSERT_FALSE(made) << key;
    EXPECT_EQ(made.error().rule, "HostConfig.Ulimits") << key;
  }
}

TEST(CreateKeys, ReachTheirRowsByName) {  // the twin of both
  const Query none = *Query::parse(api::Verb::Create, {});
  EXPECT_EQ(read_create(none, R"({"Image":"busybox","HostConfig":{"Memory":7000000}})")->memory, 7'000'000);
  EXPECT_TRUE(
      read_create(none, R"({"Image":"busybox","HostConfig":{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":1}]}})"));
}

// What separates neutral values in the table is no neutral value, and neither is a text that looks like one.
TEST(CreateKeys, AValueIsNeutralByWhatItIsNotByHowItLooks) {
  const Query none = *Query::parse(api::Verb::Create, {});
  for (const char* mode : {R"("none\"|\"default")", R"("\"none\"")", R"(["none"])", R"("none|default")"})
    EXPECT_FALSE(read_create(none, R"({"Image":"busybox","HostConfig":{"NetworkMode":)" + std::string(mode) + "}}"))
        << mode;
  EXPECT_FALSE(read_create(none, R"({"Image":"busybox","Healthcheck":{"Test":"[\"NONE\"]"}})"));
  EXPECT_FALSE(read_create(none, R"({"Image":"busybox","Healthcheck":{"Test":["NONE","x"]}})"));
}

struct RepeatCase {
  const char* query;
  const char* member;
  int status;
};
TEST(CreateKeys, NameAndPlatformMayRepeatTheQueryAndSayNothingElse) {
  const RepeatCase cases[] = {
      {"name=web", R"("name":"web")", 0},
      {"name=web", R"("name":"db")", 400},
      {"name=web", R"("name":"WEB")", 400},
      {"name=web", R"("name":"/web")", 400},
      {"name=web", R"("name":["web"])", 400},
      {"name=web", R"("name":null,"platform":"")", 0},
      {"", R"("name":"web")", 400},
      {"", R"("name":"")", 0},
      {"", R"("Name":"")", 0},
      {"", R"("Name":"web")", 400},
      {"", R"("platform":"linux/arm64")", 400},
      {"name=web", R"("HostConfig":{"name":"web"})", 400},
  };
  for (const RepeatCase& one : cases) {
    const auto made = read_create(*Query::parse(api::Verb::Create, one.query),
                                  R"({"Image":"busybox",)" + std::string(one.member) + "}");
    EXPECT_EQ(made ? 0 : made.error().status, one.status) << one.query << " " << one.member;
    if (one.status == 0 && one.query[0] != '\0') EXPECT_EQ(made->name->text(), "web");
  }
  const auto other = read_create(*Query::parse(api::Verb::Create, "name=web"), R"({"Image":"busybox","name":"db"})");
  EXPECT_EQ(
      other.error().message,
      R"(name "db" in the body is not "web", as the query has it: a name is given in the query, and may be repeated in the body)");
}

}  // namespace
}  // namespace sallyport::gate
