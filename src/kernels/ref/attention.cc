#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "kernels/half.h"
#include "kernels/kv_panels.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/stripes.h"

namespace plimsoll::kernels::ref {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Floats as integers of kFactorBits bits beside their sign, times a unit. A NaN counts as the
// lowest.
struct Factors {
  std::vector<int64_t> x;
  float unit = 0;

  explicit Factors(const std::vector<float>& floats) : x(floats.size()) {
    float max = 0;
    for (const float f : floats) {
      max = std::fabs(f) > max ? std::fabs(f) : max;
    }
    constexpr auto kLargest = static_cast<float>(1U << kFactorBits);
    const float inverse = max > 0 ? kLargest / max : 0.0F;
    unit = max * (1.0F / kLargest);
    std::ranges::transform(floats, x.begin(), [&](float f) {
      const float within = std::min(kLargest, std::max(-kLargest, f * inverse));
      return static_cast<int64_t>(std::nearbyint(within));
    });
  }
};

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
        scores[i] = Finished(Product(block, i));
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
        const float score = Finished(Product(slot / kKvBlockTokens, slot % kKvBlockTokens));
        sums[slot] = sums[slot] + Exp(score - max_) * inverse();
      }
    }
  }

 private:
  [[nodiscard]] float inverse() const { return sum_ > 0 ? 1.0F / sum_ : 0.0F; }

  [[nodiscard]] float Finished(float product) const {
    const float score = product * args_.scale;
    const float cap = args_.logit_softcap;
    return cap == 0 ? score : cap * Tanh(score / cap);
  }

  // The query with the key of slot i.
  [[nodiscard]] float Product(uint32_t block, uint32_t i) const {
    if (HasPanels(block)) {
      return PanelProduct(args_.blocks[block] + args_.k_offset, i);
    }
    Stripes dot;
    for (uint32_t j = 0; j < args_.head_dim_k; ++j) {
      dot.AddProduct(j, q_[j], Key(block, i, j));
    }
    return dot.Total();
  }

  [[nodiscard]] float PanelProduct(const std::byte* keys, uint32_t i) const {
    const tensor::KvPanel panel = KeyPanel();
    std::vector<float> scaled(args_.head_dim_k);
    Stripes of_minima;
    for (uint32_t j = 0; j < args_.head_dim_k; ++j) {
      scaled[j] = q_[j] * PanelScale(panel, keys, i, j);
      of_minima.AddProduct(j, q_[j], PanelMinimum(panel, keys, j));
    }
    const Factors factors(scaled);
    int64_t sum = 0;
    for (uint32_t j = 0; j < args_.head_dim_k; ++j) {
      sum += factors.x[j] * PanelCode(panel, keys, i, j);
    }
    const auto whole = static_cast<float>(sum);
    return panel.has_minima() ? std::fma(whole, factors.unit, of_minima.Total())
                              : whole * factors.unit;
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
    if (HasPanels(block)) {
      AddPanelValues(args_.blocks[block] + args_.v_offset, p);
    }
    for (uint32_t i = 0; i < kKvBlockTokens && !HasPanels(block); ++i) {
      if (visible[i]) {
        AddValue(block, i, p[i]);
      }
    }
    max_ = max;
  }

  void AddPanelValues(const std::byte* values, const std::array<float, kKvBlockTokens>& p) {
    const tensor::KvPanel panel = ValuePanel();
    for (uint32_t j = 0; j < args_.head_dim_v; ++j) {
      std::vector<float> scaled(p.begin(), p.end());
      for (uint32_t i = 0; i < kKvBlockTokens; ++i) {
        scaled[i] = p[i] * PanelScale(panel, values, i, j);
      }
      const Factors factors(scaled);
      int64_t sum = 0;
      for (uint32_t i = 0; i < kKvBlockTokens; ++i) {
        sum += factors.x[i] * PanelCode(panel, values, i, j);
      }
      out_[j] = std::fma(static_cast<float>(sum), factors.unit, out_[j]);
    }
  }

  void AddValue(uint32_t block, uint32_t i, float p) {
    for (uint32_t j = 0; j < args_.head_dim_v; ++j) {
      out_[j] = std::fma(p, Value(block, i, j), out_[j]);
    }
  }

  // Keys and values apart, quantized: taken as integers.
  [[nodiscard]] bool HasPanels(uint32_t block) const {
    return IsQuantized(args_.type) && !args_.values_in_keys && !args_.f16.Has(block);
  }

  // Element j of the key of slot i.
  [[nodiscard]] float Key(uint32_t block, uint32_t i, uint32_t j) const {
    if (args_.f16.Has(block)) {
      return LoadHalf(args_.f16.KeysOf(block), uint64_t{i} * args_.head_dim_k + j, false);
    }
    const std::byte* keys = args_.blocks[block] + args_.k_offset;
    if (IsQuantized(args_.type)) {
      return PanelElement(KeyPanel(), keys, i, j);
    }
    return LoadHalf(keys + i * args_.k_stride, j, args_.type == tensor::KvType::kBF16);
  }

  [[nodiscard]] float Value(uint32_t block, uint32_t i, uint32_t j) const {
    if (args_.f16.Has(block)) {
      return LoadHalf(args_.f16.ValuesOf(block) + i * args_.f16.value_stride, j, false);
    }
    const std::byte* data = args_.blocks[block];
    if (IsQuantized(args_.type)) {
      return PanelElement(KeyPanel(), data + args_.k_offset, i, j);
    }
    return LoadHalf(data + args_.v_offset + i * args_.v_stride, j,
                    args_.type == tensor::KvType::kBF16);
  }

  [[nodiscard]] tensor::KvPanel KeyPanel() const {
    return {args_.type,
            args_.values_in_keys ? tensor::KvContent::kLatents : tensor::KvContent::kKeys,
            args_.head_dim_k};
  }
  [[nodiscard]] tensor::KvPanel ValuePanel() const {
    return {args_.type, tensor::KvContent::kValues, args_.head_dim_v};
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

void Attention(const AttentionArgs* heads, size_t n_heads) {
  for (const AttentionArgs& args : std::span(heads, n_heads)) {
    ForEachHead(args, [](Head& head) { head.Finish(); });
  }
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
