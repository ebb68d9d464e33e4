#include "kernels/half.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace plimsoll::kernels {
namespace {

// The definition in the standard, in double: exact for every finite value.
double F16Value(uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const int fraction = h & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

bool IsF16Finite(uint16_t h) { return (h & 0x7C00) != 0x7C00; }

TEST(F16, EveryValueWidensExactlyAndComesBack) {
  for (uint32_t i = 0; i <= 0xFFFF; ++i) {
    const auto h = static_cast<uint16_t>(i);
    const float x = F16ToFloat(h);
    if (IsF16Finite(h)) {
      ASSERT_EQ(static_cast<double>(x), F16Value(h)) << h;
      ASSERT_EQ(std::signbit(x), (h & 0x8000) != 0) << h;
      ASSERT_EQ(FloatToF16(x), h);
    } else if ((h & 0x03FF) == 0) {
      ASSERT_EQ(x, (h & 0x8000) != 0 ? -std::numeric_limits<float>::infinity()
                                     : std::numeric_limits<float>::infinity());
      ASSERT_EQ(FloatToF16(x), h);
    } else {
      ASSERT_TRUE(std::isnan(x)) << h;
      ASSERT_FALSE(IsF16Finite(FloatToF16(x))) << h;
    }
  }
}

// Around the middle of every two neighbours: below goes down, above goes up, the middle to the even
// one.
TEST(F16, NarrowingRoundsToNearestEven) {
  for (uint16_t h = 0; h < 0x7C00; ++h) {
    const double next = h == 0x7BFF ? 65536 : F16Value(static_cast<uint16_t>(h + 1));
    const auto middle = static_cast<float>((F16Value(h) + next) / 2);  // exact: one more bit
    const auto even = static_cast<uint16_t>(h + (h & 1));
    ASSERT_EQ(FloatToF16(middle), even) << h;
    ASSERT_EQ(FloatToF16(-middle), even | 0x8000) << h;
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 0.0F)), h) << h;
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 1e9F)), h + 1) << h;
  }
}

TEST(F16, ExtremesOfFloat) {
  EXPECT_EQ(FloatToF16(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(FloatToF16(-std::numeric_limits<float>::max()), 0xFC00);
  EXPECT_EQ(FloatToF16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(FloatToF16(-0.0F), 0x8000);
}

TEST(BF16, EveryValueIsTheUpperHalfOfAFloat) {
  for (uint32_t i = 0; i <= 0xFFFF; ++i) {
    const int exponent = static_cast<int>(i >> 7 & 255);
    const int fraction = static_cast<int>(i & 127);
    if (exponent == 255) {
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -133) : std::ldexp(128 + fraction, exponent - 134);
    ASSERT_EQ(static_cast<double>(BF16ToFloat(static_cast<uint16_t>(i))),
              (i & 0x8000) != 0 ? -magnitude : magnitude);
  }
}

TEST(BF16, NarrowingRoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7F80; ++h) {
    const auto middle = std::bit_cast<float>(h << 16 | 0x8000U);
    const uint32_t even = h + (h & 1U);
    ASSERT_EQ(FloatToBF16(middle), even) << h;
    ASSERT_EQ(FloatToBF16(-middle), even | 0x8000U) << h;
    ASSERT_EQ(FloatToBF16(std::nextafter(middle, 0.0F)), h) << h;
    ASSERT_EQ(FloatToBF16(std::nextafter(middle, std::numeric_limits<float>::infinity())), h + 1);
  }
  EXPECT_EQ(FloatToBF16(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_TRUE(std::isnan(BF16ToFloat(FloatToBF16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(E8M0, IsHalfAPowerOfTwo) {
  for (int e = 0; e <= 255; ++e) {
    ASSERT_EQ(static_cast<double>(E8M0HalfToFloat(static_cast<uint8_t>(e))),
              std::ldexp(1.0, e - 128));
  }
}

TEST(UE4M3, IsHalfOfWhatTheBitsSay) {
  for (int x = 0; x < 0x7F; ++x) {
    const int exponent = x >> 3;
    const int fraction = x & 7;
    ASSERT_EQ(static_cast<double>(UE4M3HalfToFloat(static_cast<uint8_t>(x))),
              exponent == 0 ? std::ldexp(fraction, -10) : std::ldexp(8 + fraction, exponent - 11));
    ASSERT_EQ(UE4M3HalfToFloat(static_cast<uint8_t>(x | 0x80)),
              UE4M3HalfToFloat(static_cast<uint8_t>(x)));
  }
  EXPECT_EQ(UE4M3HalfToFloat(0x7F), 0);
  EXPECT_EQ(UE4M3HalfToFloat(0xFF), 0);
}

}  // namespace
}  // namespace plimsoll::kernels
