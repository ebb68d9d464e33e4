// Whether tests run their long form.
#pragma once

#include <cstdlib>

namespace plimsoll::tests {

inline bool IsNight() { return std::getenv("PLIMSOLL_NIGHT") != nullptr; }

}  // namespace plimsoll::tests
