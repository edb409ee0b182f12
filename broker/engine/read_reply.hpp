// TRUSTED SIDE, EXPOSED INPUT. dockerd's JSON replies -> typed values: only the fields that are used, each bounded.
// What a session is shown is built from these; nothing of a reply is passed on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/protocol/messages.hpp"
#include "sallyport/ids.hpp"
#include "sallyport/result.hpp"

namespace sallyport::engine {

struct EngineVersion {
  std::string newest;  // ApiVersion
  std::string oldest;  // MinAPIVersion
};
// What an image adds to a container that is made of it. Its Shell and OnBuild are for builds only; its user and health
// check are always replaced.
struct ImageFacts {
  ImageId id;
  std::string platform;              // linux/amd64, with a variant where there is one
  std::vector<std::string> volumes;  // as declared; more than the limit is an error
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string working_directory;
  std::string stop_signal;
  std::size_t other_bytes = 0;      // labels and ports, which dockerd gives the container as well
  std::size_t other_described = 0;  // the same, as dockerd writes them (described_size)
  bool is_cut = false;              // one of the lists or texts is larger than any that a client may give
};
struct WaitOutcome {
  std::int64_t status = 0;
  std::string error;  // dockerd's words: for explain_state_error() only
};
struct ListedContainer {
  ContainerId id;
  std::string name;  // at dockerd, without its slash
  protocol::Summary summary;
};

Result<EngineVersion> read_version(std::string_view body);
struct EngineInfo {
  std::string cgroup_driver;
  std::vector<std::string> not_enforced;  // names of limits that this host's kernel cannot set
};
Result<EngineInfo> read_info(std::string_view body);
Result<ImageFacts> read_image(std::string_view body);
Result<ContainerId> read_created(std::string_view body);
Result<WaitOutcome> read_wait(std::string_view body);
// Fills everything but what only the ledger knows: name, image as the client wrote it, labels, creation time in
// seconds.
Result<protocol::Inspected> read_inspect(std::string_view body);
Result<std::vector<ListedContainer>> read_list(std::string_view body);
std::string read_error_message(std::string_view body);  // "" where there is none

}  // namespace sallyport::engine
