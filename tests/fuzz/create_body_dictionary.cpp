// Writes libFuzzer's dictionary for create bodies: of every row of the field table its path, each part of it, and the
// path as an element, as keys and as bare text.
#include <cstdio>
#include <set>
#include <string>

#include "broker/api/create_fields.hpp"

int main() {
  std::set<std::string> words = {"[]", ".", "<net>", "null", "true", "\":[{\"", "\":{\"", "\"}]", ":7"};
  for (const auto& field : sallyport::api::kCreateFields) {
    const std::string path(field.path);
    words.insert({path, path + "[]", path + ".", "\"" + path + "\":", "\"" + path + "\":{\""});
    for (std::size_t at = path.find('.'); at != std::string::npos; at = path.find('.', at + 1))
      words.insert({path.substr(0, at), path.substr(at + 1), "\"" + path.substr(at + 1) + "\":"});
  }
  for (const std::string& word : words) {
    std::string escaped;
    for (const char c : word) escaped += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    std::printf("\"%s\"\n", escaped.c_str());
  }
  return 0;
}
