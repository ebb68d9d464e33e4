#include "tools/inflate/axis.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace plimsoll::inflate {
namespace {

Axis Unchanged(uint32_t n) {
  Axis axis{n, std::vector<uint32_t>(n)};
  std::iota(axis.source.begin(), axis.source.end(), 0U);
  return axis;
}

Axis Tiled(uint32_t n_source, uint32_t n_tiles) {
  Axis axis{n_source, {}};
  for (uint32_t i = 0; i < n_source * n_tiles; ++i) {
    axis.source.push_back(i % n_source);
  }
  return axis;
}

// Copy i / n_source of value i % n_source counts shares[i / n_source].
Axis TiledWith(const std::vector<float>& shares, uint32_t n_source) {
  Axis axis = Tiled(n_source, static_cast<uint32_t>(shares.size()));
  for (uint32_t i = 0; i < axis.size(); ++i) {
    axis.factor.push_back(shares[i / n_source]);
  }
  return axis;
}

Axis WithFactor(Axis axis, float factor) {
  axis.factor.assign(axis.size(), factor);
  return axis;
}

// Value i of one wide head, half by half: pair j turns at the frequency theta^(-2 j / head_dim), so
// that of the small head's pair i is found at j = i * widening.
uint32_t RotatedSource(const Dimensions& from, const Dimensions& to, uint32_t i) {
  const uint32_t half = i / (to.head_dim / 2);
  const uint32_t pair = i % (to.head_dim / 2);
  return half * (from.head_dim / 2) + pair / (to.head_dim / from.head_dim);
}

Axis RotatedHeads(const Dimensions& from, const Dimensions& to, uint32_t n_source,
                  uint32_t n_heads) {
  Axis axis{n_source * from.head_dim, {}};
  for (uint32_t head = 0; head < n_heads; ++head) {
    const uint32_t source_head = head / (n_heads / n_source);
    for (uint32_t i = 0; i < to.head_dim; ++i) {
      axis.source.push_back(source_head * from.head_dim + RotatedSource(from, to, i));
    }
  }
  return axis;
}

// Of the copies of a pair the one at the right frequency gets the weight, times `gain`.
Axis RotatedNorm(const Dimensions& from, const Dimensions& to, float gain) {
  Axis axis = RotatedHeads(from, to, 1, 1);
  for (uint32_t i = 0; i < to.head_dim; ++i) {
    const uint32_t pair = i % (to.head_dim / 2);
    axis.factor.push_back(pair % (to.head_dim / from.head_dim) == 0 ? gain : 0.0F);
  }
  return axis;
}

Axis TiledHeads(const Dimensions& from, const Dimensions& to, uint32_t n_source, uint32_t n_heads) {
  Axis axis{n_source * from.head_dim, {}};
  for (uint32_t head = 0; head < n_heads; ++head) {
    for (uint32_t i = 0; i < to.head_dim; ++i) {
      axis.source.push_back(head / (n_heads / n_source) * from.head_dim + i % from.head_dim);
    }
  }
  return axis;
}

// A value of a head's output is there as often as its head is repeated times the tiles of a head.
Axis AttentionInput(const Dimensions& from, const Dimensions& to,
                    const std::vector<float>& shares) {
  Axis axis = TiledHeads(from, to, from.n_heads, to.n_heads);
  const uint32_t repeats = to.n_heads / from.n_heads;
  const uint32_t tiles = to.head_dim / from.head_dim;
  for (uint32_t head = 0; head < to.n_heads; ++head) {
    for (uint32_t i = 0; i < to.head_dim; ++i) {
      axis.factor.push_back(shares[head % repeats * tiles + i / from.head_dim]);
    }
  }
  return axis;
}

}  // namespace

// With p the next power of two, p - n copies count 2 / p and 2 n - p count 1 / p.
std::vector<float> Shares(uint32_t n) {
  const uint32_t p = std::bit_ceil(n);
  std::vector<float> shares(n, 1.0F / static_cast<float>(p));
  std::fill_n(shares.begin(), p - n, 2.0F / static_cast<float>(p));
  return shares;
}

SplitShares SplitOf(uint32_t n) {
  SplitShares split = {1, Shares(n)};
  const int power = std::countr_zero(std::bit_ceil(n));
  split.made = std::ldexp(1.0F, -(power / 2));
  for (float& share : split.summed) {
    share /= split.made;
  }
  return split;
}

Axes MakeAxes(const Dimensions& from, const Dimensions& to, uint32_t vocab_size,
              uint32_t n_experts) {
  const uint32_t stream_tiles = to.hidden_dim / from.hidden_dim;
  const uint32_t widening = to.head_dim / from.head_dim;
  const SplitShares attention = SplitOf(to.n_heads / from.n_heads * widening);
  const SplitShares expert = SplitOf(to.expert_ff_dim / from.expert_ff_dim);
  // The scores are divided by the root of the head's size: this takes it back.
  const float score_gain = std::sqrt(static_cast<float>(widening));
  const Axis stream = Tiled(from.hidden_dim, stream_tiles);
  return {.single = Unchanged(1),
          .vocabulary = Unchanged(vocab_size),
          .experts = Unchanged(n_experts),
          .stream = stream,
          .stream_norm = TiledWith(Shares(stream_tiles), from.hidden_dim),
          .queries = RotatedHeads(from, to, from.n_heads, to.n_heads),
          .keys = RotatedHeads(from, to, from.n_kv_heads, to.n_kv_heads),
          .query_norm = RotatedNorm(from, to, score_gain),
          .key_norm = RotatedNorm(from, to, 1),
          .values = TiledHeads(from, to, from.n_kv_heads, to.n_kv_heads),
          .value_input = WithFactor(stream, attention.made),
          .attention_input = AttentionInput(from, to, attention.summed),
          .expert_rows = Tiled(from.expert_ff_dim, to.expert_ff_dim / from.expert_ff_dim),
          .up_input = WithFactor(stream, expert.made),
          .down_input = TiledWith(expert.summed, from.expert_ff_dim)};
}

}  // namespace plimsoll::inflate
