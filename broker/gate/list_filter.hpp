// UNTRUSTED SIDE. The filters of a list, evaluated on the session's own containers: all, limit, since, before, filters.
// A name is text with an optional ^ and $, never a regular expression; what is not ours simply does not match.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/gate/query.hpp"
#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

class ListFilter {
 public:
  static Outcome<ListFilter> parse(const Query& query);

  bool needs_all() const { return true; }  // since and before refer to any container of the session
  // Filtered, newest first, at most `limit`.
  std::vector<protocol::Summary> apply(std::vector<protocol::Summary> containers) const;

 private:
  struct Condition {
    std::string key;
    std::vector<std::string> values;  // any of them
  };
  bool accepts(const protocol::Summary& container) const;

  bool all_ = false;
  std::int64_t limit_ = 0;  // 0 or less: all
  std::vector<Condition> conditions_;
  std::string since_;
  std::string before_;
};

std::string_view status_name(protocol::ContainerStatus status);

}  // namespace sallyport::gate
