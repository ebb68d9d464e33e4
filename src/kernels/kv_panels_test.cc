#include "kernels/kv_panels.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/half.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using tensor::KvContent;
using tensor::KvPanel;
using tensor::KvType;

constexpr uint32_t kPanelTokens = tensor::kKvPanelTokens;
constexpr KvContent kContents[] = {KvContent::kKeys, KvContent::kValues, KvContent::kLatents};

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
  const auto bytes = [](KvType type, KvContent content) {
    return KvPanel{type, content, 64}.bytes();
  };
  EXPECT_EQ(bytes(KvType::kF16, KvContent::kKeys), 32U * 64 * 2);
  EXPECT_EQ(bytes(KvType::kQ8, KvContent::kKeys), 64U * 34);
  EXPECT_EQ(bytes(KvType::kQ8, KvContent::kValues), 64U * 34);
  EXPECT_EQ(bytes(KvType::kQ4, KvContent::kKeys), 64U * 20);
  EXPECT_EQ(bytes(KvType::kQ4, KvContent::kValues), 64U * 18);
}

TEST(KvPanel, EveryCodeHasAPlaceOfItsOwn) {
  for (const uint32_t dim : {1U, 16U, 40U, 128U, 576U}) {
    for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
      for (const KvContent content : kContents) {
        const KvPanel panel{type, content, dim};
        const size_t n_codes = kPanelTokens * panel.padded_dim();
        const size_t of_byte = type == KvType::kQ8 ? 1 : 2;
        ASSERT_EQ(panel.bytes(), panel.codes_offset() + n_codes / of_byte);
        std::vector<bool> is_taken(n_codes);
        for (uint32_t t = 0; t < kPanelTokens; ++t) {
          for (uint32_t c = 0; c < panel.padded_dim(); ++c) {
            const KvPanel::Place place = panel.CodeAt(t, c);
            const size_t i = place.byte * of_byte + (place.is_high ? 1 : 0);
            ASSERT_LT(i, n_codes);
            ASSERT_FALSE(is_taken[i]) << t << " " << c;
            is_taken[i] = true;
          }
        }
      }
    }
  }
}

TEST(KvPanel, EveryScaleHasAPlaceOfItsOwn) {
  for (const KvContent content : kContents) {
    const KvPanel panel{KvType::kQ8, content, 80};
    std::vector<uint32_t> users(panel.n_scales());
    for (uint32_t t = 0; t < kPanelTokens; ++t) {
      for (uint32_t c = 0; c < 80; ++c) {
        ++users.at(panel.ScaleAt(t, c));
      }
    }
    for (size_t i = 0; i < users.size(); ++i) {
      const bool is_short = content == KvContent::kValues    ? i / kPanelTokens == 2
                            : content == KvContent::kLatents ? i % 3 == 2
                                                             : false;
      EXPECT_EQ(users[i], content == KvContent::kKeys ? kPanelTokens : is_short ? 16 : 32) << i;
    }
  }
}

TEST(KvPanel, ErrsByHalfAStepOfItsScale) {
  for (const uint32_t dim : {64U, 33U, 80U, 576U}) {
    for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
      for (const KvContent content : kContents) {
        const PanelOfRows q({type, content, dim}, RowsWithOutliers(dim));
        for (uint32_t t = 0; t < kPanelTokens; ++t) {
          for (uint32_t c = 0; c < dim; ++c) {
            const bool is_large = content != KvContent::kKeys || c % 8 == 3;
            const float range = is_large ? 100.5F : 2.5F;
            // Symmetric codes of four bits end at 7 of 8 steps.
            const float step = type == KvType::kQ8           ? range / 2 / 127
                               : content == KvContent::kKeys ? range / 15
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
    for (const KvContent content : kContents) {
      const PanelOfRows q({type, content, 40}, std::vector<uint16_t>(kPanelTokens * 40));
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
    for (const KvContent content : kContents) {
      std::vector<uint16_t> rows(kPanelTokens * 48);
      for (uint16_t& bits : rows) {
        bits = static_cast<uint16_t>(random.Bits());
      }
      static_cast<void>(PanelOfRows({type, content, 48}, rows));
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
