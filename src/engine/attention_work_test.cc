#include "engine/attention_work.h"

#include <gtest/gtest.h>

#include "model/model.h"

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
  hp.n_layers = 2;
  const kv::BlockLayout layout = model::KvLayoutOf(hp, {});

  constexpr uint64_t kBytesPerPosition = 2 * (64 + 32) * 2;
  constexpr uint64_t kMultiplyAddsPerPosition = 8 * (64 + 32);
  EXPECT_EQ(AttentionAt(hp, layout, 0).kv_bytes, 2 * kBytesPerPosition);
  EXPECT_EQ(AttentionAt(hp, layout, 0).multiply_adds, 2 * kMultiplyAddsPerPosition);
  EXPECT_EQ(AttentionAt(hp, layout, 9).kv_bytes, (10 + 4) * kBytesPerPosition);
  EXPECT_EQ(AttentionAt(hp, layout, 9).multiply_adds, (10 + 4) * kMultiplyAddsPerPosition);
}

TEST(AttentionWork, ReadsFewerBytesOfWhatIsQuantized) {
  model::LayerParams layer;
  layer.n_heads = 4;
  layer.n_kv_heads = 2;
  layer.head_dim_k = 64;
  layer.head_dim_v = 64;
  model::HyperParams hp;
  hp.layers = {layer};
  hp.n_layers = 1;
  const auto bytes = [&](tensor::KvType type) {
    return AttentionAt(hp, model::KvLayoutOf(hp, {.type = type, .layers = {}}), 31).kv_bytes;
  };
  EXPECT_EQ(bytes(tensor::KvType::kBF16), bytes(tensor::KvType::kF16));
  EXPECT_EQ(bytes(tensor::KvType::kQ8) * 64, bytes(tensor::KvType::kF16) * 34);
  EXPECT_EQ(bytes(tensor::KvType::kQ4) * 64, bytes(tensor::KvType::kF16) * 19);
}

TEST(AttentionWork, ReadsALatentOnce) {
  model::LayerParams latent;
  latent.latent.kv_rank = 512;
  latent.n_heads = 16;
  latent.n_kv_heads = 1;
  latent.head_dim_k = 576;
  latent.head_dim_v = 512;
  ASSERT_TRUE(latent.is_latent());
  model::HyperParams hp;
  hp.layers = {latent};
  hp.n_layers = 1;
  const kv::BlockLayout layout = model::KvLayoutOf(hp, {});
  EXPECT_EQ(AttentionAt(hp, layout, 2).kv_bytes, 3 * 576 * 2);
  EXPECT_EQ(AttentionAt(hp, layout, 2).multiply_adds, 3 * 16 * (576 + 512));
}

}  // namespace
}  // namespace plimsoll::engine
