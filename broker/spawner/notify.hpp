// TRUSTED SIDE. One line to systemd's notification socket (sd_notify(3)), where there is one.
#pragma once

#include <string_view>

namespace sallyport::spawner {

void notify_systemd(std::string_view state);

}  // namespace sallyport::spawner
