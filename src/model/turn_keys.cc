#include "model/turn_keys.h"

#include <algorithm>
#include <array>

#include "base/invariant.h"
#include "kernels/half.h"

namespace plimsoll::model {
namespace {

using kv::kBlockTokens;
using tensor::KvType;

// So many pairs are turned at a time, as floats.
constexpr uint32_t kPairsAtOnce = 64;

float ToFloat(KvType type, uint16_t half) {
  return type == KvType::kF16 ? kernels::F16ToFloat(half) : kernels::BF16ToFloat(half);
}

uint16_t FromFloat(KvType type, float x) {
  return type == KvType::kF16 ? kernels::FloatToF16(x) : kernels::FloatToBF16(x);
}

// The angles of one distance, and how keys have their pairs.
class Turner {
 public:
  Turner(const kernels::KernelSet& kernels, bool neox, std::span<const float> cos,
         std::span<const float> sin)
      : kernels_(kernels), neox_(neox), cos_(cos), sin_(sin) {}

  // One key's rotated part, in place.
  void Turn(KvType type, uint16_t* key) const {
    const auto n_pairs = static_cast<uint32_t>(cos_.size());
    std::array<float, 2 * kPairsAtOnce> x;
    for (uint32_t begin = 0; begin < n_pairs; begin += kPairsAtOnce) {
      const uint32_t n = std::min(kPairsAtOnce, n_pairs - begin);
      for (uint32_t i = 0; i < n; ++i) {
        x[i] = ToFloat(type, key[First(begin + i)]);
        x[n + i] = ToFloat(type, key[Second(begin + i)]);
      }
      kernels_.rope(x.data(), &cos_[begin], &sin_[begin], n, true);
      for (uint32_t i = 0; i < n; ++i) {
        key[First(begin + i)] = FromFloat(type, x[i]);
        key[Second(begin + i)] = FromFloat(type, x[n + i]);
      }
    }
  }

 private:
  [[nodiscard]] size_t First(uint32_t pair) const { return neox_ ? pair : 2 * size_t{pair}; }
  [[nodiscard]] size_t Second(uint32_t pair) const {
    return neox_ ? pair + cos_.size() : 2 * size_t{pair} + 1;
  }

  const kernels::KernelSet& kernels_;
  bool neox_;
  std::span<const float> cos_, sin_;
};

}  // namespace

void TurnKeys(const KeyTurn& turn, const HyperParams& hp, const RopeTables& ropes,
              const kernels::KernelSet& kernels, kernels::Team& team, const Scratch& scratch) {
  if (turn.first >= turn.end) {
    return;
  }
  const auto turner_of = [&](const RopeTable& rope, bool neox, const RopeAngles& angles) {
    const auto cos = angles.cos.first(rope.n_pairs());
    const auto sin = angles.sin.first(rope.n_pairs());
    rope.TurnAngles(turn.distance, cos, sin);
    return Turner(kernels, neox, cos, sin);
  };
  const Turner plain = turner_of(ropes.plain, hp.rope.neox, scratch.angles);
  const Turner windowed =
      ropes.window ? turner_of(*ropes.window, hp.window_rope->neox, scratch.window_angles) : plain;
  const kv::BlockLayout& layout = turn.sequence.layout();
  const uint32_t first_block = turn.first / kBlockTokens;
  const size_t n_blocks = (turn.end - 1) / kBlockTokens + 1 - first_block;
  // A block of all layers after another, as memory has them.
  team.Run(n_blocks * layout.n_layers(), [&](size_t task, size_t /*thread*/) {
    const auto block = static_cast<uint32_t>(first_block + task / layout.n_layers());
    const size_t layer_idx = task % layout.n_layers();
    if (!hp.layers[layer_idx].has_rope) {
      return;
    }
    const kv::BlockLayout::Layer& layer = layout.layer(layer_idx);
    Invariant(!layout.is_quantized(layer_idx), "keys that are turned are in 16 bits");
    const uint32_t first = std::max(turn.first, block * kBlockTokens);
    const uint32_t end = std::min(turn.end, (block + 1) * kBlockTokens);
    std::byte* data = turn.sequence.MutableBlock(first);
    for (uint32_t head = 0; head < layer.n_kv_heads; ++head) {
      for (uint32_t slot = first; slot < end; ++slot) {
        std::byte* key = data + layout.k_offset(layer_idx, head) +
                         slot % kBlockTokens * layout.k_stride(layer_idx);
        // The latent itself has no position; its rotated key is behind it.
        const Turner& turner =
            hp.has_window_rope(static_cast<uint32_t>(layer_idx)) ? windowed : plain;
        turner.Turn(layer.type,
                    reinterpret_cast<uint16_t*>(key) + hp.layers[layer_idx].latent.kv_rank);
      }
    }
  });
}

}  // namespace plimsoll::model
