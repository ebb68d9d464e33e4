// What the bytes of a quantized block mean, checked against llama.cpp's own dequantization and by
// hand.
#include "kernels/ref/unpack.h"

#include <array>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/ref/ref.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;

std::vector<float> Dequantize(DType dtype, const std::vector<uint8_t>& bytes) {
  const tensor::DTypeTraits& traits = tensor::Traits(dtype);
  const tensor::Matrix m{.dtype = dtype,
                         .layout = tensor::Layout::kNative,
                         .k = bytes.size() / traits.block_bytes * traits.block_elements,
                         .rows = 1,
                         .data = reinterpret_cast<const std::byte*>(bytes.data())};
  std::vector<float> out(m.k);
  ref::DequantizeRow(m, 0, out.data());
  return out;
}

struct Golden {
  DType dtype;
  std::array<float, 4> elements;  // the first, the last of the first half, the next, the last
  double checksum;                // the sum of (i + 1) * element i, exact in double
};

// From dequantize_row_* of libggml-base 0.5.0 (npm node-llama-cpp's linux-x64 binaries), for the
// block whose byte i is 37 i + 11, with d = 1/2, dmin or m = 1/4, and MXFP4's e = 126.
constexpr Golden kGolden[] = {
    {DType::kQ8_0, {42.5F, -64, -45.5F, -24}, -4040},
    {DType::kQ4_0, {-1.5F, -4, -1.5F, 0}, -259},
    {DType::kQ4_1, {7.75F, 5.25F, 4.75F, 6.25F}, 2123.5},
    {DType::kQ5_0, {4.5F, -6, 7, 0.5F}, 56},
    {DType::kQ5_1, {9.75F, 15.25F, 9.75F, 2.75F}, 4082.5},
    {DType::kQ2_K, {16.5F, 21, 3.75F, 2.25F}, 121565},
    {DType::kQ3_K, {40.5F, 36, 1, 21}, 88572.5},
    {DType::kQ4_K, {157.75F, 40.5F, 211.5F, 24.25F}, 3786420},
    {DType::kQ5_K, {405.75F, -1.5F, 523.5F, 54.25F}, 8013724},
    {DType::kQ6_K, {-715.5F, 750, -175.5F, -30}, 392210},
    {DType::kIQ4_NL, {-17.5F, -63.5F, -17.5F, 0.5F}, -3459.5},
    {DType::kIQ4_XS, {32.5F, 98, -292.5F, -8}, -1045567},
    {DType::kIQ2_XXS, {-29.5625F, 13.5F, -48.4375F, -40.3125F}, 18396.5},
    {DType::kIQ2_XS, {-5.5F, -0.5F, -9.5F, -9.5F}, 61599.0625},
    {DType::kIQ2_S, {-72.5625F, 2.5F, -4.6875F, 39.0625F}, -31040.3125},
    {DType::kIQ3_XXS, {-6.5F, -137.5F, -27.5F, -7.5F}, 1511.5},
    {DType::kIQ3_S, {-40.5F, -42.5F, -52.5F, 112.5F}, 101395},
    {DType::kIQ1_S, {-1.3125F, -0.9375F, -3.9375F, -2.1875F}, -5914.5},
    {DType::kIQ1_M, {-0.4375F, -6.1875F, 0.9375F, -0.9375F}, -1118},
    {DType::kTQ1_0, {-0.5F, -0.5F, 0, -0.5F}, -65.5},
    {DType::kTQ2_0, {1, 0.5F, 1, -0.5F}, 8622.5},
    {DType::kMXFP4, {0, -0.75F, 0.75F, 1.5F}, 159.5},
    {DType::kNVFP4, {-0.12890625F, -1, -78, 160}, 60054.65234375},
};

std::vector<uint8_t> GoldenBlock(DType dtype) {
  std::vector<uint8_t> bytes(tensor::Traits(dtype).block_bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(37 * i + 11);
  }
  constexpr std::array<uint16_t, 2> kScales = {0x3800, 0x3400};
  const auto fields = testing::internal::F16Fields(dtype);
  for (size_t i = 0; i < fields.size(); ++i) {
    std::memcpy(bytes.data() + fields[i], &kScales[i], sizeof(uint16_t));
  }
  if (dtype == DType::kMXFP4) {
    bytes[0] = 126;
  }
  if (dtype == DType::kIQ1_M) {
    testing::internal::PutScaleOfIQ1M(kScales[0], reinterpret_cast<std::byte*>(bytes.data()));
  }
  return bytes;
}

TEST(Unpack, AgreesWithLlamaCpp) {
  for (const Golden& golden : kGolden) {
    const auto got = Dequantize(golden.dtype, GoldenBlock(golden.dtype));
    const size_t n = got.size();
    const std::array<float, 4> elements = {got[0], got[n / 2 - 1], got[n / 2], got[n - 1]};
    EXPECT_EQ(elements, golden.elements) << tensor::Traits(golden.dtype).name;
    double checksum = 0;
    for (size_t i = 0; i < n; ++i) {
      checksum += static_cast<double>(i + 1) * static_cast<double>(got[i]);
    }
    EXPECT_EQ(checksum, golden.checksum) << tensor::Traits(golden.dtype).name;
  }
}

TEST(Unpack, FloatTypesAreWhatTheyAre) {
  EXPECT_EQ(Dequantize(DType::kF32, {0, 0, 0xC0, 0x3F}), std::vector<float>{1.5F});
  EXPECT_EQ(Dequantize(DType::kF16, {0, 0x3E, 0, 0xC0}), (std::vector<float>{1.5F, -2}));
  EXPECT_EQ(Dequantize(DType::kBF16, {0xC0, 0x3F, 0, 0xC0}), (std::vector<float>{1.5F, -2}));
}

// Each 6-bit field of Q3_K is set alone, so that no two can be mixed up: scale j = j + 17,
// minus 32.
TEST(Unpack, Q3KScales) {
  tensor::BlockQ3_K block = {};
  for (size_t j = 0; j < 16; ++j) {
    const size_t s = j + 17;
    block.scales[j % 8] = static_cast<uint8_t>(block.scales[j % 8] | (s & 15) << (j / 8 * 4));
    block.scales[8 + j % 4] =
        static_cast<uint8_t>(block.scales[8 + j % 4] | (s >> 4) << (j / 4 * 2));
  }
  ref::Unpacked256 out;
  ref::Unpack(block, &out);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(out.scales[j], j + 17 - 32);
  }
  EXPECT_EQ(out.w[0], -4);  // no bit set
}

TEST(Unpack, Q4KScalesAndMinima) {
  // Scale j = 7 j + 1, minimum j = 63 - 7 j: both use all six bits.
  tensor::BlockQ4_K block = {};
  for (size_t j = 0; j < 8; ++j) {
    const size_t scale = 7 * j + 1;
    const size_t minimum = 63 - 7 * j;
    if (j < 4) {
      block.scales[j] = static_cast<uint8_t>(scale);
      block.scales[j + 4] = static_cast<uint8_t>(minimum);
    } else {
      block.scales[j + 4] = static_cast<uint8_t>((scale & 15) | (minimum & 15) << 4);
      block.scales[j - 4] = static_cast<uint8_t>(block.scales[j - 4] | (scale >> 4) << 6);
      block.scales[j] = static_cast<uint8_t>(block.scales[j] | (minimum >> 4) << 6);
    }
  }
  ref::Unpacked256 out;
  ref::Unpack(block, &out);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(out.scales[j], 7 * (j / 2) + 1);
    EXPECT_EQ(out.minima[j], 63 - 7 * (j / 2));
  }
}

}  // namespace
}  // namespace plimsoll::kernels
