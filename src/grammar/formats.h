// The values of `format` that are more than a note.
#pragma once

#include <optional>
#include <string_view>

namespace plimsoll::grammar {

// A regular expression of texts that all have the format; it need not say all of them. Nullopt for
// a format that is not known; empty for one that is about numbers or only a note.
[[nodiscard]] std::optional<std::string_view> FormatPattern(std::string_view name);

}  // namespace plimsoll::grammar
