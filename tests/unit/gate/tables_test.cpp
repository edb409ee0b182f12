// The tables against copies of the lists of all of Docker's endpoints and create fields: no row may be missing.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "broker/api/create_fields.hpp"
#include "broker/api/query_fields.hpp"
#include "broker/protocol/verbs.hpp"

namespace sallyport::api {
namespace {

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(std::string(SALLYPORT_GATE_TEST_DATA) + "/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// {name:.*}, {name...} and (name) as {}: what a placeholder is called does not matter.
std::string anonymous(std::string_view path) {
  std::string out;
  bool inside = false;
  for (char c : path.substr(0, path.find(' '))) {
    if (c == '{' || c == '(') inside = true;
    if (!inside) out += c;
    if (c != '}' && c != ')') continue;
    inside = false;
    out += "{}";
  }
  return out;
}

TEST(Endpoints, HaveARowForEachOfDockers) {
  const auto lines = lines_of("docker_endpoints.tsv");
  ASSERT_EQ(lines.size(), 127U);
  for (const std::string& line : lines) {
    const std::string method = line.substr(0, line.find('\t'));
    const std::string path = anonymous(line.substr(line.find('\t') + 1));
    if (path == "/networks/") continue;  // a trailing slash: refused before any row is looked at
    const bool found = std::any_of(kEndpoints.begin(), kEndpoints.end(), [&](const Endpoint& row) {
      return name_of(row.method) == method && anonymous(row.path) == path;
    });
    EXPECT_TRUE(found) << line;
  }
}

TEST(Endpoints, ServeExactlyThoseOfTheFirstApi) {
  const auto served = std::count_if(kEndpoints.begin(), kEndpoints.end(),
                                    [](const Endpoint& row) { return row.rule == EndpointRule::Serve; });
  EXPECT_EQ(served, 15);  // fourteen verbs, ping by two methods
  for (const Verb verb : protocol::kVerbs)
    if (verb != Verb::None) EXPECT_TRUE(row_of(verb).group.has_value()) << row_of(verb).path;
}

TEST(CreateFields, HaveARowForEachOfDockers) {
  std::size_t fields = 0;
  for (const std::string& line : lines_of("create_fields.txt")) {
    if (line.starts_with("QUERY ")) continue;
    ++fields;
    EXPECT_NE(std::ranges::find(kCreateFields, line, &CreateField::path), kCreateFields.end()) << line;
  }
  EXPECT_EQ(fields, 162U);
}

TEST(QueryFields, HaveARowForEachOfTheServedEndpoints) {
  for (const std::string& line : lines_of("create_fields.txt")) {
    if (!line.starts_with("QUERY ")) continue;
    std::istringstream words(line.substr(6));
    std::string method;
    std::string path;
    std::string key;
    words >> method >> path;
    std::getline(words, key);
    if (key.find("(body)") != std::string::npos || path[0] != '/') continue;
    const auto row = std::find_if(kEndpoints.begin(), kEndpoints.end(), [&](const Endpoint& endpoint) {
      return endpoint.rule == EndpointRule::Serve && name_of(endpoint.method) == method &&
             anonymous(endpoint.path) == anonymous(path);
    });
    if (row == kEndpoints.end()) continue;
    key = key.substr(key.find('?') + 1);
    for (std::istringstream keys(key); std::getline(keys, key, '/');)
      EXPECT_NE(query_field(row->verb, key), nullptr) << line;
  }
}

}  // namespace
}  // namespace sallyport::api
