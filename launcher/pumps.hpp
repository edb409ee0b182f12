// HOSTILE INPUT. The launcher's pumps between its own stdio and the worker's pipes. The worker never holds a descriptor
// of the caller, so it cannot change a flag of one, and its output has a budget.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sallyport/callers_descriptor.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::launcher {

// Bytes of stdout and stderr together; what is beyond is read and dropped, so that the worker does not hang on it.
class OutputBudget {
 public:
  explicit OutputBudget(std::uint64_t bytes) : left_(bytes) {}
  std::size_t take(std::size_t wanted);  // how many of these bytes may pass; counts the others
  std::uint64_t dropped() const { return dropped_; }

 private:
  std::uint64_t left_;
  std::uint64_t dropped_ = 0;
};

// What a pump waits for next; nothing where it is done.
using Wanted = std::optional<pollfd>;

class InputPump {  // caller's stdin -> worker's pipe
 public:
  InputPump(int source, UniqueFd sink) : source_(source), sink_(std::move(sink)) {}
  Wanted wanted();
  void step();
  // Until its terminal is ours again, which nothing tells: look now and then.
  bool waits_for_a_terminal() { return sink_ && waiting_.empty() && source_.is_anothers_terminal(); }

 private:
  CallersDescriptor source_;
  UniqueFd sink_;
  std::vector<char> waiting_;
};

class OutputPump {  // worker's pipe -> caller's stdout or stderr
 public:
  OutputPump(UniqueFd source, int sink, OutputBudget& budget)
      : source_(std::move(source)), sink_(sink), budget_(budget) {}
  Wanted wanted() const;
  void step();
  // Once all who wrote are dead: what the pipe holds at the first call is all. Another may hold its end (by
  // SCM_RIGHTS), and go on to write.
  void read_the_rest();
  bool done() const { return !source_ && waiting_.empty(); }
  std::uint64_t left() const { return waiting_.size() + (source_ ? rest_.value_or(0) : 0); }  // of that, unwritten
  // A line of ours among the worker's, on a line of its own and on nobody's budget.
  void say(std::string_view text);

 private:
  ssize_t read_some();
  void write_some();

  UniqueFd source_;
  CallersDescriptor sink_;
  bool nobody_reads_ = false;
  char last_ = '\n';  // that was read to be written
  OutputBudget& budget_;
  std::vector<char> waiting_;
  std::optional<std::uint64_t> rest_;  // still to be read, once it was asked for
};

}  // namespace sallyport::launcher
