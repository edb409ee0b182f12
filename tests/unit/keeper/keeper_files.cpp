// The files of the keeper under test: what stands in them, and whether they may grow.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "keeper_under_test.hpp"

namespace sallyport::testing_support {

void KeeperUnderTest::let_files_grow(bool may) const {
  rlimit limit{};
  (void)::prlimit(keeper_pid_, RLIMIT_FSIZE, nullptr, &limit);
  constexpr rlim_t kLessThanARecord = 200;  // and more than the first line of a ledger
  limit.rlim_cur = may ? limit.rlim_max : kLessThanARecord;
  if (::prlimit(keeper_pid_, RLIMIT_FSIZE, &limit, nullptr) != 0) std::abort();
}

void KeeperUnderTest::take_ballast() const { std::ofstream(directory_ + "/ballast") << "now"; }

namespace {
std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}
}  // namespace

// It ends where no file of the keeper may go on, behind a hole.
void KeeperUnderTest::let_ledger_grow(bool may) const {
  constexpr rlim_t kEnd = 1U << 24;
  const std::string path = directory_ + "/state/sessions/" + session_;
  if (!may) std::filesystem::resize_file(path, kEnd);
  rlimit limit{};
  (void)::prlimit(keeper_pid_, RLIMIT_FSIZE, nullptr, &limit);
  limit.rlim_cur = may ? limit.rlim_max : kEnd;
  if (::prlimit(keeper_pid_, RLIMIT_FSIZE, &limit, nullptr) != 0) std::abort();
}

std::vector<std::string> KeeperUnderTest::audit() const {
  std::vector<std::string> lines = lines_of(directory_ + "/log/audit.jsonl");
  for (std::string& line : audit_of_reads()) lines.push_back(std::move(line));
  return lines;
}
std::vector<std::string> KeeperUnderTest::audit_of_reads() const {
  return lines_of(directory_ + "/log/audit.jsonl.reads");
}
std::string KeeperUnderTest::ledger_of(const std::string& session) const {
  std::ifstream file(directory_ + "/state/sessions/" + session);
  return {std::istreambuf_iterator<char>(file), {}};
}
std::string KeeperUnderTest::log() const {
  std::ifstream file(directory_ + "/broker.log");
  return {std::istreambuf_iterator<char>(file), {}};
}
bool KeeperUnderTest::audit_has(std::string_view part) const {
  return eventually([&] { return audit_has_now(part); });
}
bool KeeperUnderTest::audit_has_now(std::string_view part) const {
  return std::ranges::any_of(audit(), [&](const std::string& line) { return line.contains(part); });
}

}  // namespace sallyport::testing_support
