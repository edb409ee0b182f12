// TRUSTED SIDE. Verbs that are other programs: sallyport-VERB beside this one, or in ../libexec/sallyport.
#pragma once

#include <string>
#include <vector>

#include "sallyport/result.hpp"

namespace sallyport::launcher {

Result<std::string> find_program(const std::string& name);                         // an absolute path
int dispatch(const std::string& verb, const std::vector<std::string>& arguments);  // returns only on failure

}  // namespace sallyport::launcher
