#include "tools/inflate/wide_row.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>

#include "base/rng.h"
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "tensor/matrix.h"

namespace plimsoll::inflate {
namespace {

using tensor::DType;
using testing::Each;
using testing::HasSubstr;

constexpr Dimensions kOneLayer = {.n_layers = 1,
                                  .hidden_dim = 64,
                                  .n_heads = 1,
                                  .n_kv_heads = 1,
                                  .head_dim = 32,
                                  .expert_ff_dim = 32};

Axes WideAxes(uint32_t hidden_tiles, uint32_t expert_tiles) {
  Dimensions wide = kOneLayer;
  wide.hidden_dim *= hidden_tiles;
  wide.expert_ff_dim *= expert_tiles;
  return MakeAxes(kOneLayer, wide, 1, 1);
}

std::vector<float> Weights(size_t n, float scale) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = scale * static_cast<float>(UniformAt(1, i) - 0.5);
  }
  return values;
}

std::vector<float> Widened(const Axis& columns, DType dtype, std::span<const float> small) {
  RowWidener widener(columns, dtype);
  std::vector<std::byte> row(widener.row_bytes() + tensor::kReadablePadding);
  const auto done = widener.Widen(small, std::span(row).first(widener.row_bytes()));
  EXPECT_TRUE(done) << done.error().message;
  std::vector<float> values(columns.size());
  kernels::AllKernelSets()[0]->dequantize_row(
      {dtype, tensor::Layout::kNative, values.size(), 1, row.data()}, 0, values.data());
  return values;
}

// The largest error of a sum of copies, as a part of the largest value.
double WorstSum(const Axis& columns, DType dtype, std::span<const float> small) {
  std::vector<double> sums(columns.n_source);
  const auto wide = Widened(columns, dtype, small);
  double copies = 0;
  for (size_t i = 0; i < wide.size(); ++i) {
    sums[columns.source[i]] += wide[i];
    copies += columns.factor.empty() ? 1 : columns.factor[i];
  }
  copies /= columns.n_source;
  double worst = 0;
  double largest = 0;
  for (size_t i = 0; i < small.size(); ++i) {
    worst = std::max(worst, std::abs(sums[i] / copies - small[i]));
    largest = std::max(largest, std::abs(double{small[i]}));
  }
  return worst / largest;
}

// Half a step is a fourteenth of the largest value in Q4_0 and a fifteenth in Q4_K; what a copy is
// owed widens its range, and with it the step, a little.
constexpr double kHalfStep = 0.09;
// The best scale of Q4_0 may cut off the largest value: by 1.5 steps of 9.5.
constexpr double kCutOff = 0.16;

TEST(RowWidener, RoundingErrorsOfCopiesCancel) {
  const auto small = Weights(64, 1);
  EXPECT_GT(WorstSum(WideAxes(1, 1).stream, DType::kQ4_0, small), 0.03);
  for (const uint32_t tiles : {4U, 16U}) {
    EXPECT_LE(WorstSum(WideAxes(tiles, 1).stream, DType::kQ4_0, small), kCutOff / tiles);
  }
  // Four super-blocks of four copies each: those of one are rounded alike.
  EXPECT_LE(WorstSum(WideAxes(16, 1).stream, DType::kQ4_K, small), kHalfStep / 4);
  // Copies that count differently: the last ones count least.
  const auto inner = std::span(small).first(32);
  EXPECT_LE(WorstSum(WideAxes(1, 24).down_input, DType::kQ4_0, inner), kHalfStep / 24);
}

TEST(RowWidener, CopiesOfWhatTheTypeHoldsAreExact) {
  const float scale = kernels::F16ToFloat(0x1234);
  std::vector<float> small(64);
  for (size_t i = 0; i < small.size(); ++i) {
    small[i] = scale * static_cast<float>(127 - 4 * static_cast<int>(i));
  }
  small[32] = -127 * scale;  // every block has a code of 127
  const Axes axes = WideAxes(6, 1);
  const auto wide = Widened(axes.stream_norm, DType::kQ8_0, small);
  for (size_t i = 0; i < wide.size(); ++i) {
    ASSERT_EQ(wide[i], small[i % 64] * axes.stream_norm.factor[i]) << i;
  }
}

TEST(RowWidener, NamesWhereThereIsNoWeight) {
  auto small = Weights(64, 1);
  small[40] = std::numeric_limits<float>::quiet_NaN();
  const Axes axes = WideAxes(2, 1);
  RowWidener widener(axes.stream, DType::kQ4_0);
  std::vector<std::byte> row(widener.row_bytes());
  const auto done = widener.Widen(small, row);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(done.error().message, HasSubstr("from column 32 on: value 8 is nan"));
}

class Silenced : public testing::TestWithParam<DType> {};

TEST_P(Silenced, RowsAreZero) {
  const auto small = Weights(64, 1);
  const Axes axes = WideAxes(4, 1);
  RowWidener widener(axes.stream, GetParam());
  std::vector<std::byte> row(widener.row_bytes() + tensor::kReadablePadding);
  const auto bytes = std::span(row).first(widener.row_bytes());
  ASSERT_TRUE(widener.Widen(small, bytes));
  Silence(GetParam(), bytes);
  std::vector<float> values(256, 1);
  kernels::AllKernelSets()[0]->dequantize_row(
      {GetParam(), tensor::Layout::kNative, 256, 1, row.data()}, 0, values.data());
  EXPECT_THAT(values, Each(0.0F));
}

INSTANTIATE_TEST_SUITE_P(
    , Silenced, testing::Values(DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K),
    [](const auto& tested) { return std::string(tensor::Traits(tested.param).name); });

TEST(Silence, LeavesTheCodes) {
  std::vector<std::byte> row(2 * sizeof(tensor::BlockQ4_K), std::byte{0x5A});
  Silence(DType::kQ4_K, row);
  tensor::BlockQ4_K block;
  std::memcpy(&block, row.data() + sizeof(block), sizeof(block));
  EXPECT_EQ(block.d, 0);
  EXPECT_EQ(block.dmin, 0);
  EXPECT_THAT(block.scales, Each(0x5A));
  EXPECT_THAT(block.qs, Each(0x5A));
}

}  // namespace
}  // namespace plimsoll::inflate
