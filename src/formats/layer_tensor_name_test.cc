#include "formats/layer_tensor_name.h"

#include <gtest/gtest.h>

namespace plimsoll::formats {
namespace {

TEST(LayerTensorName, LayerAndTheRest) {
  const auto name = ParseLayerTensorName("blk.12.attn_q.weight");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->layer_idx, 12U);
  EXPECT_EQ(name->rest, "attn_q.weight");
}

TEST(LayerTensorName, WhatIsInNoLayer) {
  for (const char* name : {"output.weight", "", "blk.", "blk.7", "blk..a", "blk.x.a", "blk.-1.a",
                           "blk.99999999999.a", "blk.1a.b", "v.blk.0.a"}) {
    EXPECT_FALSE(ParseLayerTensorName(name)) << name;
  }
}

}  // namespace
}  // namespace plimsoll::formats
