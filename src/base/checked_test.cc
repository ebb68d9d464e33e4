#include "base/checked.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Checked, AddRefusesToWrap) {
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax, 1), std::nullopt);
}

TEST(Checked, MulRefusesToWrap) {
  EXPECT_EQ(CheckedMul<uint64_t>(0, kMax), 0U);
  EXPECT_EQ(CheckedMul<uint64_t>(1ULL << 32, (1ULL << 32) - 1), ((1ULL << 32) - 1) << 32);
  EXPECT_EQ(CheckedMul<uint64_t>(1ULL << 32, 1ULL << 32), std::nullopt);
}

TEST(Checked, AlignUpRefusesToWrap) {
  EXPECT_EQ(CheckedAlignUp<uint64_t>(33, 32), 64U);
  EXPECT_EQ(CheckedAlignUp<uint64_t>(64, 32), 64U);
  EXPECT_EQ(CheckedAlignUp<uint64_t>(kMax - 5, 32), std::nullopt);
}

TEST(Checked, CastRefusesToNarrow) {
  EXPECT_EQ((CheckedCast<int32_t, uint64_t>(1ULL << 31)), std::nullopt);
  EXPECT_EQ((CheckedCast<uint32_t, int64_t>(-1)), std::nullopt);
  EXPECT_EQ((CheckedCast<uint32_t, int64_t>(7)), 7U);
}

}  // namespace
}  // namespace plimsoll
