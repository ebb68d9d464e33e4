#include "base/rng.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

// Known-answer vectors of the paper's reference distribution (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox(0, 0, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ULL, ~0ULL, ~0ULL),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(UniformAt, DependsOnSeedAndPositionOnlyAndStaysInRange) {
  EXPECT_EQ(UniformAt(7, 3), UniformAt(7, 3));
  EXPECT_NE(UniformAt(7, 3), UniformAt(7, 4));
  EXPECT_NE(UniformAt(7, 3), UniformAt(8, 3));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = UniformAt(1, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

}  // namespace
}  // namespace plimsoll
