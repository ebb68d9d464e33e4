#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/checked.h"
#include "base/invariant.h"
#include "kernels/activation.h"
#include "kernels/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/stripes.h"
#include "kernels/ref/unpack.h"

namespace plimsoll::kernels::ref {
namespace {

using tensor::DType;
using tensor::Matrix;

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// Elements of float weights, as blocks of one.
struct ElementF32 {
  float value;
};
struct ElementF16 {
  uint16_t bits;
};
struct ElementBF16 {
  uint16_t bits;
};
float ToFloat(ElementF32 e) { return e.value; }
float ToFloat(ElementF16 e) { return F16ToFloat(e.bits); }
float ToFloat(ElementBF16 e) { return BF16ToFloat(e.bits); }

// Calls f with a null pointer to the block type of `dtype`.
template <class F>
void WithBlockOf(DType dtype, F f) {
  switch (dtype) {
    case DType::kF32:
      return f(static_cast<ElementF32*>(nullptr));
    case DType::kF16:
      return f(static_cast<ElementF16*>(nullptr));
    case DType::kBF16:
      return f(static_cast<ElementBF16*>(nullptr));
    case DType::kQ8_0:
      return f(static_cast<tensor::BlockQ8_0*>(nullptr));
    case DType::kQ4_0:
      return f(static_cast<tensor::BlockQ4_0*>(nullptr));
    case DType::kQ4_1:
      return f(static_cast<tensor::BlockQ4_1*>(nullptr));
    case DType::kQ5_0:
      return f(static_cast<tensor::BlockQ5_0*>(nullptr));
    case DType::kQ5_1:
      return f(static_cast<tensor::BlockQ5_1*>(nullptr));
    case DType::kQ2_K:
      return f(static_cast<tensor::BlockQ2_K*>(nullptr));
    case DType::kQ3_K:
      return f(static_cast<tensor::BlockQ3_K*>(nullptr));
    case DType::kQ4_K:
      return f(static_cast<tensor::BlockQ4_K*>(nullptr));
    case DType::kQ5_K:
      return f(static_cast<tensor::BlockQ5_K*>(nullptr));
    case DType::kQ6_K:
      return f(static_cast<tensor::BlockQ6_K*>(nullptr));
    case DType::kIQ4_NL:
      return f(static_cast<tensor::BlockIQ4_NL*>(nullptr));
    case DType::kIQ4_XS:
      return f(static_cast<tensor::BlockIQ4_XS*>(nullptr));
    case DType::kIQ2_XXS:
      return f(static_cast<tensor::BlockIQ2_XXS*>(nullptr));
    case DType::kIQ2_XS:
      return f(static_cast<tensor::BlockIQ2_XS*>(nullptr));
    case DType::kIQ2_S:
      return f(static_cast<tensor::BlockIQ2_S*>(nullptr));
    case DType::kIQ3_XXS:
      return f(static_cast<tensor::BlockIQ3_XXS*>(nullptr));
    case DType::kIQ3_S:
      return f(static_cast<tensor::BlockIQ3_S*>(nullptr));
    case DType::kIQ1_S:
      return f(static_cast<tensor::BlockIQ1_S*>(nullptr));
    case DType::kIQ1_M:
      return f(static_cast<tensor::BlockIQ1_M*>(nullptr));
    case DType::kTQ1_0:
      return f(static_cast<tensor::BlockTQ1_0*>(nullptr));
    case DType::kTQ2_0:
      return f(static_cast<tensor::BlockTQ2_0*>(nullptr));
    case DType::kMXFP4:
      return f(static_cast<tensor::BlockMXFP4*>(nullptr));
    case DType::kNVFP4:
      return f(static_cast<tensor::BlockNVFP4*>(nullptr));
  }
  InvariantBroken("a DType is one of the supported types", std::source_location::current());
}

struct TwoBlocksQ8x32 {
  BlockQ8x32 half[2];
};

// What a row of blocks is unpacked to, once for all tokens: floats, or integers with scales; and
// the packed activations that an unpacked block meets.
template <class Block>
struct Form {
  using Unpacked = std::conditional_t<Block::kElements == 32, Unpacked32, Unpacked256>;
  using Packed = std::conditional_t<Block::kElements == 32, BlockQ8x32, BlockQ8x256>;
};
template <>
struct Form<tensor::BlockNVFP4> {
  using Unpacked = Unpacked64;
  using Packed = TwoBlocksQ8x32;
};
template <>
struct Form<ElementF32> {
  using Unpacked = float;
};
template <>
struct Form<ElementF16> {
  using Unpacked = float;
};
template <>
struct Form<ElementBF16> {
  using Unpacked = float;
};

template <class Block>
typename Form<Block>::Unpacked UnpackBlock(const Matrix& w, uint64_t r, uint64_t b) {
  Block block;
  w.CopyBlock(r, b, reinterpret_cast<std::byte*>(&block));
  if constexpr (std::is_same_v<typename Form<Block>::Unpacked, float>) {
    return ToFloat(block);
  } else {
    typename Form<Block>::Unpacked unpacked;
    Unpack(block, &unpacked);
    return unpacked;
  }
}

// One block's step on the accumulator of (row, token).
float Step(const Unpacked32& w, const BlockQ8x32& x, float acc) {
  int32_t isum = 0;
  for (int i = 0; i < 32; ++i) {
    isum += w.w[i] * x.q[i];
  }
  return std::fma(w.d * x.d, static_cast<float>(isum), acc);
}

float MinimumStep(const Unpacked32& w, const BlockQ8x32& x, float acc) {
  return std::fma(w.m * x.d, static_cast<float>(x.sums[0] + x.sums[1]), acc);
}

float Step(const Unpacked64& w, const TwoBlocksQ8x32& x, float acc) {
  const auto isum = [&](int sixteen) {
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) {
      sum += w.w[16 * sixteen + i] * x.half[sixteen / 2].q[16 * (sixteen % 2) + i];
    }
    return static_cast<float>(sum);
  };
  for (int half = 0; half < 2; ++half) {
    const float first = w.d[2 * half] * isum(2 * half);  // exact
    const float both = std::fma(w.d[2 * half + 1], isum(2 * half + 1), first);
    acc = std::fma(x.half[half].d, both, acc);
  }
  return acc;
}

float Step(const Unpacked256& w, const BlockQ8x256& x, float acc) {
  int32_t isum = 0;
  for (int j = 0; j < 16; ++j) {
    int32_t dot = 0;
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      dot += w.w[i] * x.q[i];
    }
    isum += w.scales[j] * x.steps[j / 2][0] * dot;
  }
  return std::fma(w.d * x.d, static_cast<float>(isum), acc);
}

float MinimumStep(const Unpacked256& w, const BlockQ8x256& x, float acc) {
  int32_t msum = 0;
  for (int j = 0; j < 16; ++j) {
    msum += w.minima[j] * x.sums[j];
  }
  return std::fma(-(w.dmin * x.d), static_cast<float>(msum), acc);
}

// Types without a minimum have no second step, not one of zeros: it could turn -0 to +0.
template <class Block>
concept HasMinimum = requires(Block b) { b.m; } || requires(Block b) { b.dmin; };

template <class Block>
float Dot(const typename Form<Block>::Unpacked* w, const std::byte* x, uint64_t k) {
  if constexpr (std::is_same_v<typename Form<Block>::Unpacked, float>) {
    Stripes dot;
    for (uint64_t i = 0; i < k; ++i) {
      dot.AddProduct(i, w[i], Load<float>(x + i * sizeof(float)));
    }
    return dot.Total();
  } else {
    using Packed = typename Form<Block>::Packed;
    float acc = 0;
    for (uint64_t b = 0; b < k / Block::kElements; ++b) {
      const auto packed = Load<Packed>(x + b * sizeof(Packed));
      acc = Step(w[b], packed, acc);
      if constexpr (HasMinimum<Block>) {
        acc = MinimumStep(w[b], packed, acc);
      }
    }
    return acc;
  }
}

template <class Block>
void AsFloats(const Unpacked32& w, float* out) {
  for (int i = 0; i < 32; ++i) {
    const auto value = static_cast<float>(w.w[i]);
    out[i] = HasMinimum<Block> ? std::fma(w.d, value, w.m) : w.d * value;
  }
}

template <class Block>
void AsFloats(const Unpacked64& w, float* out) {
  for (int i = 0; i < 64; ++i) {
    out[i] = w.d[i / 16] * static_cast<float>(w.w[i]);
  }
}

template <class Block>
void AsFloats(const Unpacked256& w, float* out) {
  for (int i = 0; i < 256; ++i) {
    const float scale = w.d * static_cast<float>(w.scales[i / 16]);
    const auto value = static_cast<float>(w.w[i]);
    out[i] = HasMinimum<Block>
                 ? std::fma(scale, value, -(w.dmin * static_cast<float>(w.minima[i / 16])))
                 : scale * value;
  }
}

}  // namespace

size_t MatMulWorkspaceBytes(uint64_t k) {
  // A row as floats is the largest form: 4 bytes an element.
  static_assert(sizeof(Unpacked32) <= 4 * 32 && sizeof(Unpacked64) <= 4 * 64 &&
                sizeof(Unpacked256) <= 4 * 256);
  return AlignUp<size_t>(k * sizeof(float), 64);
}

void ScaleProducts(const Matrix& w, uint64_t n_rows, size_t n_tokens, float* y, size_t y_stride) {
  for (size_t i = 0; w.scale != nullptr && i < n_tokens; ++i) {
    std::for_each(y + i * y_stride, y + i * y_stride + n_rows,
                  [&](float& value) { value *= *w.scale; });
  }
}

void MatMul(const Matrix& w, uint64_t row_begin, uint64_t row_end, const Activations& x, float* y,
            size_t y_stride, std::byte* workspace) {
  const uint64_t n_blocks = w.k / tensor::Traits(w.dtype).block_elements;
  WithBlockOf(w.dtype, [&]<class Block>(Block*) {
    auto* row = reinterpret_cast<typename Form<Block>::Unpacked*>(workspace);
    for (uint64_t r = row_begin; r < row_end; ++r) {
      for (uint64_t b = 0; b < n_blocks; ++b) {
        row[b] = UnpackBlock<Block>(w, r, b);
      }
      for (size_t i = 0; i < x.n_rows; ++i) {
        y[i * y_stride + (r - row_begin)] = Dot<Block>(row, x.row(i), w.k);
      }
    }
  });
  ScaleProducts(w, row_end - row_begin, x.n_rows, y, y_stride);
}

void DequantizeRow(const Matrix& w, uint64_t r, float* out) {
  const auto& traits = tensor::Traits(w.dtype);
  WithBlockOf(w.dtype, [&]<class Block>(Block*) {
    for (uint64_t b = 0; b < w.k / traits.block_elements; ++b) {
      const auto unpacked = UnpackBlock<Block>(w, r, b);
      if constexpr (std::is_same_v<typename Form<Block>::Unpacked, float>) {
        out[b] = unpacked;
      } else {
        AsFloats<Block>(unpacked, out + b * traits.block_elements);
      }
    }
  });
  ScaleProducts(w, w.k, 1, out, w.k);
}

}  // namespace plimsoll::kernels::ref
