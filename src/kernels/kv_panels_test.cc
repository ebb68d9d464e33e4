#include "kernels/kv_panels.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/half.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::KvPanel;
using tensor::KvScaling;
using tensor::KvType;

constexpr uint32_t kPanelTokens = tensor::kKvPanelTokens;

// Rows of F16, and the panel that they become.
struct PanelOfRows {
  KvPanel panel;
  std::vector<uint16_t> rows;
  std::vector<std::byte> bytes;

  PanelOfRows(const KvPanel& of, std::vector<uint16_t> from)
      : panel(of), rows(std::move(from)), bytes(panel.bytes()) {
    QuantizePanel(panel, rows.data(), bytes.data());
  }

  [[nodiscard]] float Was(uint32_t token, uint32_t channel) const {
    return F16ToFloat(rows[token * panel.dim + channel]);
  }
  [[nodiscard]] float Is(uint32_t token, uint32_t channel) const {
    return PanelElement(panel, bytes.data(), token, channel);
  }
};

// One channel in eight is much larger than the others.
std::vector<uint16_t> RowsWithOutliers(uint32_t dim) {
  testing::Random random(7);
  std::vector<uint16_t> rows(kPanelTokens * dim);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = FloatToF16(random.Symmetric() * (i % dim % 8 == 3 ? 50.0F : 1.0F) + 0.25F);
  }
  return rows;
}

TEST(KvPanel, TakesTheBytesThatItsTypeSays) {
  const auto bytes = [](KvType type, KvScaling scaling) {
    return KvPanel{type, scaling, 64}.bytes();
  };
  EXPECT_EQ(bytes(KvType::kF16, KvScaling::kPerChannel), 32U * 64 * 2);
  EXPECT_EQ(bytes(KvType::kQ8, KvScaling::kPerChannel), 64U * 34);
  EXPECT_EQ(bytes(KvType::kQ8, KvScaling::kPerToken), 64U * 34);
  EXPECT_EQ(bytes(KvType::kQ4, KvScaling::kPerChannel), 64U * 20);
  EXPECT_EQ(bytes(KvType::kQ4, KvScaling::kPerToken), 64U * 18);
}

TEST(KvPanel, ErrsByHalfAStepOfItsScale) {
  for (const uint32_t dim : {64U, 33U, 80U, 576U}) {
    for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
      for (const KvScaling scaling : {KvScaling::kPerChannel, KvScaling::kPerToken}) {
        const PanelOfRows q({type, scaling, dim}, RowsWithOutliers(dim));
        for (uint32_t t = 0; t < kPanelTokens; ++t) {
          for (uint32_t c = 0; c < dim; ++c) {
            const bool is_large = scaling == KvScaling::kPerToken || c % 8 == 3;
            const float range = is_large ? 100.5F : 2.5F;
            // Symmetric codes of four bits end at 7 of 8 steps.
            const float step = type == KvType::kQ8                 ? range / 2 / 127
                               : scaling == KvScaling::kPerChannel ? range / 15
                                                                   : range / 8;
            ASSERT_NEAR(q.Is(t, c), q.Was(t, c), step * 0.51F)
                << NameOf(type) << ", dim " << dim << ", token " << t << ", channel " << c;
          }
        }
      }
    }
  }
}

TEST(KvPanel, ZerosStayZeros) {
  for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
    for (const KvScaling scaling : {KvScaling::kPerChannel, KvScaling::kPerToken}) {
      const PanelOfRows q({type, scaling, 40}, std::vector<uint16_t>(kPanelTokens * 40));
      for (uint32_t c = 0; c < 40; ++c) {
        EXPECT_EQ(q.Is(5, c), 0.0F);
      }
    }
  }
}

// A model that has gone wrong must not take the program with it.
TEST(KvPanel, AnyBitsCanBeQuantized) {
  testing::Random random(8);
  for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
    for (const KvScaling scaling : {KvScaling::kPerChannel, KvScaling::kPerToken}) {
      std::vector<uint16_t> rows(kPanelTokens * 48);
      for (uint16_t& bits : rows) {
        bits = static_cast<uint16_t>(random.Bits());
      }
      static_cast<void>(PanelOfRows({type, scaling, 48}, rows));
    }
  }
}

TEST(Hadamard, KeepsProductsAndUndoesItself) {
  testing::Random random(9);
  for (const uint32_t n : {1U, 2U, 64U, 128U}) {
    std::vector<float> a(n);
    std::vector<float> b(n);
    double before = 0;
    for (uint32_t i = 0; i < n; ++i) {
      a[i] = random.Symmetric();
      b[i] = random.Symmetric();
      before += double{a[i]} * b[i];
    }
    const std::vector<float> was = a;
    Hadamard(a.data(), n);
    Hadamard(b.data(), n);
    double after = 0;
    for (uint32_t i = 0; i < n; ++i) {
      after += double{a[i]} * b[i];
    }
    EXPECT_NEAR(after, before, 1e-5);
    Hadamard(a.data(), n);
    for (uint32_t i = 0; i < n; ++i) {
      EXPECT_NEAR(a[i], was[i], 1e-6F);
    }
  }
}

TEST(Hadamard, SpreadsOneElementOverAll) {
  std::vector<float> x(64);
  x[5] = 8;
  Hadamard(x.data(), 64);
  for (const float value : x) {
    EXPECT_EQ(std::fabs(value), 1.0F);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
