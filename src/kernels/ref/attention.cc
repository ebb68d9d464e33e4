#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/half.h"
#include "kernels/kv_panels.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/stripes.h"

namespace plimsoll::kernels::ref {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float LoadHalf(const std::byte* p, uint64_t i, bool is_bf16) {
  uint16_t bits = 0;
  std::memcpy(&bits, p + i * sizeof(bits), sizeof(bits));
  return is_bf16 ? BF16ToFloat(bits) : F16ToFloat(bits);
}

bool IsVisible(const VisibleSlots& visible, uint32_t slot) {
  return slot >= visible.begin && slot < visible.end &&
         (visible.mask == nullptr || (visible.mask[slot / 32] >> (slot % 32) & 1) != 0);
}

// One query head of one token against all blocks. The accumulator is the output itself.
class Head {
 public:
  Head(const AttentionArgs& args, uint32_t token, uint32_t h)
      : args_(args),
        visible_(args.visible[token]),
        q_(args.q + token * args.q_stride + uint64_t{h} * args.head_dim_k),
        out_(args.out + token * args.out_stride + uint64_t{h} * args.head_dim_v) {
    std::fill(out_, out_ + args_.head_dim_v, 0.0F);
  }

  void MergeBlock(uint32_t block) {
    std::array<bool, kKvBlockTokens> visible = {};
    std::array<float, kKvBlockTokens> scores = {};
    bool any = false;
    float max = max_;
    for (uint32_t i = 0; i < kKvBlockTokens; ++i) {
      visible[i] = IsVisible(visible_, block * kKvBlockTokens + i);
      if (visible[i]) {
        scores[i] = Score(block, i);
        max = std::max(max, scores[i]);
        any = true;
      }
    }
    if (any) {
      Merge(block, visible, scores, max);
    }
  }

  // One more score, without a value.
  void MergeSink(float sink) {
    const float max = std::max(max_, sink);
    const float correction = Exp(max_ - max);
    sum_ = std::fma(sum_, correction, Exp(sink - max));
    Scale(correction);
    max_ = max;
  }

  void Finish() { Scale(inverse()); }

  // Adds what each slot weighs, once everything is merged.
  void AddWeights(float* sums) const {
    for (uint32_t slot = visible_.begin; slot < visible_.end; ++slot) {
      if (IsVisible(visible_, slot)) {
        const float score = Score(slot / kKvBlockTokens, slot % kKvBlockTokens);
        sums[slot] = sums[slot] + Exp(score - max_) * inverse();
      }
    }
  }

 private:
  [[nodiscard]] float inverse() const { return sum_ > 0 ? 1.0F / sum_ : 0.0F; }

  float Score(uint32_t block, uint32_t i) const {
    Stripes dot;
    for (uint32_t j = 0; j < args_.head_dim_k; ++j) {
      dot.AddProduct(j, q_[j], Key(block, i, j));
    }
    const float score = dot.Total() * args_.scale;
    const float cap = args_.logit_softcap;
    return cap == 0 ? score : cap * Tanh(score / cap);
  }

  void Merge(uint32_t block, const std::array<bool, kKvBlockTokens>& visible,
             const std::array<float, kKvBlockTokens>& scores, float max) {
    const float correction = Exp(max_ - max);
    std::array<float, kKvBlockTokens> p = {};
    Stripes block_sum;
    for (uint32_t i = 0; i < kKvBlockTokens; ++i) {
      p[i] = visible[i] ? Exp(scores[i] - max) : 0.0F;
      block_sum.Add(i, p[i]);
    }
    sum_ = std::fma(sum_, correction, block_sum.Total());
    Scale(correction);
    for (uint32_t i = 0; i < kKvBlockTokens; ++i) {
      if (visible[i]) {
        AddValue(block, i, p[i]);
      }
    }
    max_ = max;
  }

  void AddValue(uint32_t block, uint32_t i, float p) {
    for (uint32_t j = 0; j < args_.head_dim_v; ++j) {
      out_[j] = std::fma(p, Value(block, i, j), out_[j]);
    }
  }

  // Element j of the key of slot i.
  float Key(uint32_t block, uint32_t i, uint32_t j) const {
    if (args_.f16.Has(block)) {
      return LoadHalf(args_.f16.KeysOf(block), uint64_t{i} * args_.head_dim_k + j, false);
    }
    const std::byte* keys = args_.blocks[block] + args_.k_offset;
    if (IsQuantized(args_.type)) {
      return PanelElement(KeyPanel(), keys, i, j);
    }
    return LoadHalf(keys + i * args_.k_stride, j, args_.type == tensor::KvType::kBF16);
  }

  float Value(uint32_t block, uint32_t i, uint32_t j) const {
    if (args_.f16.Has(block)) {
      return LoadHalf(args_.f16.ValuesOf(block) + i * args_.f16.value_stride, j, false);
    }
    const std::byte* data = args_.blocks[block];
    if (IsQuantized(args_.type)) {
      return args_.values_in_keys ? PanelElement(KeyPanel(), data + args_.k_offset, i, j)
                                  : PanelElement(ValuePanel(), data + args_.v_offset, i, j);
    }
    return LoadHalf(data + args_.v_offset + i * args_.v_stride, j,
                    args_.type == tensor::KvType::kBF16);
  }

  tensor::KvPanel KeyPanel() const {
    const auto scaling =
        args_.values_in_keys ? tensor::KvScaling::kPerToken : tensor::KvScaling::kPerChannel;
    return {args_.type, scaling, args_.head_dim_k};
  }
  tensor::KvPanel ValuePanel() const {
    return {args_.type, tensor::KvScaling::kPerToken, args_.head_dim_v};
  }

  void Scale(float factor) {
    for (uint32_t j = 0; j < args_.head_dim_v; ++j) {
      out_[j] = out_[j] * factor;
    }
  }

  const AttentionArgs& args_;
  const VisibleSlots& visible_;
  const float* q_;
  float* out_;
  float max_ = -kInfinity;
  float sum_ = 0;
};

// f(head) once all that it sees is merged; heads of a token after those of the one before it.
template <class F>
void ForEachHead(const AttentionArgs& args, const F& f) {
  for (uint32_t token = 0; token < args.n_tokens; ++token) {
    const VisibleSlots& visible = args.visible[token];
    for (uint32_t h = 0; h < args.n_group; ++h) {
      Head head(args, token, h);
      const uint32_t first = visible.begin / kKvBlockTokens;
      for (uint32_t block = first; block * kKvBlockTokens < visible.end; ++block) {
        head.MergeBlock(block);
      }
      if (args.sinks != nullptr) {
        head.MergeSink(args.sinks[h]);
      }
      f(head);
    }
  }
}

}  // namespace

void Attention(const AttentionArgs& args) {
  ForEachHead(args, [](Head& head) { head.Finish(); });
}

void AttentionWeights(const AttentionArgs& args, float* sums) {
  AttentionArgs without_values = args;
  without_values.head_dim_v = 0;
  without_values.out = nullptr;
  without_values.out_stride = 0;
  ForEachHead(without_values, [&](const Head& head) { head.AddWeights(sums); });
}

size_t AttentionWorkspaceBytes(uint32_t /*head_dim_k*/, uint32_t /*head_dim_v*/) { return 0; }

}  // namespace plimsoll::kernels::ref
