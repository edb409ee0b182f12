// TRUSTED SIDE. Which containers a session owns: what it created through us, and nothing else. Names and prefixes of
// ids are resolved here and never by dockerd. Pure: what must survive a crash is written by LedgerFile.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/protocol/messages.hpp"
#include "sallyport/ids.hpp"

namespace sallyport::keeper {

class Attaches;

struct OwnedContainer {
  ContainerName name;  // the client's, or made up for it
  ContainerId id;      // empty while its create is in flight
  std::string image;   // as the client wrote it
  // What it runs, and where: for the words about a start that fails. Of long ones the beginning.
  std::string program;
  std::string directory;
  std::vector<protocol::Label> labels;
  std::uint64_t memory_bytes = 0;
  std::size_t described_bytes = 0;  // of texts that dockerd shows, of the request and its image
  std::size_t kept_bytes = 0;       // of the texts above, as the ledger counts them
  std::int64_t created = 0;         // seconds since the epoch
  bool auto_remove = false;
  bool tty = false;
  bool first_start_asked = false;
  bool first_log_read_asked = false;
  std::shared_ptr<Attaches> attaches;
  bool has_lifetime = false;  // the timer that kills it runs
  bool is_gone = false;       // removed; holders of this object see it
};
using Owned = std::shared_ptr<OwnedContainer>;

inline constexpr std::size_t kMostRemembered = 256;  // of a container's program and directory, for words about them

// What these take of kMaxLedgerTextBytes.
std::size_t kept_bytes_of(std::size_t name_bytes, std::size_t image_bytes, const std::vector<protocol::Label>& labels);
// What a container takes of it while its create is in flight: program and directory are not known yet.
constexpr std::size_t with_room_to_remember(std::size_t kept_bytes) { return kept_bytes + 2 * kMostRemembered; }

class Ledger {
 public:
  // Reserves the name for a create in flight. The container that has it already, where one has.
  Owned conflict(const ContainerName& name) const;
  Owned reserve(OwnedContainer container);
  void describe(const Owned& container, std::size_t bytes);
  void remember(const Owned& container, std::string_view program, std::string_view directory);  // their beginnings
  void made(const Owned& container, const ContainerId& id);
  void forget(const Owned& container);  // a failed create, or a removed container

  // Full id, then name, then a prefix of exactly one id; as dockerd resolves. Empty for everything else, alike.
  Owned find(const ContainerName& reference) const;

  std::size_t count() const { return by_name_.size(); }  // those in flight included
  std::uint64_t memory_bytes() const { return memory_bytes_; }
  std::size_t described_bytes() const { return described_bytes_; }
  std::size_t kept_bytes() const { return kept_bytes_; }
  std::vector<Owned> all() const;  // by name

 private:
  std::map<std::string, Owned, std::less<>> by_name_;
  std::map<std::string, Owned, std::less<>> by_id_;
  std::uint64_t memory_bytes_ = 0;
  std::size_t described_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
};

}  // namespace sallyport::keeper
