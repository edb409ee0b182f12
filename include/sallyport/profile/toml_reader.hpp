// BOTH SIDES. TOML text -> a small tree with line numbers, and TomlTable, through which a schema reads it.
// toml++ stays inside toml_reader.cpp. A key that no reader asked for is an error with the closest known key;
// of several errors the one nearest to the top of the file is told, as "FILE:LINE: what; what to do".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/result.hpp"

namespace sallyport {

struct TomlNode {
  enum class Kind : unsigned char { Table, Array, Text, Integer, Real, Truth, Date };
  Kind kind = Kind::Table;
  int line = 1;
  std::string text;
  std::int64_t integer = 0;
  double real = 0;
  bool truth = false;
  std::string key;              // its name in the table that holds it
  std::vector<TomlNode> items;  // of a list or a table
};

// ASCII only, comments excepted; no multi-line strings. Total: any bytes give a tree or an error.
Result<TomlNode> parse_toml(std::string_view text, const std::string& file);

class TomlErrors {
 public:
  explicit TomlErrors(std::string file) : file_(std::move(file)) {}
  void report(int line, const std::string& what);
  bool none() const { return line_ == 0; }
  Result<> result() const;

 private:
  std::string file_;
  std::string what_;
  int line_ = 0;  // of the first error in the file; 0: none
};

// One table of the file. take() finds a key and makes it known; finish() reports those that were never asked for.
class TomlTable {
 public:
  // `node` may be null: an absent table, in which every key is absent.
  TomlTable(const TomlNode* node, std::string path, TomlErrors& errors);

  bool present() const { return node_ != nullptr; }
  int line() const { return node_ == nullptr ? 1 : node_->line; }
  TomlErrors& errors() { return errors_; }
  std::string name_of_key(std::string_view key) const;  // "docker.budget.memory"
  void report(const TomlNode& node, std::string_view key, const std::string& what);
  int line_of(std::string_view key) const;

  const TomlNode* take(std::string_view key);
  const TomlNode* take(std::string_view key, TomlNode::Kind kind);  // another kind is an error
  TomlTable table(std::string_view key);
  std::vector<TomlTable> tables(std::string_view key);  // [[key]]
  bool text(std::string_view key, std::string& into);   // each: true where the key was there and well-formed
  bool truth(std::string_view key, bool& into);
  bool texts(std::string_view key, std::vector<std::string>& into);
  // A key that the design knows and this version does not have.
  void not_yet(std::string_view key, std::string_view what);
  void finish();

 private:
  const TomlNode* node_;
  std::string path_;
  TomlErrors& errors_;
  std::vector<std::string> known_;
};

// The closest of `known` to what was written, or "" where none is close: for "did you mean".
std::string closest_word(std::string_view written, const std::vector<std::string>& known);

}  // namespace sallyport
