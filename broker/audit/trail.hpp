// FOR PEOPLE. Where the trail is: the files of a log directory, oldest first, opened so that a rotation in between
// neither hides a file nor shows it twice; and the pass over them that prints what was asked for. Changes and reads
// have files of their own (keeper/audit.hpp) and are shown as one trail.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "sallyport/result.hpp"
#include "sallyport/unique_fd.hpp"

namespace sallyport::audit {

struct TrailFile {
  std::string path;
  UniqueFd file;
};

using FileSet = std::vector<TrailFile>;  // one after another
Result<std::vector<FileSet>> open_trail(const std::string& log_directory);
Result<std::vector<FileSet>> open_files(const std::vector<std::string>& paths);  // as one set

struct Query {
  std::string session;   // "" for all; else the first characters of its id
  std::string decision;  // "" for both; else ALLOW or DENY
  bool json = false;     // the records themselves, in ASCII
};

// Prints to `out`, the records of all sets in the order of their time; what could not be read as a record is shown as
// such, and a torn last line is said on `notes`.
Result<> print_trail(std::vector<FileSet> sets, const Query& query, std::FILE* out, std::FILE* notes);

}  // namespace sallyport::audit
