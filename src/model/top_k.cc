#include "model/top_k.h"

#include <algorithm>

namespace plimsoll::model {

void ChooseTop(std::span<const float> scores, std::span<uint32_t> chosen) {
  // Insertion into a short list ordered by score: k is small, and most scores fail the first test.
  size_t n = 0;
  for (uint32_t id = 0; id < scores.size(); ++id) {
    size_t at = n;
    while (at > 0 && scores[id] > scores[chosen[at - 1]]) {
      --at;
    }
    if (at == chosen.size()) {
      continue;
    }
    const size_t last = std::min(n, chosen.size() - 1);
    std::copy_backward(chosen.begin() + static_cast<ptrdiff_t>(at),
                       chosen.begin() + static_cast<ptrdiff_t>(last),
                       chosen.begin() + static_cast<ptrdiff_t>(last) + 1);
    chosen[at] = id;
    n = std::min(n + 1, chosen.size());
  }
  std::ranges::sort(chosen);
}

}  // namespace plimsoll::model
