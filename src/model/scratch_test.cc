#include "model/scratch.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::model {
namespace {

TEST(PackedRows, PartsArePackedWhereTheWholeRowHasThem) {
  constexpr uint64_t kLength = 1024;
  constexpr size_t kRows = 2;
  std::vector<float> floats(kRows * kLength);
  for (size_t i = 0; i < floats.size(); ++i) {
    floats[i] = static_cast<float>(i % 97) - 48.0F;
  }
  const kernels::KernelSet& set = *kernels::SelectKernelSet().value();
  const auto pack = [&](bool in_parts) {
    std::vector<std::byte> q8x32(kRows * 4096);
    std::vector<std::byte> q8x256(kRows * 4096);
    const PackedRows rows = {
        .floats = floats.data(), .k = kLength, .q8x32 = q8x32.data(), .q8x256 = q8x256.data()};
    for (size_t i = 0; i < kRows; ++i) {
      if (in_parts) {
        rows.PackPart(set, i, 0, 256);
        rows.PackPart(set, i, 256, 768);
        rows.PackPart(set, i, 768, kLength);
      } else {
        rows.Pack(set, i);
      }
    }
    q8x32.insert(q8x32.end(), q8x256.begin(), q8x256.end());
    return q8x32;
  };
  EXPECT_EQ(pack(true), pack(false));
}

}  // namespace
}  // namespace plimsoll::model
