#include "broker/audit/trail.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

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

// A line and, where it is one, its record.
struct Entry {
  Line line;
  std::optional<AuditRecord> record;
  std::string path;
};

void print_entry(const Entry& entry, const Query& query, std::FILE* out, std::FILE* notes) {
  const auto& [line, record, path] = entry;
  if (line.size == 0) return;  // a broker that starts after a crash ends what may be a torn line first
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

// The entries of one set of files, of which the next is looked at before it is taken.
class SetReader {
 public:
  static Result<SetReader> open(FileSet files) {
    SetReader reader(std::move(files));
    TRY(reader.advance());
    return reader;
  }
  const std::optional<Entry>& next() const { return next_; }
  // Where it belongs: what is no record stays behind the record before it.
  const std::pair<std::string, std::int64_t>& place() const { return place_; }

  Result<> advance() {
    next_.reset();
    for (; at_ < files_.size(); ++at_) {
      if (!lines_) lines_.emplace(std::move(files_[at_].file));
      auto line = TRY(lines_->next());
      if (!line) {
        lines_.reset();
        continue;
      }
      auto record = line->size > line->text.size() ? std::nullopt : parse_record(line->text);
      if (record) place_ = {record->time, record->seq};
      next_ = Entry{std::move(*line), std::move(record), files_[at_].path};
      return {};
    }
    return {};
  }

 private:
  explicit SetReader(FileSet files) : files_(std::move(files)) {}
  FileSet files_;
  std::size_t at_ = 0;
  std::optional<LineReader> lines_;
  std::optional<Entry> next_;
  std::pair<std::string, std::int64_t> place_;
};

Result<FileSet> open_set(const std::string& current) {
  FileSet files;
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
  std::reverse(files.begin(), files.end());
  return files;
}

}  // namespace

Result<std::vector<FileSet>> open_trail(const std::string& log_directory) {
  FileSet changes = TRY(open_set(log_directory + "/audit.jsonl"));
  FileSet reads = TRY(open_set(log_directory + "/audit.jsonl.reads"));
  if (changes.empty() && reads.empty())
    return fail("no trail in " + log_directory + ": no broker has written there; name it with --log-dir");
  std::vector<FileSet> sets;
  sets.push_back(std::move(changes));
  sets.push_back(std::move(reads));
  return sets;
}

Result<std::vector<FileSet>> open_files(const std::vector<std::string>& paths) {
  FileSet files;
  for (const std::string& path : paths) {
    UniqueFd opened = TRY(open_file(path));
    files.push_back(TrailFile{path, std::move(opened)});
  }
  std::vector<FileSet> sets;
  sets.push_back(std::move(files));
  return sets;
}

Result<> print_trail(std::vector<FileSet> sets, const Query& query, std::FILE* out, std::FILE* notes) {
  std::vector<SetReader> readers;
  for (FileSet& set : sets) {
    auto reader = TRY(SetReader::open(std::move(set)));
    readers.push_back(std::move(reader));
  }
  for (;;) {
    SetReader* first = nullptr;
    for (SetReader& reader : readers)
      if (reader.next() && (first == nullptr || reader.place() < first->place())) first = &reader;
    if (first == nullptr) break;
    print_entry(*first->next(), query, out, notes);
    TRY(first->advance());
  }
  if (std::fflush(out) != 0) return fail_errno("write the trail");
  return {};
}

}  // namespace sallyport::audit
