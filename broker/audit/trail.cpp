#include "broker/audit/trail.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "broker/audit/lines.hpp"
#include "broker/audit/record.hpp"
#include "broker/audit/show.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::audit {
namespace {

Result<UniqueFd> open_file(const std::string& path) {
  // O_NONBLOCK: a FIFO named on the command line must not make us wait.
  UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return fail_errno("open " + path);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("look at " + path);
  if (!S_ISREG(status.st_mode)) return fail(path + " is not a regular file");
  return file;
}

bool wanted(const AuditRecord& record, const Query& query) {
  return record.session.starts_with(query.session) && (query.decision.empty() || record.decision == query.decision);
}

void print_line(const Line& line, const Query& query, std::FILE* out, std::FILE* notes, const std::string& path) {
  if (line.size == 0) return;  // a broker that starts after a crash ends what may be a torn line first
  const auto record = line.size > line.text.size() ? std::nullopt : parse_record(line.text);
  if (!record && !line.complete) {
    std::fprintf(notes,
                 "sallyport audit: the last line of %s is torn (%zu bytes): it was being written, or a crash cut it\n",
                 escaped(path).c_str(), line.size);
    return;
  }
  if (record && !wanted(*record, query)) return;
  std::string text;
  if (!query.json) text = record ? show(*record) : show_unreadable(line.text, line.size);
  else if (record) text = ascii_json(line.text);
  else
    std::fprintf(notes, "sallyport audit: %s: a line of %zu bytes is not a record\n", escaped(path).c_str(), line.size);
  if (text.empty()) return;
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), out);
}

}  // namespace

Result<std::vector<TrailFile>> open_trail(const std::string& log_directory) {
  const std::string current = log_directory + "/audit.jsonl";
  std::vector<TrailFile> files;
  std::vector<std::pair<dev_t, ino_t>> seen;
  // Newest first: a file that is rotated while we open is met again under its next name, and known by its inode.
  for (int number = 0; number <= 2 * limits::kMaxAuditFiles; ++number) {
    const std::string path = number == 0 ? current : current + "." + std::to_string(number);
    auto file = open_file(path);
    if (!file && file.error().code == ENOENT) continue;
    UniqueFd opened = TRY(std::move(file));
    struct stat status{};
    if (::fstat(opened.get(), &status) != 0) return fail_errno("look at " + path);
    const std::pair identity(status.st_dev, status.st_ino);
    if (std::find(seen.begin(), seen.end(), identity) != seen.end()) continue;
    seen.push_back(identity);
    files.push_back(TrailFile{path, std::move(opened)});
  }
  if (files.empty())
    return fail("no trail in " + log_directory + ": no broker has written there; name it with --log-dir");
  std::reverse(files.begin(), files.end());
  return files;
}

Result<std::vector<TrailFile>> open_files(const std::vector<std::string>& paths) {
  std::vector<TrailFile> files;
  for (const std::string& path : paths) {
    UniqueFd opened = TRY(open_file(path));
    files.push_back(TrailFile{path, std::move(opened)});
  }
  return files;
}

Result<> print_trail(std::vector<TrailFile> files, const Query& query, std::FILE* out, std::FILE* notes) {
  for (TrailFile& trail_file : files) {
    LineReader lines(std::move(trail_file.file));
    while (auto line = TRY(lines.next())) print_line(*line, query, out, notes, trail_file.path);
  }
  if (std::fflush(out) != 0) return fail_errno("write the trail");
  return {};
}

}  // namespace sallyport::audit
