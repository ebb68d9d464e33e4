// `ref` against double precision. The bounds follow from the order of operations: a sum of n terms
// in m sequential steps is off by at most about m * 2^-24 times the sum of their magnitudes.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/activation.h"
#include "kernels/half.h"
#include "kernels/kv_panels.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/unpack.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;
using tensor::Layout;
using testing::Buffer;
using testing::Random;

constexpr double kHalfUlp = 0x1p-24;

double AsDouble(float x) { return static_cast<double>(x); }

// A packed row as the numbers that it stands for.
std::vector<double> Unpacked(const Activations& x, size_t i) {
  std::vector<double> values(x.k);
  const std::byte* row = x.row(i);
  for (uint64_t j = 0; j < x.k; ++j) {
    if (x.format == ActivationFormat::kF32) {
      values[j] = AsDouble(reinterpret_cast<const float*>(row)[j]);
    } else if (x.format == ActivationFormat::kQ8x32) {
      const auto& block = reinterpret_cast<const BlockQ8x32*>(row)[j / 32];
      values[j] = AsDouble(block.d) * block.q[j % 32];
    } else {
      const auto& block = reinterpret_cast<const BlockQ8x256*>(row)[j / 256];
      values[j] = AsDouble(block.d) * block.steps[j % 256 / 32][0] * block.q[j % 256];
    }
  }
  return values;
}

// The product adds what the weights, as floats, and the packed activations say. (The floats of
// types with a minimum are rounded once themselves.)
TEST(Accuracy, MatMulAddsItsOperands) {
  for (const tensor::DTypeTraits& type : tensor::AllDTypes()) {
    Random random(21);
    const uint64_t k = 2048;
    const auto w = testing::RandomMatrix(random, type.dtype, Layout::kNative, k, 9);
    const auto x = testing::RandomActivations(random, ref::kKernelSet, type.dtype, k, 5);
    Buffer y(9 * 5 * sizeof(float));
    const Buffer workspace(ref::MatMulWorkspaceBytes(k));
    ref::MatMul(w.matrix, 0, 9, x.activations, y.as<float>(), 9, workspace.data());
    // Steps in sequence: 128 in a stripe of floats and 4 folds; two a block of 256; two a block of
    // 32, or half a block of 64; and for each a few roundings of its operands.
    const double n_steps = type.block_elements == 32 ? 128 + 8 : 128 + 4 + 8;
    for (uint64_t r = 0; r < 9; ++r) {
      std::vector<float> row(k);
      ref::DequantizeRow(w.matrix, r, row.data());
      for (size_t i = 0; i < 5; ++i) {
        const auto values = Unpacked(x.activations, i);
        double exact = 0;
        double magnitude = 0;
        for (uint64_t j = 0; j < k; ++j) {
          exact += AsDouble(row[j]) * values[j];
          magnitude += std::fabs(AsDouble(row[j]) * values[j]);
        }
        // That a minimum and what it is taken from are each larger than their difference is small
        // beside the slack between the worst case and usual roundings.
        ASSERT_NEAR(AsDouble(y.as<float>()[i * 9 + r]), exact,
                    n_steps * kHalfUlp * magnitude + 1e-40)
            << type.name;
      }
    }
  }
}

double MaxMagnitude(std::span<const float> x) {
  double max = 0;
  for (const float value : x) {
    max = std::max(max, std::fabs(AsDouble(value)));
  }
  return max;
}

// Each 32 elements have a step of their own, that of their largest or, in a block of 256, the next
// eighth of the block's: one outlier costs none but its neighbours.
TEST(Accuracy, PackingIsWithinHalfAStep) {
  Random random(22);
  for (const auto format : {ActivationFormat::kQ8x32, ActivationFormat::kQ8x256}) {
    const uint64_t k = 1024;
    auto x = testing::RandomFloats(random, k);
    x[300] = 40;
    const Buffer packed(ActivationRowBytes(format, k));
    ref::PackActivation(format, x.data(), k, packed.data());
    const Activations a{.format = format, .k = k, .n_rows = 1, .data = packed.data()};
    const auto values = Unpacked(a, 0);
    for (uint64_t b = 0; b < k; b += 32) {
      double max = MaxMagnitude(std::span(x).subspan(b, 32));
      if (format == ActivationFormat::kQ8x256) {
        const double eighth = MaxMagnitude(std::span(x).subspan(b / 256 * 256, 256)) / 8;
        max = std::ceil(max / eighth * (1 - 1e-6)) * eighth;
      }
      for (uint64_t i = b; i < b + 32; ++i) {
        ASSERT_NEAR(values[i], AsDouble(x[i]), max / 127 * (0.5 + 1e-4));
      }
    }
  }
}

TEST(Accuracy, PackedSumsAreThoseOfTheIntegers) {
  Random random(23);
  const auto x = testing::RandomFloats(random, 512);
  const Buffer packed(4096);
  ref::PackActivation(ActivationFormat::kQ8x256, x.data(), 512, packed.data());
  for (int b = 0; b < 2; ++b) {
    const auto& block = packed.as<BlockQ8x256>()[b];
    for (int j = 0; j < 16; ++j) {
      const int8_t* const q = block.q + 16 * j;
      ASSERT_EQ(block.sums[j], block.steps[j / 2][0] * std::accumulate(q, q + 16, 0));
      ASSERT_EQ(block.steps[j / 2][0], block.steps[j / 2][1]);
    }
  }
  ref::PackActivation(ActivationFormat::kQ8x32, x.data(), 64, packed.data());
  for (int b = 0; b < 2; ++b) {
    const auto& block = packed.as<BlockQ8x32>()[b];
    for (int j = 0; j < 2; ++j) {
      ASSERT_EQ(block.sums[j], std::accumulate(block.q + 16 * j, block.q + 16 * j + 16, 0));
    }
  }
}

TEST(Accuracy, RmsNorm) {
  Random random(24);
  for (const uint64_t n : {5U, 64U, 4096U}) {
    const auto x = testing::RandomFloats(random, n);
    const auto weight = testing::RandomFloats(random, n);
    std::vector<float> y(n);
    ref::RmsNorm(x.data(), weight.data(), 1e-5F, n, y.data());
    double squares = 0;
    for (const float v : x) {
      squares += AsDouble(v) * AsDouble(v);
    }
    const double r = 1 / std::sqrt(squares / static_cast<double>(n) + AsDouble(1e-5F));
    // The sum's relative error is under n / 16 + 4 steps of 2^-24 and halves under the root.
    const double relative = (static_cast<double>(n) / 32 + 8) * kHalfUlp;
    for (uint64_t i = 0; i < n; ++i) {
      const double exact = AsDouble(x[i]) * r * AsDouble(weight[i]);
      // A subnormal x * r is off by up to 2^-150, times the weight.
      const double subnormal = 0x1p-150 * (1 + std::fabs(AsDouble(weight[i])));
      ASSERT_NEAR(AsDouble(y[i]), exact, relative * std::fabs(exact) + subnormal);
    }
  }
}

TEST(Accuracy, Softmax) {
  Random random(25);
  std::vector<float> x(257);
  for (float& v : x) {
    v = random.Symmetric() * 12;
  }
  auto y = x;
  ref::Softmax(y.data(), y.size());
  double sum = 0;
  for (const float v : x) {
    sum += std::exp(AsDouble(v));
  }
  for (size_t i = 0; i < x.size(); ++i) {
    // x - max is rounded (by up to 24 * 2^-24), exp has 2 half-ulps, the sum 17 + 4 steps.
    const double exact = std::exp(AsDouble(x[i])) / sum;
    ASSERT_NEAR(AsDouble(y[i]), exact, 64 * kHalfUlp * exact);
  }
}

TEST(Accuracy, RopeTurnsAndKeepsLengths) {
  const float cos = std::cos(0.7F);
  const float sin = std::sin(0.7F);
  std::vector<float> neighbours = {3, -4, 9};
  ref::Rope(neighbours.data(), &cos, &sin, 1, false);
  EXPECT_NEAR(neighbours[0], 3 * cos + 4 * sin, 1e-6);
  EXPECT_NEAR(neighbours[1], -4 * cos + 3 * sin, 1e-6);
  EXPECT_EQ(neighbours[2], 9);

  const std::vector<float> coss = {cos, 0};
  const std::vector<float> sins = {sin, 1};
  std::vector<float> halves = {3, 5, -4, 7};  // pairs (3, -4) and (5, 7)
  ref::Rope(halves.data(), coss.data(), sins.data(), 2, true);
  EXPECT_NEAR(halves[0], 3 * cos + 4 * sin, 1e-6);
  EXPECT_EQ(halves[1], -7);
  EXPECT_NEAR(halves[2], -4 * cos + 3 * sin, 1e-6);
  EXPECT_EQ(halves[3], 5);
}

// Softmax attention in double over whole sequences, with sinks, caps and masks.
TEST(Accuracy, Attention) {
  Random random(26);
  constexpr uint32_t kSlots = 100;
  constexpr uint32_t kDim = 64;
  constexpr uint32_t kGroup = 3;
  std::vector<Buffer> memory;
  std::vector<const std::byte*> blocks;
  for (uint32_t b = 0; b * 32 < kSlots; ++b) {
    memory.emplace_back(size_t{32} * kDim * 4);
    for (size_t i = 0; i < size_t{32} * kDim * 2; ++i) {
      memory.back().as<uint16_t>()[i] = FloatToF16(random.Symmetric());
    }
    blocks.push_back(memory.back().data());
  }
  std::vector<float> q(size_t{kGroup} * kDim);
  for (float& v : q) {
    v = random.Symmetric();
  }
  const std::vector<float> sinks = {0.5F, -1, 3};
  const std::vector<uint32_t> mask = {~0U, 0x0F0FF0F0U, 0, 0xFU};
  std::vector<float> out(q.size());
  for (const bool extras : {false, true}) {
    VisibleSlots visible{.begin = 3, .end = kSlots};
    AttentionArgs args{.n_group = kGroup,
                       .head_dim_k = kDim,
                       .head_dim_v = kDim,
                       .q = q.data(),
                       .scale = 0.25F,
                       .blocks = blocks.data(),
                       .v_offset = size_t{32} * kDim * 2,
                       .k_stride = size_t{kDim} * 2,
                       .v_stride = size_t{kDim} * 2,
                       .visible = &visible,
                       .out = out.data()};
    if (extras) {
      args.sinks = sinks.data();
      visible.mask = mask.data();
      args.logit_softcap = 2;
    }
    ref::Attention(&args, 1);
    for (uint32_t h = 0; h < kGroup; ++h) {
      double sum = extras ? std::exp(AsDouble(sinks[h])) : 0;
      std::vector<double> want(kDim);
      for (uint32_t s = 3; s < kSlots; ++s) {
        if (extras && (mask[s / 32] >> (s % 32) & 1) == 0) {
          continue;
        }
        const auto* halves = memory[s / 32].as<uint16_t>();
        double score = 0;
        for (uint32_t d = 0; d < kDim; ++d) {
          score += AsDouble(q[h * kDim + d]) * AsDouble(F16ToFloat(halves[s % 32 * kDim + d]));
        }
        score *= 0.25;
        score = extras ? 2 * std::tanh(score / 2) : score;
        const double p = std::exp(score);
        sum += p;
        for (uint32_t d = 0; d < kDim; ++d) {
          want[d] += p * AsDouble(F16ToFloat(halves[(32 + s % 32) * kDim + d]));
        }
      }
      for (uint32_t d = 0; d < kDim; ++d) {
        // Values are at most 1 and weights sum to at most 1: 100 slots and 4 blocks of roundings,
        // scores up to 4 with 8 + 4 steps.
        ASSERT_NEAR(AsDouble(out[h * kDim + d]), want[d] / sum, 200 * kHalfUlp);
      }
    }
  }
}

// One token over panels of keys, one channel in eight of which is large, and values.
class PanelsOfHead {
 public:
  static constexpr uint32_t kDim = 64;
  static constexpr uint32_t kBlocks = 8;

  explicit PanelsOfHead(tensor::KvType type)
      : keys_{type, tensor::KvContent::kKeys, kDim},
        values_{type, tensor::KvContent::kValues, kDim} {
    Random random(23);
    for (float& x : q_) {
      x = random.Symmetric();
    }
    for (size_t i = 0; i < rows_.size(); ++i) {
      rows_[i] = FloatToF16(random.Symmetric() * (i % 8 == 3 && i < kElements ? 8.0F : 1.0F));
    }
    for (uint32_t b = 0; b < kBlocks; ++b) {
      auto& panels = panels_.emplace_back(keys_.bytes() + values_.bytes());
      QuantizePanel(keys_, &rows_[Row(b, 0)], panels.data());
      QuantizePanel(values_, &rows_[kElements + Row(b, 0)], panels.data() + keys_.bytes());
    }
  }

  [[nodiscard]] std::vector<double> ByRef() const {
    std::vector<const std::byte*> blocks;
    std::ranges::transform(panels_, std::back_inserter(blocks),
                           [](const Buffer& panels) { return panels.data(); });
    const VisibleSlots visible = {.begin = 0, .end = kBlocks * kKvBlockTokens};
    std::vector<float> out(kDim);
    AttentionArgs args;
    args.n_group = 1;
    args.head_dim_k = args.head_dim_v = kDim;
    args.q = q_.data();
    args.scale = 1;
    args.type = keys_.type;
    args.blocks = blocks.data();
    args.v_offset = keys_.bytes();
    args.visible = &visible;
    args.out = out.data();
    ref::Attention(&args, 1);
    return {out.begin(), out.end()};
  }
  // In double, over what the codes stand for.
  [[nodiscard]] std::vector<double> OverElements() const {
    return InDouble([this](bool is_value, uint32_t slot, uint32_t d) {
      const std::byte* panels = panels_[slot / kKvBlockTokens].data();
      const uint32_t i = slot % kKvBlockTokens;
      return AsDouble(is_value ? PanelElement(values_, panels + keys_.bytes(), i, d)
                               : PanelElement(keys_, panels, i, d));
    });
  }
  // In double, over what was quantized.
  [[nodiscard]] std::vector<double> OverOriginals() const {
    return InDouble([this](bool is_value, uint32_t slot, uint32_t d) {
      const size_t row = Row(slot / kKvBlockTokens, slot % kKvBlockTokens);
      return AsDouble(F16ToFloat(rows_[(is_value ? kElements : 0) + row + d]));
    });
  }

 private:
  static constexpr size_t kElements = size_t{kBlocks} * kKvBlockTokens * kDim;  // of keys
  static size_t Row(uint32_t block, uint32_t i) {
    return (size_t{block} * kKvBlockTokens + i) * kDim;
  }

  template <class F>
  [[nodiscard]] std::vector<double> InDouble(const F& element) const {
    std::vector<double> out(kDim);
    double sum = 0;
    for (uint32_t slot = 0; slot < kBlocks * kKvBlockTokens; ++slot) {
      double score = 0;
      for (uint32_t d = 0; d < kDim; ++d) {
        score += AsDouble(q_[d]) * element(false, slot, d);
      }
      const double weight = std::exp(score);
      sum += weight;
      for (uint32_t d = 0; d < kDim; ++d) {
        out[d] += weight * element(true, slot, d);
      }
    }
    std::ranges::for_each(out, [sum](double& x) { x /= sum; });
    return out;
  }

  tensor::KvPanel keys_;
  tensor::KvPanel values_;
  std::vector<float> q_ = std::vector<float>(kDim);
  std::vector<uint16_t> rows_ = std::vector<uint16_t>(2 * kElements);
  std::vector<Buffer> panels_;
};

double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    squares += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return std::sqrt(squares);
}

TEST(Accuracy, PanelsAsIntegersCostNothingBesideTheirCodes) {
  for (const auto type : {tensor::KvType::kQ8, tensor::KvType::kQ4}) {
    const PanelsOfHead head(type);
    const double of_codes = Distance(head.OverElements(), head.OverOriginals());
    const double of_integers = Distance(head.ByRef(), head.OverElements());
    EXPECT_GT(of_codes, 1e-3);
    EXPECT_LT(of_integers, of_codes / 50) << NameOf(type) << " " << of_codes;
  }
}

}  // namespace
}  // namespace plimsoll::kernels
