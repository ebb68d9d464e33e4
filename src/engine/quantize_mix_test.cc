#include "engine/quantize_mix.h"

#include <gmock/gmock.h>

namespace plimsoll::engine {
namespace {

using tensor::DType;

constexpr uint32_t kLayers = 16;

// Of a dense model, or of experts: what is asked by name.
formats::Catalogue Model(uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_experts) {
  formats::Catalogue catalogue;
  catalogue.metadata.SetString("general.architecture", "llama");
  catalogue.metadata.SetU32("llama.block_count", kLayers);
  catalogue.metadata.SetU32("llama.attention.head_count", n_heads);
  catalogue.metadata.SetU32("llama.attention.head_count_kv", n_kv_heads);
  catalogue.metadata.SetU32("llama.expert_count", n_experts);
  const auto add = [&catalogue](std::string name, uint64_t n_matrices = 1) {
    catalogue.Add({.name = std::move(name),
                   .dtype = DType::kF16,
                   .shape = tensor::MakeShape(256, 256, n_matrices),
                   .ranges = {}});
  };
  add("token_embd.weight");
  add("output.weight");
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* const name : {"attn_q.weight", "attn_k.weight", "attn_output.weight"}) {
      add(prefix + name);
    }
    if (layer % 2 == 0) {  // attention has values in every second layer
      add(prefix + "attn_v.weight");
    }
    add(prefix + "ffn_gate_exps.weight", n_experts);
    add(prefix + "ffn_down_exps.weight", n_experts);
  }
  return catalogue;
}

DType TypeIn(std::string_view mix, const formats::Catalogue& catalogue, const std::string& tensor,
             bool has_importance = false) {
  return MixedModel(catalogue, has_importance).TypeOf(*FindMix(mix), *catalogue.Find(tensor));
}

std::vector<int> LayersWith(std::string_view mix, DType dtype, const std::string& tensor) {
  const auto catalogue = Model(8, 8, 16);
  std::vector<int> layers;
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const std::string name = "blk." + std::to_string(layer) + "." + tensor;
    if (catalogue.Find(name) != nullptr && TypeIn(mix, catalogue, name) == dtype) {
      layers.push_back(static_cast<int>(layer));
    }
  }
  return layers;
}

TEST(QuantizeMix, IsFoundInAnyCase) {
  EXPECT_EQ(FindMix("q4_k_m")->file_type, 15U);
  EXPECT_EQ(FindMix("Q4_K_XL"), nullptr);
  for (const tensor::DTypeTraits& traits : tensor::AllDTypes()) {
    EXPECT_NE(FindMix(traits.name), nullptr) << traits.name;
  }
}

// Of sixteen layers the first two, the last two and every third between.
TEST(QuantizeMix, GivesMoreBitsToSomeLayers) {
  using ::testing::ElementsAre;
  EXPECT_THAT(LayersWith("Q4_K_M", DType::kQ6_K, "ffn_down_exps.weight"),
              ElementsAre(0, 1, 4, 7, 10, 13, 14, 15));
  EXPECT_THAT(LayersWith("Q5_K_M", DType::kQ6_K, "ffn_down_exps.weight"),
              ElementsAre(0, 1, 4, 7, 10, 13, 14, 15));
  // The first, the fourth, the seventh and the last of eight that have values.
  EXPECT_THAT(LayersWith("Q4_K_M", DType::kQ6_K, "attn_v.weight"), ElementsAre(0, 6, 12, 14));
  EXPECT_THAT(LayersWith("Q3_K_M", DType::kQ5_K, "attn_v.weight"), ElementsAre(0, 2));
  EXPECT_THAT(LayersWith("Q3_K_M", DType::kQ5_K, "ffn_down_exps.weight"), ElementsAre(0));
  EXPECT_THAT(LayersWith("Q4_K_S", DType::kQ5_K, "attn_v.weight"), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(LayersWith("Q4_K_S", DType::kQ5_K, "ffn_down_exps.weight"), ElementsAre(0, 1));
}

TEST(QuantizeMix, KnowsWhatLogitsAndEmbeddingsNeed) {
  auto catalogue = Model(8, 8, 0);
  EXPECT_EQ(TypeIn("Q3_K_M", catalogue, "output.weight"), DType::kQ6_K);
  EXPECT_EQ(TypeIn("Q3_K_M", catalogue, "token_embd.weight"), DType::kQ3_K);
  EXPECT_EQ(TypeIn("IQ2_XXS", catalogue, "output.weight"), DType::kQ5_K);
  EXPECT_EQ(TypeIn("IQ2_XXS", catalogue, "token_embd.weight"), DType::kQ2_K);
  EXPECT_EQ(TypeIn("Q8_0", catalogue, "output.weight"), DType::kQ8_0);
  formats::Catalogue tied;
  tied.Add({.name = "token_embd.weight", .shape = tensor::MakeShape(256, 256), .ranges = {}});
  EXPECT_EQ(TypeIn("Q2_K", tied, "token_embd.weight"), DType::kQ6_K);
}

TEST(QuantizeMix, DependsOnTheModel) {
  EXPECT_EQ(TypeIn("Q2_K", Model(8, 8, 0), "blk.0.attn_v.weight"), DType::kQ3_K);
  EXPECT_EQ(TypeIn("Q2_K", Model(8, 2, 0), "blk.0.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(TypeIn("IQ1_S", Model(8, 8, 4), "blk.0.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(TypeIn("Q4_K_M", Model(8, 8, 8), "blk.4.attn_v.weight"), DType::kQ8_0);
  EXPECT_EQ(TypeIn("Q4_K_M", Model(8, 8, 8), "blk.4.attn_output.weight"), DType::kQ5_K);
  EXPECT_EQ(TypeIn("MXFP4_MOE", Model(8, 8, 8), "blk.4.ffn_down_exps.weight"), DType::kMXFP4);
  EXPECT_EQ(TypeIn("MXFP4_MOE", Model(8, 8, 8), "blk.4.attn_q.weight"), DType::kQ8_0);
  EXPECT_EQ(TypeIn("NVFP4", Model(8, 8, 0), "blk.4.attn_q.weight"), DType::kNVFP4);
  const std::string first_down = "blk.0.ffn_down_exps.weight";
  EXPECT_EQ(TypeIn("IQ4_XS", Model(8, 8, 0), first_down), DType::kQ5_K);
  EXPECT_EQ(TypeIn("IQ4_XS", Model(8, 8, 0), first_down, true), DType::kIQ4_XS);
  EXPECT_EQ(TypeIn("Q4_0", Model(8, 8, 0), first_down), DType::kQ4_0);
  EXPECT_EQ(TypeIn("Q4_0", Model(8, 8, 0), first_down, true), DType::kQ4_1);
}

}  // namespace
}  // namespace plimsoll::engine
