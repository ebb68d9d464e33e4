#include "cli/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

engine::PrunedModel Pruned() {
  return {.layers = {{.layer_idx = 1,
                      .scores = {0.5, 0.75, 0.25, 0.8},
                      .kept = {0, 2},
                      .removed = {1, 3}}},
          .is_quantized = true,
          .bytes_before = 256,
          .bytes = 196};
}

TEST(PruneReport, SaysWhatWent) {
  EXPECT_EQ(PruneText(Pruned(), "o.gguf", 1.25),
            "layer 1: scores 0.2500 to 0.8000; from 0.7500 on went 1 3\n"
            "o.gguf: 2 of 4 experts a layer, 256 B made 196 B, in 1.2 s\n");
  EXPECT_EQ(PruneJson(Pruned(), "o.gguf", 1.5),
            R"({"output":"o.gguf","bytes_before":256,"bytes":196,"scored_quantized":true,)"
            R"("layers":[{"layer":1,"removed":[1,3],"scores":[0.5,0.75,0.25,0.8]}],"seconds":1.5})"
            "\n");
}

TEST(PruneOptions, AShare) {
  EXPECT_DOUBLE_EQ(ParseRatio("25%").value(), 0.25);
  EXPECT_DOUBLE_EQ(ParseRatio("0.5").value(), 0.5);
  for (const char* wrong : {"", "0", "100%", "1", "25", "-1%", "nan", "a%", "%"}) {
    EXPECT_FALSE(ParseRatio(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace plimsoll::cli
