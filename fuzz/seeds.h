// How inputs that stand for several files are put into one.
#pragma once

#include <string_view>

namespace plimsoll::fuzz {

inline constexpr std::string_view kNextPart = "\n<next part>\n";

}  // namespace plimsoll::fuzz
