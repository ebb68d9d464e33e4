#include "kernels/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "kernels/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/unpack.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;
using ::testing::HasSubstr;

std::vector<std::byte> Quantized(DType dtype, std::span<const float> values) {
  std::vector<std::byte> bytes(*tensor::BytesFor(dtype, values.size()));
  const auto done = Quantize(dtype, values, bytes);
  EXPECT_TRUE(done) << done.error().message;
  return bytes;
}

std::vector<float> Dequantized(DType dtype, std::vector<std::byte> bytes) {
  const tensor::DTypeTraits& traits = tensor::Traits(dtype);
  const uint64_t n = bytes.size() / traits.block_bytes * traits.block_elements;
  bytes.resize(bytes.size() + tensor::kReadablePadding);
  std::vector<float> values(n);
  ref::DequantizeRow({dtype, tensor::Layout::kNative, n, 1, bytes.data()}, 0, values.data());
  return values;
}

std::vector<float> ThereAndBack(DType dtype, std::span<const float> values) {
  return Dequantized(dtype, Quantized(dtype, values));
}

double SquaredError(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  }
  return sum;
}

// Bell-shaped, as weights are.
std::vector<float> Weights(uint64_t seed, size_t n) {
  testing::Random random(seed);
  std::vector<float> values(n);
  for (float& value : values) {
    value = 0.05F * (random.Symmetric() + random.Symmetric() + random.Symmetric());
  }
  return values;
}

double RelativeError(DType dtype) {
  const std::vector<float> values = Weights(1, 1 << 18);
  const std::vector<float> zeros(values.size());
  return std::sqrt(SquaredError(values, ThereAndBack(dtype, values)) / SquaredError(values, zeros));
}

// The bounds are what quantize_row_*_ref of libggml-base 0.5.0 (npm node-llama-cpp's linux-x64
// binaries) leaves of the same values.
TEST(Quantize, ErrorIsAtMostLlamaCpps) {
  EXPECT_LE(RelativeError(DType::kQ8_0), 0.00495133);
  EXPECT_LE(RelativeError(DType::kQ4_0), 0.07999261);
  EXPECT_LE(RelativeError(DType::kQ4_K), 0.06787175);
  EXPECT_LE(RelativeError(DType::kQ6_K), 0.01670818);
}

// The least squared error that any F16 scale gives, found by trying them all.
double BestErrorOf32(std::span<const float> x, int low, int high) {
  double best = std::numeric_limits<double>::infinity();
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const double scale = F16ToFloat(static_cast<uint16_t>(bits));
    if (!std::isfinite(scale)) {
      continue;
    }
    double error = 0;
    for (size_t i = 0; i < x.size() && error < best; ++i) {
      const double code =
          scale == 0 ? 0 : std::clamp<double>(std::nearbyint(x[i] / scale), low, high);
      error += (x[i] - scale * code) * (x[i] - scale * code);
    }
    best = std::min(best, error);
  }
  return best;
}

// The least squared error that any line scale * code - minimum gives 32 values, by trying a fine
// grid of them.
double BestErrorOfLine(std::span<const float> x) {
  const auto [least, most] = std::ranges::minmax(x);
  const double range = double{most} - least;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= 100; ++i) {
    for (int j = 0; j <= 100; ++j) {
      const double bottom = least + range * (j - 50) / 500;
      const double minimum = std::max(0.0, -bottom);
      const double scale = range / (12 + 0.05 * i);
      double error = 0;
      for (const float value : x) {
        const double code = std::clamp(std::nearbyint((value + minimum) / scale), 0.0, 15.0);
        const double difference = value - (scale * code - minimum);
        error += difference * difference;
      }
      best = std::min(best, error);
    }
  }
  return best;
}

TEST(Quantize, ErrorIsNearTheBestPossible) {
  constexpr size_t kBlocks = 24;
  const std::vector<float> values = Weights(2, kBlocks * 256);
  const auto q4_0 = ThereAndBack(DType::kQ4_0, values);
  const auto q4_k = ThereAndBack(DType::kQ4_K, values);
  double q4_0_error = 0;
  double q4_0_best = 0;
  double line_best = 0;
  for (size_t at = 0; at < values.size(); at += 32) {
    const auto x = std::span(values).subspan(at, 32);
    line_best += BestErrorOfLine(x);
    if (at % 256 == 0) {
      q4_0_error += SquaredError(x, std::span(q4_0).subspan(at, 32));
      q4_0_best += BestErrorOf32(x, -8, 7);
    }
  }
  EXPECT_LE(q4_0_error, 1.03 * q4_0_best);
  // Scales and minima of six bits cannot be all that free ones can.
  EXPECT_LE(SquaredError(values, q4_k), 1.05 * line_best);
}

// Every value within half a step, whatever the block.
TEST(Quantize, Q8_0RoundsToTheNearestMultiple) {
  const std::vector<float> values = Weights(3, 1 << 12);
  const auto back = ThereAndBack(DType::kQ8_0, values);
  for (size_t at = 0; at < values.size(); at += 32) {
    float largest = 0;
    for (size_t i = at; i < at + 32; ++i) {
      largest = std::max(largest, std::fabs(values[i]));
    }
    for (size_t i = at; i < at + 32; ++i) {
      ASSERT_LE(std::fabs(values[i] - back[i]), 0.5005 * largest / 127) << i;
    }
  }
}

TEST(Quantize, TiesGoToTheEvenCode) {
  std::vector<float> values(32);
  const std::array<float, 7> firsts = {127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F};
  std::ranges::copy(firsts, values.begin());
  const auto back = ThereAndBack(DType::kQ8_0, values);
  EXPECT_THAT(std::vector(back.begin(), back.begin() + 7),
              ::testing::ElementsAre(127, 0, 2, 2, 0, -2, -2));
}

// A quantized block is quantized to itself; so inflating and re-packing lose nothing twice.
TEST(Quantize, WhatIsQuantizedComesBackUnchanged) {
  testing::Random random(4);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<float> q8(32);
    std::vector<float> q4(32);
    const float scale = F16ToFloat(static_cast<uint16_t>(random.Between(1, 0x7000)));
    for (size_t i = 0; i < 32; ++i) {
      q8[i] = scale * (static_cast<float>(random.Below(255)) - 127);
      q4[i] = scale * (static_cast<float>(random.Below(16)) - 8);
    }
    q8[random.Below(32)] = random.OneIn(2) ? 127 * scale : -127 * scale;
    q4[random.Below(32)] = -8 * scale;
    ASSERT_EQ(ThereAndBack(DType::kQ8_0, q8), q8) << scale;
    ASSERT_EQ(ThereAndBack(DType::kQ4_0, q4), q4) << scale;
  }
}

class QuantizeTo : public ::testing::TestWithParam<DType> {};

TEST_P(QuantizeTo, ZerosStayZeros) {
  const std::vector<float> zeros(512);
  EXPECT_EQ(ThereAndBack(GetParam(), zeros), zeros);
}

TEST_P(QuantizeTo, RefusesWhatIsNoFiniteNumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values = Weights(5, 512);
    values[300] = bad;
    std::vector<std::byte> bytes(*tensor::BytesFor(GetParam(), values.size()));
    const auto done = Quantize(GetParam(), values, bytes);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(done.error().message, HasSubstr("value 300 is "));
  }
}

TEST_P(QuantizeTo, LargestFloatIsHeldOrRefused) {
  std::vector<float> values(256);
  values[200] = std::numeric_limits<float>::max();
  std::vector<std::byte> bytes(*tensor::BytesFor(GetParam(), values.size()));
  const auto done = Quantize(GetParam(), values, bytes);
  if (GetParam() == DType::kF32) {
    EXPECT_TRUE(done);
  } else {
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("value 200 is 3.4028235e+38, too large for "));
  }
}

// From the least F16 to the largest that fits, a value that stands alone keeps its size to within a
// step of the codes, or at the very bottom what half a step of the scale makes of the code 8; and
// equal values too.
TEST_P(QuantizeTo, EveryMagnitudeSurvives) {
  for (float magnitude = 0x1p-24F; magnitude < 65504; magnitude *= 1.9F) {
    const float near = std::max(magnitude / 15, 8 * 0x1p-25F);
    for (const float signed_value : {magnitude, -magnitude}) {
      std::vector<float> alone(256);
      alone[77] = signed_value;
      ASSERT_NEAR(ThereAndBack(GetParam(), alone)[77], signed_value, near);
      const std::vector<float> equal(256, signed_value);
      for (const float value : ThereAndBack(GetParam(), equal)) {
        ASSERT_NEAR(value, signed_value, near);
      }
    }
  }
}

TEST_P(QuantizeTo, ABlockDependsOnItsOwnValuesAlone) {
  const std::vector<float> values = Weights(6, 1024);
  const auto whole = Quantized(GetParam(), values);
  std::vector<std::byte> pieces;
  for (size_t at = 0; at < values.size(); at += 256) {
    const auto piece = Quantized(GetParam(), std::span(values).subspan(at, 256));
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(whole, pieces);
}

TEST_P(QuantizeTo, IsListed) { EXPECT_TRUE(CanQuantize(GetParam())); }

INSTANTIATE_TEST_SUITE_P(, QuantizeTo,
                         ::testing::Values(DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0,
                                           DType::kQ4_0, DType::kQ4_K, DType::kQ6_K),
                         [](const auto& tested) {
                           return std::string(tensor::Traits(tested.param).name);
                         });

TEST(Quantize, OtherTypesAreNotListed) { EXPECT_FALSE(CanQuantize(DType::kQ2_K)); }

}  // namespace
}  // namespace plimsoll::kernels
