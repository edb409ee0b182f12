// TRUSTED SIDE. The launcher's own lines: under a unit in the journal, with priority and fields; else on stderr, one
// line each. Nothing of the worker's: that goes by the pumps (pumps.hpp).
#pragma once

#include <string>
#include <string_view>

#include "sallyport/service_manager.hpp"

namespace sallyport::launcher {

// Of whom every line from here on is: fields SALLYPORT_PROFILE, SALLYPORT_INSTANCE and SALLYPORT_SESSION. "" is left
// out.
void speak_for(std::string_view profile, std::string_view instance);
void speak_of_session(std::string_view session);

// False: stderr is no journal, or the journal does not take it just now.
bool say_in_journal(std::string_view what, Priority priority);
void complain(const std::string& what, Priority priority = Priority::Warning);
bool tell_systemd(const std::string& state);  // complains where that fails

}  // namespace sallyport::launcher
