// TRUSTED SIDE. Tells people of a limit that a session has met where no answer to its client can: a line of the
// broker's log, and one on stderr of `sallyport run`. The worker chooses how often a limit is met, so each kind is told
// once in kNoticeEvery, with the number of times that it was met in between.
#pragma once

#include <string>

#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

// True where it was told: then a record of it belongs into the trail as well. `kind` is one of a few words of ours.
bool notice(Session& session, const std::string& kind, const std::string& text);

}  // namespace sallyport::keeper
