#include "dockerd_model.hpp"

#include <cstdio>
#include <regex>

namespace sallyport::testing_support {

namespace {

std::string decoded(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    out += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16));
    at += 2;
  }
  return out;
}

// The strings of one filter in the decoded query: "name":["a","b"].
std::vector<std::string> filter(const std::string& line, const std::string& key) {
  std::vector<std::string> values;
  const std::size_t begin = line.find("\"" + key + "\":[");
  if (begin == std::string::npos) return values;
  const std::string list = line.substr(begin, line.find(']', begin) - begin);
  static const std::regex item(R"re("((?:[^"\\]|\\.)*)")re");
  for (auto at = std::sregex_iterator(list.begin() + static_cast<std::ptrdiff_t>(key.size()) + 3, list.end(), item);
       at != std::sregex_iterator(); ++at)
    values.push_back(std::regex_replace((*at)[1].str(), std::regex(R"re(\\\\)re"), R"re(\)re"));
  return values;
}

FakeDockerd::Answer no_such() { return {FakeDockerd::reply(404, R"({"message":"No such container"})")}; }

}  // namespace

FakeDockerd::Behaviour DockerdModel::behaviour() const {
  return [state = state_](const std::string& request) { return answer(*state, request); };
}

void DockerdModel::add(const std::string& name, const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  state_->containers[name] = id;
}

void DockerdModel::lose(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  state_->containers.erase(name);
}

std::vector<std::string> DockerdModel::names() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::string> names;
  for (const auto& [name, id] : state_->containers) names.push_back(name);
  return names;
}

FakeDockerd::Answer DockerdModel::answer(State& state, const std::string& request) {
  const std::string line = decoded(request.substr(0, request.find(" HTTP/1.1")));
  if (const std::string start = "POST /v1.41/containers/create?name="; line.starts_with(start)) {
    const std::string name = line.substr(start.size());
    char id[65];
    {
      const std::lock_guard lock(state.mutex);
      std::snprintf(id, sizeof id, "%064zx", ++state.made);
      state.containers[name] = id;
    }
    if (state.on_create)
      if (auto given = state.on_create(name); !given.bytes.empty() || given.never) return given;
    return {FakeDockerd::reply(201, R"({"Id":")" + std::string(id) + R"("})")};
  }
  if (const std::string start = "DELETE /v1.41/containers/"; line.starts_with(start)) {
    const std::string which = line.substr(start.size(), line.find('?') - start.size());
    std::string name;
    {
      const std::lock_guard lock(state.mutex);
      for (const auto& [known, id] : state.containers)
        if (known == which || id == which) name = known;
    }
    if (state.on_delete)
      if (auto given = state.on_delete(name); !given.bytes.empty() || given.never) return given;
    const std::lock_guard lock(state.mutex);
    return state.containers.erase(name) == 0 ? no_such() : FakeDockerd::Answer{"HTTP/1.1 204 No Content\r\n\r\n"};
  }
  if (line.starts_with("GET /v1.41/containers/json?")) {
    const auto names = filter(line, "name");
    const auto ids = filter(line, "id");
    std::string list;
    const std::lock_guard lock(state.mutex);
    for (const auto& [name, id] : state.containers) {
      bool wanted = names.empty() && ids.empty();
      for (const std::string& pattern : names) wanted |= std::regex_search("/" + name, std::regex(pattern));
      for (const std::string& one : ids) wanted |= one == id;
      if (!wanted) continue;
      list += (list.empty() ? "" : ",") + (R"({"Id":")" + id + R"(","Names":["/)" + name + R"("],"State":"running",)") +
              R"("Command":")" + std::string(state.entry_padding, 'x') + R"("})";
    }
    return {FakeDockerd::reply(200, "[" + list + "]")};
  }
  return {};
}

}  // namespace sallyport::testing_support
