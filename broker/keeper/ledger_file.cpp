#include "broker/keeper/ledger_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <memory>

#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"

namespace sallyport::keeper {

namespace {

constexpr std::size_t kMaxDockerdName = limits::kMaxNameBytes + 16;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t blank = line.find(' ');
    words.push_back(line.substr(0, blank));
    if (blank == std::string_view::npos) break;
    line.remove_prefix(blank + 1);
  }
  return words;
}

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

bool is_ours(std::string_view name, const SessionId& session) {
  const std::string prefix = "sp-" + session.text() + "-";
  return name.size() <= kMaxDockerdName && name.starts_with(prefix) &&
         ContainerName::parse(name.substr(prefix.size())).has_value();
}

void read_line(const std::vector<std::string_view>& words, LedgerRecord& into) {
  if (words.size() == 1 && words[0] == "closed") into.closed = true;
  if (words.size() == 2 && words[0] == "uid") (void)read_number(words[1], into.uid_base);
  if (std::int64_t at = 0; words.size() == 2 && words[0] == "ended" && read_number(words[1], at) && at >= 0) {
    into.ended = at;
    std::erase_if(into.containers, [](const auto& entry) { return !entry.second.empty(); });
  }
  if (words.size() < 2 || !is_ours(words[1], into.session)) return;
  if (words.size() == 2 && words[0] == "intent") into.containers.emplace(words[1], "");
  if (words.size() == 2 && words[0] == "gone") into.containers.erase(std::string(words[1]));
  if (words.size() == 3 && words[0] == "made" && ContainerId::parse(words[2]))
    into.containers[std::string(words[1])] = words[2];
}

std::string first_line(const LedgerRecord& head) {
  return "session " + head.session.text() + " " + head.profile.text() + " " + std::to_string(head.uid_base) +
         (head.systemd_cgroups ? " systemd" : " cgroupfs");
}

std::string intent_line(std::string_view name) { return std::string("intent ").append(name); }
std::string made_line(std::string_view name, std::string_view id) {
  return std::string("made ").append(name).append(" ").append(id);
}

Result<std::string> read_whole(const std::string& path) {
  const UniqueFd file = UniqueFd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return fail_errno("open the ledger " + path);
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t size = ::read(file.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno("read the ledger " + path);
    if (size == 0) return text;
    text.append(buffer, static_cast<std::size_t>(size));
    if (text.size() > limits::kMaxLedgerBytes) return fail("read the ledger " + path + ": it is too large");
  }
}

}  // namespace

std::string dockerd_name(const SessionId& session, const ContainerName& name) {
  return "sp-" + session.text() + "-" + name.text();
}

std::string ledger_directory(const std::string& state_directory) { return state_directory + "/sessions"; }

std::string ledger_path(const std::string& state_directory, const SessionId& session) {
  return ledger_directory(state_directory) + "/" + session.text();
}

Result<> make_ledger_directory(const std::string& state_directory) {
  const std::string directory = ledger_directory(state_directory);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + directory);
  return {};
}

Result<LedgerFile> LedgerFile::create(const std::string& state_directory, const LedgerRecord& head) {
  LedgerFile ledger;
  ledger.path_ = ledger_path(state_directory, head.session);
  ledger.file_ = UniqueFd::adopt(
      ::open(ledger.path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!ledger.file_) return fail_errno("make the ledger " + ledger.path_);
  ledger.record_ = head;
  ledger.is_own_ = true;
  TRY(ledger.write(first_line(head)));
  return ledger;
}

Result<LedgerFile> LedgerFile::open_left(std::string path) {
  LedgerFile ledger;
  ledger.file_ = UniqueFd::adopt(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!ledger.file_) return fail_errno("open the ledger " + path);
  ledger.path_ = std::move(path);
  ledger.torn_ = true;  // perhaps, by a broker that died: behind a whole line it is a word that means nothing
  return ledger;
}

Result<> LedgerFile::append(const std::string& line) {
  if (bytes_ > grows_to_ && is_own_) {
    if (const auto compacted = compact(); !compacted) log::warning(compacted.error().text());
    grows_to_ = bytes_ + limits::kLedgerGrowsTo;
  }
  if (bytes_ > limits::kMaxLedgerBytes / 2) return fail("write the ledger " + path_ + ": it has grown too large");
  TRY(write(line));
  read_line(words_of(line), record_);
  return {};
}

Result<> LedgerFile::write(const std::string& line) {
  // A word too many for any line: half of one must not be read as one that is whole ("gone db1" as "gone db").
  const std::string text = (torn_ ? " torn\n" : "") + line + "\n";
  ssize_t size;
  do size = ::write(file_.get(), text.data(), text.size());
  while (size < 0 && errno == EINTR);
  if (size < 0) return fail_errno("write the ledger " + path_);
  bytes_ += static_cast<std::size_t>(size);
  if (size > 0) torn_ = static_cast<std::size_t>(size) != text.size();
  if (static_cast<std::size_t>(size) != text.size()) return fail("write the ledger " + path_ + ": no space left");
  return {};
}

// The new file takes the old one's place only when it is whole: whatever happens here, one of them is read.
Result<> LedgerFile::compact() {
  const std::string successor = path_ + ".next";  // no session's name: never read
  (void)::unlink(successor.c_str());
  LedgerFile next;
  next.path_ = successor;
  next.file_ =
      UniqueFd::adopt(::open(successor.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!next.file_) return fail_errno("make the ledger " + successor);
  Result<> written = next.write(first_line(record_));
  for (const auto& [name, id] : record_.containers) {
    if (written) written = next.write(intent_line(name));
    if (written && !id.empty()) written = next.write(made_line(name, id));
  }
  if (!written || ::rename(successor.c_str(), path_.c_str()) != 0) {
    if (written) written = fail_errno("replace the ledger " + path_);
    (void)::unlink(successor.c_str());
    return written;
  }
  file_ = std::move(next.file_);
  bytes_ = next.bytes_;
  torn_ = false;
  return {};
}

Result<> LedgerFile::intent(std::string_view name) { return append(intent_line(name)); }
Result<> LedgerFile::made(std::string_view name, const ContainerId& id) { return append(made_line(name, id.text())); }
Result<> LedgerFile::gone(std::string_view name) { return append(std::string("gone ").append(name)); }
Result<> LedgerFile::uid_base(std::uint32_t base) { return append("uid " + std::to_string(base)); }
Result<> LedgerFile::ended(std::int64_t at) { return append("ended " + std::to_string(at)); }
Result<> LedgerFile::closed() { return append("closed"); }
void LedgerFile::remove() {
  if (!path_.empty()) remove_ledger(path_);
  file_.reset();
}

void remove_ledger(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    log::warning(fail_errno("remove the ledger " + path).error().text());
}

Result<LedgerRecord> parse_ledger(std::string_view text) {
  LedgerRecord record;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // half a line: what it would tell of has not happened
    const std::vector<std::string_view> words = words_of(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!first) {
      read_line(words, record);
      continue;
    }
    first = false;
    if (words.size() != 5 || words[0] != "session" || !read_number(words[3], record.uid_base))
      return fail("read a ledger: its first line is malformed");
    record.session = TRY(SessionId::parse(words[1]));
    record.profile = TRY(ProfileName::parse(words[2]));
    record.systemd_cgroups = words[4] == "systemd";
  }
  if (first) return fail("read a ledger: it is empty");
  return record;
}

Result<std::vector<LeftLedger>> read_left_ledgers(const std::string& state_directory) {
  const std::string directory = ledger_directory(state_directory);
  std::vector<LeftLedger> list;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), ::closedir);
  if (!entries) {
    if (errno == ENOENT) return list;
    return fail_errno("read " + directory);
  }
  while (const dirent* entry = ::readdir(entries.get())) {
    if (!SessionId::parse(entry->d_name)) continue;
    LeftLedger left;
    left.path = directory + "/" + entry->d_name;
    const auto text = read_whole(left.path);
    if (!text) return std::unexpected(text.error());
    auto record = parse_ledger(*text);
    if (!record || record->session.text() != entry->d_name) {
      log::warning("the ledger " + left.path + " cannot be read and is removed: a session that had not begun");
      remove_ledger(left.path);
      continue;
    }
    left.record = std::move(*record);
    list.push_back(std::move(left));
  }
  return list;
}

}  // namespace sallyport::keeper
