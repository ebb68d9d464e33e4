#include "base/suggest.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace plimsoll {

size_t EditDistance(std::string_view a, std::string_view b) {
  // Rows i - 2, i - 1 and i of the table of distances between prefixes.
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::optional<std::string> Suggest(std::string_view word, std::span<const std::string> candidates) {
  const size_t slips_max = std::max<size_t>(1, word.size() / 3);
  const std::string* best = nullptr;
  size_t best_distance = slips_max + 1;
  for (const std::string& candidate : candidates) {
    const bool abbreviated = word.size() >= 3 && std::string_view(candidate).starts_with(word);
    const size_t distance = abbreviated ? 0 : EditDistance(word, candidate);
    if (distance < best_distance && distance < word.size()) {
      best = &candidate;
      best_distance = distance;
    }
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

std::string DidYouMean(std::string_view word, std::span<const std::string> candidates) {
  const auto suggestion = Suggest(word, candidates);
  return suggestion ? fmt::format(" Did you mean {}?", *suggestion) : std::string();
}

}  // namespace plimsoll
