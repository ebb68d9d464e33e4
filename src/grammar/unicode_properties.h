// Unicode's general categories as sets of characters.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/code_points.h"

namespace plimsoll::grammar {

// By the short name (L, Lu, Nd ...), the long name (Letter, Uppercase_Letter ...), or "gc=" or
// "General_Category=" in front of these. Nullopt for what is no general category.
[[nodiscard]] std::optional<CodePoints> UnicodeProperty(std::string_view name);

}  // namespace plimsoll::grammar
