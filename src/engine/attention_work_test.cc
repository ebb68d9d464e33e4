#include "engine/attention_work.h"

#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

TEST(AttentionWork, GrowsWithThePositionUpToEachLayersWindow) {
  model::LayerParams full;
  full.n_heads = 8;
  full.n_kv_heads = 2;
  full.head_dim_k = 64;
  full.head_dim_v = 32;
  model::LayerParams windowed = full;
  windowed.window = 4;
  model::HyperParams hp;
  hp.layers = {full, windowed};

  constexpr uint64_t kBytesPerPosition = 2 * (64 + 32) * 2;
  constexpr uint64_t kMultiplyAddsPerPosition = 8 * (64 + 32);
  EXPECT_EQ(AttentionAt(hp, 0).kv_bytes, 2 * kBytesPerPosition);
  EXPECT_EQ(AttentionAt(hp, 0).multiply_adds, 2 * kMultiplyAddsPerPosition);
  EXPECT_EQ(AttentionAt(hp, 9).kv_bytes, (10 + 4) * kBytesPerPosition);
  EXPECT_EQ(AttentionAt(hp, 9).multiply_adds, (10 + 4) * kMultiplyAddsPerPosition);
}

}  // namespace
}  // namespace plimsoll::engine
