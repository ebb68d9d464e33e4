// Names of element types in messages.
#pragma once

#include <string>

namespace plimsoll::formats {

// "F32, F16, Q4_0, …": every type that tensors may have.
[[nodiscard]] std::string SupportedDTypes();

}  // namespace plimsoll::formats
