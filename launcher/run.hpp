// TRUSTED SIDE. `sallyport run`: plan, build, open the session, supervise, say how it ended.
#pragma once

#include "launcher/options.hpp"

namespace sallyport::launcher {

int run(const Options& options);  // the exit code
int print_plan(const Options& options);
int kill_session(const Options& options);

}  // namespace sallyport::launcher
