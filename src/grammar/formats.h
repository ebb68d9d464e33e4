// The values of `format` that are more than a note.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/number_range.h"

namespace plimsoll::grammar {

enum class FormatKind : uint8_t { kUnknown, kOfTexts, kOfNumbers };
[[nodiscard]] FormatKind KindOfFormat(std::string_view name);

// Of a format of texts, a regular expression of texts that all have it; it need not say all of
// them. Empty for one that is only a note.
[[nodiscard]] std::string_view FormatPattern(std::string_view name);
// The integers of a format of numbers; nullopt for one that is only a note.
[[nodiscard]] std::optional<NumberRange> FormatIntegers(std::string_view name);

}  // namespace plimsoll::grammar
