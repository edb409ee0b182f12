// TRUSTED SIDE, EXPOSED INPUT: dockerd's replies hold strings that workers chose. A pull reader over one bounded text:
// it copies only what is asked for and steps over the rest without building it, which is what keeps inspect fast.
// The first fault ends it: afterwards every call returns nothing, and failed() says so. Never reads past its text,
// never recurses on what it steps over; fuzzed by tests/fuzz/read_reply_fuzz.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::engine {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}

  // Calls on_key(key) before each member's value; the callback reads or skips exactly that value.
  // null is an object without members. Keys are compared as written: one with an escape in it matches nothing of ours.
  template <class OnKey>
  void object(OnKey&& on_key) {
    if (take_null() || !enter('{')) return;
    for (bool first = true; next_item('}', first); first = false) {
      const std::string_view name = raw_string();
      expect(':');
      if (failed_) return;
      on_key(name);
    }
  }
  template <class OnItem>
  void array(OnItem&& on_item) {
    if (take_null() || !enter('[')) return;
    for (bool first = true; next_item(']', first); first = false) on_item();
  }
  void skip();

  // null reads as the empty value. A text longer than `most` is cut, at a whole character.
  std::string text(std::size_t most);
  std::int64_t integer();
  bool boolean();
  bool take_null();  // true, and past it, where the next value is null

  bool failed() const { return failed_; }
  // True where the whole text was one value, read without a fault.
  bool finished();

 private:
  static constexpr int kMaxDepth = 64;
  void fail() { failed_ = true, rest_ = {}; }
  char peek();  // next character that is not blank; 0 at the end
  void expect(char c);
  bool enter(char bracket);
  bool next_item(char closing, bool first);
  std::string_view raw_string();  // what stands between the quotes, escapes as they are
  bool take_word(std::string_view word);
  static std::size_t bracketed_end(std::string_view text);

  std::string_view rest_;
  int depth_ = 0;
  bool failed_ = false;
};

}  // namespace sallyport::engine
