// BOTH SIDES. The versions of Docker's API that are spoken here: from clients any up to the newest whose served
// endpoints were compared with ours, because nothing of theirs is passed on; towards dockerd one of those whose effects
// were.
#pragma once

#include <string_view>

namespace sallyport::api {

inline constexpr unsigned kOldestClientMinor =
    24;  // 1.24: what a dockerd of Debian 13 or later still takes from clients
inline constexpr unsigned kOldestEngineMinor = 41;  // dockerd 20.10
inline constexpr unsigned kNewestMinor = 51;        // dockerd 28.5; later ones take it too

// The Engine whose served endpoints were compared last: clients ask for "at least 24.0.6" and the like.
inline constexpr std::string_view kNewestEngine = "28.5.2";

template <unsigned Minor>
inline constexpr char kVersionText[] = {'1', '.', '0' + Minor / 10, '0' + Minor % 10, '\0'};
inline constexpr std::string_view kOldestClientVersion = kVersionText<kOldestClientMinor>;
inline constexpr std::string_view kOldestEngineVersion = kVersionText<kOldestEngineMinor>;
inline constexpr std::string_view kNewestVersion = kVersionText<kNewestMinor>;

}  // namespace sallyport::api
