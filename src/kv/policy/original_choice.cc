#include "kv/policy/original_choice.h"

#include <algorithm>

#include "base/invariant.h"

namespace plimsoll::kv::policy {

void ShareOut(size_t n, std::span<const float> weights, std::span<const uint32_t> caps,
              std::span<uint32_t> shares) {
  const bool all_alike = std::ranges::none_of(weights, [](float weight) { return weight > 0; });
  std::ranges::fill(shares, 0U);
  for (size_t given = 0; given < n; ++given) {
    size_t next = weights.size();
    float most = -1;
    for (size_t i = 0; i < weights.size(); ++i) {
      const float claim =
          (all_alike ? 1.0F : weights[i]) / static_cast<float>(2 * uint64_t{shares[i]} + 1);
      if (shares[i] < caps[i] && claim > most) {
        next = i;
        most = claim;
      }
    }
    if (next == weights.size()) {
      return;  // all have what they can have
    }
    ++shares[next];
  }
}

OriginalChoice::OriginalChoice(size_t n_layers, size_t n_blocks, size_t n_originals)
    : n_blocks_(n_blocks),
      worth_(n_layers * n_blocks),
      weights_(n_layers),
      caps_(n_layers),
      shares_(n_layers) {
  order_.reserve(n_blocks);
  chosen_.reserve(n_layers * n_originals);
}

void OriginalChoice::Clear() {
  std::ranges::fill(worth_, 0.0F);
  std::ranges::fill(weights_, 0.0F);
}

void OriginalChoice::AddLayer(size_t layer_idx, std::span<const float> worth, float weight) {
  Invariant(worth.size() <= n_blocks_, "there is room for every block's worth");
  // A model's NaN or infinity orders nothing.
  const auto finite = [](float x) { return x >= 0 && x <= 3e38F ? x : 0; };
  std::ranges::transform(worth, worth_.begin() + static_cast<ptrdiff_t>(layer_idx * n_blocks_),
                         finite);
  weights_[layer_idx] = finite(weight);
}

std::span<const LayerBlock> OriginalChoice::ToQuantize(const Originals& originals, size_t n_blocks,
                                                       std::span<const uint32_t> gone, size_t n) {
  const auto is_candidate = [&](size_t layer, uint32_t block) {
    return originals.Has(layer, block) && !std::ranges::binary_search(gone, block);
  };
  for (size_t i = 0; i < caps_.size(); ++i) {
    caps_[i] = 0;
    for (uint32_t b = 1; b < n_blocks; ++b) {
      caps_[i] += is_candidate(i, b) ? 1U : 0U;
    }
  }
  ShareOut(n, weights_, caps_, shares_);
  chosen_.clear();
  for (uint32_t i = 0; i < caps_.size(); ++i) {
    const float* worth = worth_.data() + i * n_blocks_;
    order_.clear();
    for (uint32_t b = 1; b < n_blocks; ++b) {
      if (is_candidate(i, b)) {
        order_.push_back(b);
      }
    }
    std::ranges::sort(order_, [worth](uint32_t a, uint32_t b) {
      return worth[a] != worth[b] ? worth[a] > worth[b] : a > b;
    });
    for (size_t k = shares_[i]; k < order_.size(); ++k) {
      chosen_.push_back({.layer_idx = i, .block = order_[k]});
    }
  }
  return chosen_;
}

}  // namespace plimsoll::kv::policy
