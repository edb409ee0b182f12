#include "sallyport/profile/toml_reader.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

// toml++ 3.3.0 asserts on some malformed input ("[[[") and then runs on: make that an exception like its others.
#define TOML_ASSERT(expression) \
  (static_cast<bool>(expression) ? static_cast<void>(0) : throw std::logic_error("malformed TOML"))
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

namespace sallyport {
namespace {

constexpr int kMaxDottedParts = 32;  // a.b.c… nests a table per dot, and toml++ destroys nested tables recursively

std::string at_line(const std::string& file, int line) { return file + ":" + std::to_string(line) + ": "; }

// Blanks comments and refuses what toml++ must not see. Exact about where strings begin and end, because multi-line
// strings (the only ones that could hide a key from it) are refused.
Result<std::string> prepare(std::string_view text, const std::string& file) {
  std::string clean(text);
  int line = 1;
  int dots = 0;
  char quote = 0;
  bool comment = false;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const auto byte = static_cast<unsigned char>(clean[i]);
    if (byte == '\n') {
      if (quote != 0) return fail(at_line(file, line) + "a string is not closed on its line; add the closing quote");
      ++line;
      dots = 0;
      comment = false;
      continue;
    }
    if (byte == '\r' && i + 1 < clean.size() && clean[i + 1] == '\n') continue;
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
      return fail(at_line(file, line) + "a control character; remove it (in a string, write it as \\u00XX)");
    if (comment) {
      clean[i] = ' ';
    } else if (byte >= 0x80) {
      return fail(at_line(file, line) +
                  "a byte that is not ASCII; outside of comments write it as \\uXXXX in a string");
    } else if (quote != 0) {
      if (byte == '\\' && quote == '"' && i + 1 < clean.size() && clean[i + 1] != '\n') ++i;
      else if (byte == static_cast<unsigned char>(quote)) quote = 0;
    } else if (byte == '"' || byte == '\'') {
      if (clean.compare(i, 3, byte == 0x27 ? "'''" : "\"\"\"") == 0)
        return fail(at_line(file, line) + "strings of several lines are not used here; write it on one line");
      quote = static_cast<char>(byte);
    } else if (byte == '#') {
      comment = true;
      clean[i] = ' ';
    } else if (byte == '.' && ++dots > kMaxDottedParts) {
      return fail(at_line(file, line) + "more than 32 dots outside of strings; no key here is that deep");
    }
  }
  if (quote != 0) return fail(at_line(file, line) + "a string is not closed; add the closing quote");
  return clean;
}

TomlNode convert(const toml::node& from) {
  TomlNode node;
  node.line = std::max(1, static_cast<int>(from.source().begin.line));
  if (const auto* table = from.as_table()) {
    node.kind = TomlNode::Kind::Table;
    for (const auto& [key, value] : *table) {
      TomlNode& item = node.items.emplace_back(convert(value));
      item.key = key.str();
      item.line = std::max(1, static_cast<int>(key.source().begin.line));
    }
  } else if (const auto* array = from.as_array()) {
    node.kind = TomlNode::Kind::Array;
    for (const auto& item : *array) node.items.push_back(convert(item));
  } else if (const auto* text = from.as_string()) {
    node.kind = TomlNode::Kind::Text;
    node.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = TomlNode::Kind::Integer;
    node.integer = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    node.kind = TomlNode::Kind::Real;
    node.real = real->get();
  } else if (const auto* truth = from.as_boolean()) {
    node.kind = TomlNode::Kind::Truth;
    node.truth = truth->get();
  } else {
    node.kind = TomlNode::Kind::Date;
  }
  return node;
}

const char* words_for(TomlNode::Kind kind) {
  switch (kind) {
    case TomlNode::Kind::Table: return "a table";
    case TomlNode::Kind::Array: return "a list";
    case TomlNode::Kind::Text: return "a string in quotes";
    case TomlNode::Kind::Integer: return "a whole number";
    case TomlNode::Kind::Real: return "a number";
    case TomlNode::Kind::Truth: return "true or false";
    case TomlNode::Kind::Date: return "a date";
  }
  return "";
}

std::size_t distance_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// What a person wrote, fit to be shown: keys and values come from a file of root's, but may hold anything.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += c >= 0x20 && c < 0x7f ? c : '?';
  if (text.size() > 64) out += "...";
  return out;
}

}  // namespace

Result<TomlNode> parse_toml(std::string_view text, const std::string& file) {
  const std::string clean = TRY(prepare(text, file));
  try {
    return convert(toml::parse(clean, file));
  } catch (const toml::parse_error& error) {
    const int line = std::max(1, static_cast<int>(error.source().begin.line));
    return fail(at_line(file, line) + std::string(error.description()));
  } catch (const std::exception& error) {
    return fail(file + ": is not TOML that this version can read (" + error.what() + ")");
  }
}

void TomlErrors::report(int line, const std::string& what) {
  if (line_ != 0 && line_ <= line) return;
  line_ = line;
  what_ = what;
}

Result<> TomlErrors::result() const {
  if (none()) return {};
  return fail(at_line(file_, line_) + what_);
}

std::string closest_word(std::string_view written, const std::vector<std::string>& known) {
  if (written.size() > 64) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, written.size() / 3) + 1;
  for (const std::string& word : known) {
    const std::size_t distance = distance_between(written, word);
    if (distance < best_distance && distance < word.size()) {
      best = word;
      best_distance = distance;
    }
  }
  return best;
}

TomlTable::TomlTable(const TomlNode* node, std::string path, TomlErrors& errors)
    : node_(node), path_(std::move(path)), errors_(errors) {}

std::string TomlTable::name_of_key(std::string_view key) const {
  return path_.empty() ? shown(key) : path_ + "." + shown(key);
}

void TomlTable::report(const TomlNode& node, std::string_view key, const std::string& what) {
  errors_.report(node.line, "key " + name_of_key(key) + " " + what);
}

int TomlTable::line_of(std::string_view key) const {
  if (node_ != nullptr)
    for (const TomlNode& value : node_->items)
      if (value.key == key) return value.line;
  return line();
}

const TomlNode* TomlTable::take(std::string_view key) {
  known_.emplace_back(key);
  if (node_ == nullptr) return nullptr;
  for (const TomlNode& value : node_->items)
    if (value.key == key) return &value;
  return nullptr;
}

const TomlNode* TomlTable::take(std::string_view key, TomlNode::Kind kind) {
  const TomlNode* node = take(key);
  if (node == nullptr || node->kind == kind) return node;
  report(*node, key, std::string("must be ") + words_for(kind) + ", not " + words_for(node->kind));
  return nullptr;
}

TomlTable TomlTable::table(std::string_view key) {
  return TomlTable(take(key, TomlNode::Kind::Table), name_of_key(key), errors_);
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) {
  std::vector<TomlTable> found;
  const TomlNode* node = take(key);
  if (node == nullptr) return found;
  const std::string remedy = "must be a list of tables; write [[" + name_of_key(key) + "]]";
  if (node->kind != TomlNode::Kind::Array) {
    report(*node, key, remedy);
    return found;
  }
  for (const TomlNode& item : node->items) {
    if (item.kind == TomlNode::Kind::Table) found.emplace_back(&item, name_of_key(key), errors_);
    else report(item, key, remedy);
  }
  return found;
}

bool TomlTable::text(std::string_view key, std::string& into) {
  const TomlNode* node = take(key, TomlNode::Kind::Text);
  if (node == nullptr) return false;
  if (node->text.find('\0') != std::string::npos) {
    report(*node, key, "holds a NUL character; remove it");
    return false;
  }
  into = node->text;
  return true;
}

bool TomlTable::truth(std::string_view key, bool& into) {
  const TomlNode* node = take(key, TomlNode::Kind::Truth);
  if (node == nullptr) return false;
  into = node->truth;
  return true;
}

bool TomlTable::texts(std::string_view key, std::vector<std::string>& into) {
  const TomlNode* node = take(key, TomlNode::Kind::Array);
  if (node == nullptr) return false;
  std::vector<std::string> found;
  for (const TomlNode& item : node->items) {
    if (item.kind != TomlNode::Kind::Text || item.text.find('\0') != std::string::npos) {
      report(item, key, "must be a list of strings without NUL");
      return false;
    }
    found.push_back(item.text);
  }
  into = std::move(found);
  return true;
}

void TomlTable::not_yet(std::string_view key, std::string_view what) {
  if (const TomlNode* node = take(key))
    report(*node, key, "(" + std::string(what) + ") is not available in this version; remove it");
}

void TomlTable::finish() {
  if (node_ == nullptr) return;
  for (const TomlNode& value : node_->items) {
    if (std::find(known_.begin(), known_.end(), value.key) != known_.end()) continue;
    const std::string close = closest_word(value.key, known_);
    report(value, value.key,
           "is not known; " + (close.empty() ? "remove it" : "did you mean " + name_of_key(close) + "?"));
  }
}

}  // namespace sallyport
