#include "memory/policy/layer_pairs.h"

#include <algorithm>
#include <optional>

namespace plimsoll::memory::policy {
namespace {

constexpr float kRateStep = 1.0F / 32;

}  // namespace

LayerPairs::LayerPairs(const PageLayout& layout) : next_(layout.n_layers(), layout.n_layers()) {
  uint32_t before = 0;
  std::optional<uint32_t> last;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint32_t n = layout.n_pages(layer);
    layers_.push_back({FollowTable(last && n != 0 ? before : 0, n), std::vector<float>(n, 0)});
    if (n != 0) {
      if (last) {
        next_[*last] = layer;
      }
      last = layer;
      before = n;
    }
  }
}

uint64_t LayerPairs::Bytes(const PageLayout& layout) {
  uint64_t bytes = sizeof(LayerPairs);
  uint64_t before = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint64_t n = layout.n_pages(layer);
    bytes += before * (n + 1) + n * 2 * sizeof(float) + sizeof(Layer) + sizeof(uint32_t);
    before = n != 0 ? n : before;
  }
  return bytes;
}

LayerPairs::Tokens LayerPairs::LastTokens(const LayerVisit& visit) {
  Tokens tokens;
  tokens.layer = visit.layer;
  tokens.step = visit.step;
  tokens.n = std::min(visit.n_tokens, kTokens);
  tokens.n_active = static_cast<uint32_t>(std::min<size_t>(visit.n_active(), kActiveMax));
  for (uint32_t i = 0; i < tokens.n; ++i) {
    const auto experts = visit.experts_of(visit.n_tokens - tokens.n + i);
    std::ranges::transform(experts.first(tokens.n_active), tokens.experts[i],
                           [](uint32_t expert) { return static_cast<uint16_t>(expert); });
  }
  return tokens;
}

// Later layers of a prompt may leave out all but the last tokens, so these go together.
void LayerPairs::Visit(const LayerVisit& visit) {
  const Tokens now = LastTokens(visit);
  Layer& layer = layers_[visit.layer];
  const bool goes_on =
      last_.layer < next_.size() && last_.step == now.step && next_[last_.layer] == now.layer;
  for (uint32_t i = 1; goes_on && i <= std::min(now.n, last_.n); ++i) {
    layer.from_before.Add(last_.Of(last_.n - i), now.Of(now.n - i));
  }
  for (uint32_t i = 0; i < now.n; ++i) {
    std::ranges::for_each(layer.rates, [](float& rate) { rate -= kRateStep * rate; });
    for (const uint16_t expert : now.Of(i)) {
      layer.rates[expert] += kRateStep;
    }
  }
  last_ = now;
}

void LayerPairs::Expect(std::span<float> expected) const {
  std::ranges::fill(expected, 0.0F);
  const uint32_t next = last_.layer < next_.size() ? next_[last_.layer] : UINT32_MAX;
  if (next >= layers_.size()) {
    return;
  }
  for (uint32_t i = 0; i < last_.n; ++i) {
    layers_[next].from_before.ExpectMore(last_.Of(i), layers_[next].rates, expected);
  }
}

}  // namespace plimsoll::memory::policy
