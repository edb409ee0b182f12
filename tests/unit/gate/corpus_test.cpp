// Every line of the corpora that can be decided from its bytes alone, through the gate's readers: what is hostile is
// refused here, or becomes a typed request that carries nothing of it; what clients send is accepted.
#include <fstream>
#include <iostream>
#include <set>

#include "broker/gate/http_head.hpp"
#include "broker/gate/json_reader.hpp"
#include "broker/gate/typed_request.hpp"

namespace sallyport::gate {
namespace {

// Needs the keeper: who owns what, and which images, runtime and platform are allowed.
const std::set<std::string> kKeeperDecides = {"create-image-idprefix",   "create-image-registry",
                                              "create-image-tag-digest", "create-runtime-other",
                                              "create-runtime-path",     "create-qry-platform"};

std::string field(const JsonValue& line, std::string_view key) {
  const JsonValue* value = line.find(key);
  return value != nullptr && value->is(JsonValue::Kind::String) ? value->text : std::string();
}

void replace_tokens(std::string& text) {
  const std::pair<std::string, std::string> tokens[] = {
      {"{{OWN_ID}}", std::string(64, 'a')},
      {"{{OWN_ID12}}", std::string(12, 'a')},
      {"{{OWN_NAME}}", "job"},
      {"{{NEW_NAME}}", "fresh"},
      {"{{FOREIGN_ID}}", std::string(64, 'f')},
      {"{{FOREIGN_ID12}}", std::string(12, 'f')},
      {"{{FOREIGN_ID1}}", "f"},
      {"{{FOREIGN_NAME}}", "victim_fix"},
      {"{{EXEC_ID}}", std::string(64, 'e')},
      {"{{OTHER_IMAGE_ID_PREFIX}}", "53e0"},
      {"{{OTHER_IMAGE_ID}}", "sha256:" + std::string(64, 'd')},
      {"{{HOSTNET_ID}}", std::string(64, 'c')},
  };
  for (const auto& [token, value] : tokens)
    for (std::size_t at; (at = text.find(token)) != std::string::npos;) text.replace(at, token.size(), value);
}

// 0: accepted.
int decided(const JsonValue& line) {
  std::string target = field(line, "target");
  std::string body = field(line, "body");
  replace_tokens(target);
  replace_tokens(body);
  std::string bytes = field(line, "method") + " " + target + " HTTP/1.1\r\nHost: d\r\n";
  bool has_length = false;
  if (const JsonValue* headers = line.find("headers"))
    for (const JsonMember& header : headers->members) {
      if (same_folded(header.key, "host")) continue;
      if (same_folded(header.key, "content-length")) has_length = true;
      bytes += header.key + ": " +
               (same_folded(header.key, "content-length") ? std::to_string(body.size()) : header.value.text) + "\r\n";
    }
  if (!body.empty() && !has_length) bytes += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  bytes += "\r\n";
  const auto head = check_head(bytes);
  if (!head) return head.error().status;
  const auto found = route(head->method, head->target);
  if (!found) return found.error().status;
  if (found->row->rule != api::EndpointRule::Serve) return 403;
  if (found->row->verb == api::Verb::Ping || found->row->verb == api::Verb::Version ||
      found->row->verb == api::Verb::Info)
    return 0;
  const auto typed = typed_request(*found, *head, body);
  return typed ? 0 : typed.error().status;
}

template <class Check>
std::size_t for_each_line(const std::string& name, Check check) {
  std::ifstream file(std::string(SALLYPORT_CORPUS) + "/" + name);
  std::size_t count = 0;
  for (std::string text; std::getline(file, text);) {
    const auto line = read_json(text);
    if (!line || line->find("raw") != nullptr || line->find("raw_parts") != nullptr ||
        line->find("body_parts") != nullptr)
      continue;
    ++count;
    check(*line);
  }
  return count;
}

TEST(Corpus, HostileLinesThatTheGateCanDecideAreRefused) {
  const std::size_t count = for_each_line("attack.jsonl", [](const JsonValue& line) {
    const std::string id = field(line, "id");
    const bool by_keeper = kKeeperDecides.contains(id) || id.starts_with("foreign-") ||
                           field(line, "target").find("FOREIGN") != std::string::npos || id == "info";
    if (field(line, "expect") == "answers") EXPECT_EQ(decided(line), 0) << id;
    if (field(line, "expect") != "deny" || by_keeper) return;
    EXPECT_NE(decided(line), 0) << id;
  });
  EXPECT_GT(count, 250U);
  std::cout << count << " lines of attack.jsonl\n";
}

TEST(Corpus, BenignLinesAreAccepted) {
  const std::size_t count =
      for_each_line("benign.jsonl", [](const JsonValue& line) { EXPECT_EQ(decided(line), 0) << field(line, "id"); });
  EXPECT_GT(count, 55U);
  std::cout << count << " lines of benign.jsonl\n";
}

}  // namespace
}  // namespace sallyport::gate
