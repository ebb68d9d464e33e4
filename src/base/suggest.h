// "Did you mean ...?"
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace plimsoll {

// Single-character insertions, deletions, replacements and swaps of neighbours that turn a into b
// (optimal string alignment).
[[nodiscard]] size_t EditDistance(std::string_view a, std::string_view b);

// The candidate that `word` is most likely a slip for: at most a third of it wrong, or a candidate
// that it abbreviates. None when nothing is near.
[[nodiscard]] std::optional<std::string> Suggest(std::string_view word,
                                                 std::span<const std::string> candidates);

// " Did you mean X?" or nothing, to end a message with.
[[nodiscard]] std::string DidYouMean(std::string_view word,
                                     std::span<const std::string> candidates);

}  // namespace plimsoll
