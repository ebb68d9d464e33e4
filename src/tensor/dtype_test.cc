#include "tensor/dtype.h"

#include <gtest/gtest.h>

namespace plimsoll::tensor {
namespace {

TEST(DType, NamesAndNumbersRoundTrip) {
  for (const DTypeTraits& t : AllDTypes()) {
    EXPECT_EQ(DTypeFromNumber(static_cast<uint32_t>(t.dtype)), t.dtype);
    EXPECT_EQ(DTypeFromName(t.name), t.dtype);
    EXPECT_EQ(GgmlTypeName(static_cast<uint32_t>(t.dtype)), t.name);
  }
  EXPECT_EQ(DTypeFromName("q4_k"), DType::kQ4_K);
  EXPECT_EQ(DTypeFromNumber(9), std::nullopt);
  EXPECT_EQ(GgmlTypeName(9), "Q8_1");
  EXPECT_EQ(GgmlTypeName(4000), "");
}

TEST(DType, TypesOfInterleavedRowsNameThePlainOne) {
  for (const uint32_t number : {31U, 32U, 33U}) {
    EXPECT_EQ(DTypeFromNumber(number), std::nullopt);
    EXPECT_EQ(PlainTypeOf(number), "Q4_0");
  }
  EXPECT_EQ(PlainTypeOf(36), "IQ4_NL");
  EXPECT_EQ(PlainTypeOf(2), "");
  EXPECT_EQ(PlainTypeOf(20), "");
  EXPECT_EQ(PlainTypeOf(4000), "");
}

TEST(DType, BytesForNeedsWholeBlocksAndDoesNotWrap) {
  EXPECT_EQ(BytesFor(DType::kQ4_0, 64), 36U);
  EXPECT_EQ(BytesFor(DType::kQ4_0, 33), std::nullopt);
  EXPECT_EQ(BytesFor(DType::kQ6_K, 512), 420U);
  EXPECT_EQ(BytesFor(DType::kNVFP4, 128), 72U);
  EXPECT_EQ(BytesFor(DType::kNVFP4, 96), std::nullopt);
  EXPECT_EQ(BytesFor(DType::kF32, ~0ULL), std::nullopt);
}

}  // namespace
}  // namespace plimsoll::tensor
