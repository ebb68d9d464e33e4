#include "formats/gguf/joined_experts.h"

#include <gmock/gmock.h>

namespace plimsoll::formats::gguf {
namespace {

using tensor::DType;
using tensor::MakeShape;

TensorEntry Joined(uint64_t rows) {
  TensorEntry entry;
  entry.name = "blk.3.ffn_gate_up_exps.weight";
  entry.dtype = DType::kQ8_0;
  entry.shape = MakeShape(64, rows, 3);
  entry.bytes = 2 * 34 * rows * 3;
  entry.ranges = {{1, 4096, entry.bytes}};
  return entry;
}

TEST(SplitJoinedExperts, GivesEachHalfOfEveryExpertARange) {
  const auto split = SplitJoinedExperts(Joined(10));
  ASSERT_EQ(split.size(), 2U);
  EXPECT_EQ(split[0].name, "blk.3.ffn_gate_exps.weight");
  EXPECT_EQ(split[1].name, "blk.3.ffn_up_exps.weight");
  const uint64_t half = 2 * 34 * 5;
  for (uint64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(split[i].shape, MakeShape(64, 5, 3));
    EXPECT_EQ(split[i].bytes, 3 * half);
    ASSERT_EQ(split[i].ranges.size(), 3U);
    for (uint64_t expert = 0; expert < 3; ++expert) {
      EXPECT_EQ(split[i].ranges[expert].file_idx, 1U);
      EXPECT_EQ(split[i].ranges[expert].offset, 4096 + (2 * expert + i) * half);
      EXPECT_EQ(split[i].ranges[expert].bytes, half);
    }
  }
}

TEST(SplitJoinedExperts, LeavesWhatHasNoTwoHalvesAsItIs) {
  TensorEntry other = Joined(10);
  other.name = "blk.3.ffn_up_exps.weight";
  TensorEntry flat = Joined(10);
  flat.shape = MakeShape(64, 30);
  for (const TensorEntry& entry : {Joined(9), other, flat}) {
    const auto same = SplitJoinedExperts(entry);
    ASSERT_EQ(same.size(), 1U);
    EXPECT_EQ(same[0].name, entry.name);
    EXPECT_EQ(same[0].ranges.size(), 1U);
  }
}

}  // namespace
}  // namespace plimsoll::formats::gguf
