// FOR PEOPLE, HOSTILE INPUT. `sallyport audit`: reads the trail and prints it. Needs no privilege but to read the
// files.
#include <cstdio>

#include "broker/audit/options.hpp"

using namespace sallyport;
using namespace sallyport::audit;

static Result<> run(const Options& options) {
  auto files = TRY(options.files.empty() ? open_trail(options.log_directory) : open_files(options.files));
  return print_trail(std::move(files), options.query, stdout, stderr);
}

int main(int argc, char** argv) {
  const auto outcome = run(parse_options(argc, argv));
  if (outcome) return 0;
  std::fprintf(stderr, "sallyport audit: %s\n", outcome.error().text().c_str());
  return 1;
}
