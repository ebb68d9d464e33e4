// Every set gives the bits of `ref`: packing, matrix products, rows as floats.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "kernels/activation.h"
#include "kernels/ref/ref.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;
using tensor::Layout;
using testing::Buffer;
using testing::Random;

class MatMulEquality : public ::testing::TestWithParam<std::tuple<const KernelSet*, DType>> {
 protected:
  void SetUp() override {
    if (!set().supported()) {
      GTEST_SKIP() << set().name << " does not run on this CPU";
    }
  }
  static const KernelSet& set() { return *std::get<0>(GetParam()); }
  static DType dtype() { return std::get<1>(GetParam()); }
  static uint64_t block() { return tensor::Traits(dtype()).block_elements; }
};

std::string TestName(const ::testing::TestParamInfo<std::tuple<const KernelSet*, DType>>& info) {
  return std::string(std::get<0>(info.param)->name) + "_" +
         std::string(tensor::Traits(std::get<1>(info.param)).name);
}

std::vector<DType> EveryDType() {
  std::vector<DType> types;
  for (const tensor::DTypeTraits& type : tensor::AllDTypes()) {
    types.push_back(type.dtype);
  }
  return types;
}

struct Case {
  uint64_t k = 0;
  uint64_t rows = 0;
  uint64_t row_begin = 0;
  uint64_t row_end = 0;
  uint32_t n_tokens = 0;
  bool gather = false;

  [[nodiscard]] std::string Describe() const {
    return "k " + std::to_string(k) + ", rows [" + std::to_string(row_begin) + ", " +
           std::to_string(row_end) + ") of " + std::to_string(rows) + ", tokens " +
           std::to_string(n_tokens) + (gather ? ", gathered" : "");
  }
};

Case RandomCase(Random& random, uint64_t block) {
  Case c;
  // Float rows of any length; blocks in odd and even numbers, few and many.
  c.k = block == 1 ? random.Between(1, 300) : block * random.Between(1, block == 32 ? 11 : 4);
  c.rows = random.Between(1, 75);
  c.row_begin = 16 * random.Below(static_cast<uint32_t>((c.rows + 15) / 16));
  c.row_end = random.OneIn(2)
                  ? c.rows
                  : c.row_begin + random.Between(1, static_cast<uint32_t>(c.rows - c.row_begin));
  c.n_tokens = random.OneIn(3) ? 1 : random.Between(1, random.OneIn(2) ? 9 : 70);
  c.gather = random.OneIn(2);
  return c;
}

// Runs a product into a buffer with a margin, so that a stray write shows in the comparison too.
Buffer Product(const KernelSet& set, const tensor::Matrix& w, const Case& c, const Activations& x) {
  const size_t stride = c.row_end - c.row_begin + 3;
  Buffer y(stride * c.n_tokens * sizeof(float));
  const Buffer workspace(set.matmul_workspace_bytes(c.k));
  set.matmul(w, c.row_begin, c.row_end, x, y.as<float>(), stride, workspace.data());
  return y;
}

::testing::AssertionResult SameBytes(const Buffer& got, const Buffer& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (got.data()[i] != want.data()[i]) {
      const size_t at = i / sizeof(float);
      return ::testing::AssertionFailure() << "float " << at << ": " << got.as<float>()[at]
                                           << " instead of " << want.as<float>()[at];
    }
  }
  return ::testing::AssertionSuccess();
}

TEST_P(MatMulEquality, ProductsOfRandomShapes) {
  Random random(100 + static_cast<uint64_t>(dtype()));
  for (int i = 0; i < 40; ++i) {
    const Case c = RandomCase(random, block());
    const uint32_t n_stored = c.gather ? c.n_tokens + 5 : c.n_tokens;
    const auto x = testing::RandomActivations(random, ref::kKernelSet, dtype(), c.k, n_stored);
    std::vector<uint32_t> row_idx(c.n_tokens);
    for (uint32_t& row : row_idx) {
      row = random.Below(n_stored);
    }
    Activations activations = x.activations;
    activations.n_rows = c.n_tokens;
    activations.row_idx = c.gather ? row_idx.data() : nullptr;

    const auto native = testing::RandomMatrix(random, dtype(), Layout::kNative, c.k, c.rows);
    const auto rows16 = testing::AsRows16(native.matrix);
    const Buffer want = Product(ref::kKernelSet, native.matrix, c, activations);
    EXPECT_TRUE(SameBytes(Product(set(), native.matrix, c, activations), want))
        << "native, " << c.Describe();
    EXPECT_TRUE(SameBytes(Product(set(), rows16.matrix, c, activations), want))
        << "rows16, " << c.Describe();
  }
}

// All activations as large as they get, and weights of one byte again and again, their scales 1: no
// sum of a block may leave its integers.
TEST_P(MatMulEquality, SumsOfLargestNumbersFit) {
  Random random(120 + static_cast<uint64_t>(dtype()));
  const Case c = {.k = 512, .rows = 16, .row_end = 16, .n_tokens = 40};
  for (const int byte : {0x00, 0x55, 0x7f, 0x80, 0xaa, 0xff}) {
    const auto native = testing::RandomMatrix(random, dtype(), Layout::kNative, c.k, c.rows);
    testing::FillBlocks(native, static_cast<std::byte>(byte));
    const auto rows16 = testing::AsRows16(native.matrix);
    for (const float sign : {1.0F, -1.0F}) {
      const std::vector<float> row(c.k, sign * 127);
      const ActivationFormat format = ActivationFormatFor(dtype());
      const size_t stride = ActivationRowBytes(format, c.k);
      const Buffer packed(stride * c.n_tokens);
      for (size_t i = 0; i < c.n_tokens; ++i) {
        ref::PackActivation(format, row.data(), c.k, packed.data() + i * stride);
      }
      const Activations x = {.format = format,
                             .k = c.k,
                             .n_rows = c.n_tokens,
                             .row_stride = stride,
                             .data = packed.data()};
      const Buffer want = Product(ref::kKernelSet, native.matrix, c, x);
      EXPECT_TRUE(SameBytes(Product(set(), native.matrix, c, x), want)) << byte;
      EXPECT_TRUE(SameBytes(Product(set(), rows16.matrix, c, x), want)) << byte;
      std::vector<float> weights(c.k);
      ref::DequantizeRow(native.matrix, 0, weights.data());
      const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      if (std::fabs(sum) < 1e30) {  // bytes of floats, and of MXFP4's scales, may mean anything
        EXPECT_NEAR(static_cast<double>(want.as<float>()[0]), sum * static_cast<double>(row[0]),
                    std::fabs(sum) * 127 * 1e-4)
            << byte;
      }
    }
  }
}

TEST_P(MatMulEquality, LongRows) {
  Random random(200 + static_cast<uint64_t>(dtype()));
  for (const uint32_t n_tokens : {1U, 4U, 5U, 8U, 32U, 33U}) {
    const Case c{.k = 4096 + block(), .rows = 37, .row_end = 37, .n_tokens = n_tokens};
    const auto x = testing::RandomActivations(random, ref::kKernelSet, dtype(), c.k, n_tokens);
    const auto native = testing::RandomMatrix(random, dtype(), Layout::kNative, c.k, c.rows);
    const auto rows16 = testing::AsRows16(native.matrix);
    const Buffer want = Product(ref::kKernelSet, native.matrix, c, x.activations);
    EXPECT_TRUE(SameBytes(Product(set(), native.matrix, c, x.activations), want)) << c.Describe();
    EXPECT_TRUE(SameBytes(Product(set(), rows16.matrix, c, x.activations), want)) << c.Describe();
  }
}

TEST_P(MatMulEquality, ScalesMultiplyFinishedProducts) {
  Random random(400 + static_cast<uint64_t>(dtype()));
  const float scale = 0.7F;
  for (const uint32_t n_tokens : {1U, 6U, 40U}) {
    const Case c{
        .k = 3 * block(), .rows = 40, .row_begin = 16, .row_end = 39, .n_tokens = n_tokens};
    const auto x = testing::RandomActivations(random, ref::kKernelSet, dtype(), c.k, n_tokens);
    const auto w = testing::RandomMatrix(random, dtype(), Layout::kRows16, c.k, c.rows);
    const Buffer want = Product(ref::kKernelSet, w.matrix, c, x.activations);
    tensor::Matrix scaled = w.matrix;
    scaled.scale = &scale;
    const Buffer got = Product(set(), scaled, c, x.activations);
    const uint64_t stride = c.row_end - c.row_begin + 3;
    for (uint64_t i = 0; i < n_tokens * stride; ++i) {
      const bool is_margin = i % stride >= c.row_end - c.row_begin;
      ASSERT_EQ(std::bit_cast<uint32_t>(got.as<float>()[i]),
                std::bit_cast<uint32_t>(want.as<float>()[i] * (is_margin ? 1 : scale)));
    }
    std::vector<float> row(c.k);
    std::vector<float> scaled_row(c.k);
    set().dequantize_row(w.matrix, 7, row.data());
    set().dequantize_row(scaled, 7, scaled_row.data());
    for (uint64_t i = 0; i < c.k; ++i) {
      ASSERT_EQ(scaled_row[i], row[i] * scale);
    }
  }
}

TEST_P(MatMulEquality, RowsAsFloats) {
  Random random(300 + static_cast<uint64_t>(dtype()));
  for (const Layout layout : {Layout::kNative, Layout::kRows16}) {
    const uint64_t k = block() * 7;
    const auto w = testing::RandomMatrix(random, dtype(), layout, k, 21);
    for (uint64_t r = 0; r < 21; ++r) {
      const Buffer want(k * sizeof(float));
      const Buffer got(k * sizeof(float));
      ref::DequantizeRow(w.matrix, r, want.as<float>());
      set().dequantize_row(w.matrix, r, got.as<float>());
      ASSERT_TRUE(SameBytes(got, want)) << "row " << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, MatMulEquality,
                         ::testing::Combine(::testing::ValuesIn(AllKernelSets().begin(),
                                                                AllKernelSets().end()),
                                            ::testing::ValuesIn(EveryDType())),
                         TestName);

class PackEquality : public ::testing::TestWithParam<const KernelSet*> {};

// Values around every rounding tie and block limit.
float HardToRound(Random& random) {
  const float step = static_cast<float>(random.Below(255)) - 127.0F;
  return random.OneIn(2) ? step + 0.5F : testing::AnyFloat(random);
}

TEST_P(PackEquality, AllFormats) {
  if (!GetParam()->supported()) {
    GTEST_SKIP() << GetParam()->name << " does not run on this CPU";
  }
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    for (const ActivationFormat format :
         {ActivationFormat::kF32, ActivationFormat::kQ8x32, ActivationFormat::kQ8x256}) {
      const uint64_t k = 256 * random.Between(1, 3) + (format == ActivationFormat::kQ8x32 ? 32 : 0);
      std::vector<float> x(k);
      const float factor = std::array{1.0F, 1.0F, 0x1p-98F, 0x1p-140F, 1e30F}[random.Below(5)];
      // Parts of a block of 256 from one step to all of them.
      float part = 1;
      for (uint64_t j = 0; j < k; ++j) {
        if (j % 32 == 0) {
          part = std::array{1.0F, 0.875F, 0.4F, 0x1p-9F, 0.0F}[random.Below(5)];
        }
        x[j] = (random.OneIn(8) ? 127.0F : HardToRound(random)) * factor * part;
      }
      const size_t bytes = ActivationRowBytes(format, k);
      const Buffer want(bytes);
      const Buffer got(bytes);
      ref::PackActivation(format, x.data(), k, want.data());
      GetParam()->pack_activation(format, x.data(), k, got.data());
      const size_t used = format == ActivationFormat::kF32     ? k * 4
                          : format == ActivationFormat::kQ8x32 ? k / 32 * sizeof(BlockQ8x32)
                                                               : k / 256 * sizeof(BlockQ8x256);
      ASSERT_EQ(std::memcmp(got.data(), want.data(), used), 0) << "k " << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, PackEquality,
                         ::testing::ValuesIn(AllKernelSets().begin(), AllKernelSets().end()),
                         testing::SetName<::testing::TestParamInfo<const KernelSet*>>);

}  // namespace
}  // namespace plimsoll::kernels
