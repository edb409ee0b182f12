// TRUSTED SIDE. The ledger of one session in the state directory: append-only lines, each written before what it tells
// of, so that the next broker can reap what this one leaves; written anew, without what is gone, when it has grown. Not
// synced to disk: containers do not survive the host either.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::keeper {

// What a ledger file says. `containers`: name at dockerd -> id, empty where only the intent was written. `ended`: when
// the session's end was done with all but its intents (late_creates.hpp), in seconds since the epoch. `closed`: its end
// is in the trail, and what is left of it are its containers.
struct LedgerRecord {
  SessionId session;
  ProfileName profile;
  std::uint32_t uid_base = 0;
  bool systemd_cgroups = false;
  std::map<std::string, std::string> containers;
  std::optional<std::int64_t> ended;
  bool closed = false;
};

class LedgerFile {
 public:
  static Result<LedgerFile> create(const std::string& state_directory, const LedgerRecord& head);
  static Result<LedgerFile> open_left(std::string path);  // one of an earlier broker
  Result<> intent(std::string_view dockerd_name);
  Result<> made(std::string_view dockerd_name, const ContainerId& id);
  Result<> gone(std::string_view dockerd_name);
  Result<> uid_base(std::uint32_t base);  // where the spawner chose it
  Result<> ended(std::int64_t at);        // what has an id is gone
  Result<> closed();
  void remove();

 private:
  Result<> append(const std::string& line);
  Result<> write(const std::string& line);
  Result<> compact();
  std::string path_;
  UniqueFd file_;
  // What the file says, so that it can be written anew when it has grown.
  LedgerRecord record_;
  bool is_own_ = false;  // made by this broker; one of an earlier broker only gets its `ended`
  bool torn_ = false;    // it ends in half a line, which no later one may be joined to
  std::size_t bytes_ = 0;
  std::size_t grows_to_ = limits::kLedgerGrowsTo;
};

std::string ledger_directory(const std::string& state_directory);
std::string ledger_path(const std::string& state_directory, const SessionId& session);
Result<> make_ledger_directory(const std::string& state_directory);
// Pure. Lines that are malformed, as the last may be after a crash, are passed over.
Result<LedgerRecord> parse_ledger(std::string_view text);
struct LeftLedger {
  std::string path;
  LedgerRecord record;
};
Result<std::vector<LeftLedger>> read_left_ledgers(const std::string& state_directory);
void remove_ledger(const std::string& path);

// A name at dockerd: the client's within the session's own prefix.
std::string dockerd_name(const SessionId& session, const ContainerName& name);

}  // namespace sallyport::keeper
