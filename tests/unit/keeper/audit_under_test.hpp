// An audit trail in a directory of its own, and records to write.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "broker/keeper/audit.hpp"

namespace sallyport::keeper {

namespace fs = std::filesystem;

class Audit : public testing::Test {
 public:
  static AuditRecord record() {
    AuditRecord made;
    made.weight = Weight::Change;
    made.session = "0123456789ab";
    made.profile = "worker";
    made.method = "POST";
    made.endpoint = "/containers/create";
    made.object = "busybox";
    return made;
  }

 protected:
  Audit() {
    char made[] = "/tmp/sallyport-audit-XXXXXX";
    directory_ = ::mkdtemp(made);
  }
  ~Audit() override { fs::remove_all(directory_); }
  std::vector<std::string> lines(const std::string& name = "audit.jsonl") const {
    std::ifstream file(directory_ + "/" + name);
    std::vector<std::string> out;
    for (std::string line; std::getline(file, line);)
      if (!line.empty()) out.push_back(line);
    return out;
  }
  std::string directory_;
  AuditQuota quota_;
};

inline AuditTrail::Bounds three_small_files() {
  AuditTrail::Bounds bounds;
  bounds.file_bytes = 1000;
  bounds.files = 3;
  return bounds;
}

inline AuditTrail::Bounds with_shares_of(std::size_t bytes) {
  AuditTrail::Bounds bounds;
  bounds.share_bytes.fill(bytes);
  return bounds;
}
inline AuditRecord weighing(Weight weight) {
  AuditRecord made = Audit::record();
  made.weight = weight;
  return made;
}

inline constexpr Weight kWeights[] = {Weight::Read,    Weight::Refusal, Weight::Forward, Weight::Change,
                                      Weight::Removal, Weight::Opening, Weight::Ending,  Weight::Closing};

inline AuditRecord of_many(Weight weight, std::uint64_t count) {
  AuditRecord made = weighing(weight);
  made.count = count;
  return made;
}

// What a profile has in the trail, as written and as counted: each record says of how many it tells.
inline std::uint64_t told_in(const std::vector<std::string>& lines, std::string_view part) {
  std::uint64_t sum = 0;
  for (const std::string& line : lines)
    if (line.contains(part)) sum += std::stoull(line.substr(line.rfind(':') + 1));
  return sum;
}

}  // namespace sallyport::keeper
