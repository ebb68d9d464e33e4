#include "model/hyper_params.h"

#include <gtest/gtest.h>

#include "model/architecture.h"
#include "model/test_catalogue.h"

namespace plimsoll::model {
namespace {

TEST(HyperParams, ReadsTheConventions) {
  const auto hp = ReadHyperParams(SmallModel("llama"));
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->vocab_size, 300U);
  EXPECT_EQ(hp->layers.size(), 2U);
  EXPECT_EQ(hp->layers[1].head_dim_k, 16U);
  EXPECT_EQ(hp->layers[1].n_kv_heads, 2U);
  EXPECT_FALSE(hp->layers[1].is_moe());
  EXPECT_EQ(hp->rope.n_dims, 16U);
}

// Every bad number is refused by the name of its key.
TEST(HyperParams, RefusesWhatMakesNoSense) {
  const struct {
    const char* key;
    uint32_t value;
  } cases[] = {
      {"llama.block_count", 0},
      {"llama.block_count", 1U << 31},
      {"llama.embedding_length", 0},
      {"llama.attention.head_count", 0},
      {"llama.attention.head_count", ~0U},
      {"llama.attention.head_count_kv", 0},
      {"llama.attention.key_length", 0},
      {"llama.attention.key_length", 1U << 20},
      {"llama.rope.dimension_count", 0},
      {"llama.rope.dimension_count", 17},
      {"llama.rope.dimension_count", 15},
      {"llama.feed_forward_length", 0},
      {"llama.context_length", 0},
      {"llama.expert_gating_func", 9},
  };
  for (const auto& c : cases) {
    auto catalogue = SmallModel("llama");
    catalogue.metadata.SetU32(c.key, c.value);
    const auto hp = ReadHyperParams(catalogue);
    ASSERT_FALSE(hp) << c.key << " " << c.value;
    EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
    EXPECT_NE(hp.error().message.find(c.key), std::string::npos) << hp.error().message;
  }
}

TEST(HyperParams, HeadsAndExpertsMustFitTogether) {
  auto catalogue = SmallModel("llama");
  catalogue.metadata.SetU32("llama.attention.head_count_kv", 3);
  EXPECT_EQ(ReadHyperParams(catalogue).error().message,
            "4 heads are no multiple of 3 KV heads in layer 0");
  catalogue = SmallModel("llama");
  catalogue.metadata.SetU32("llama.expert_count", 8);
  EXPECT_NE(ReadHyperParams(catalogue).error().message.find("llama.expert_used_count"),
            std::string::npos);
  catalogue.metadata.SetU32("llama.expert_used_count", 9);
  EXPECT_FALSE(ReadHyperParams(catalogue));
  catalogue.metadata.SetU32("llama.expert_used_count", 8);
  EXPECT_TRUE(ReadHyperParams(catalogue));
}

TEST(HyperParams, RopeScalingIsReadAndUnknownOnesAreNamed) {
  auto catalogue = SmallModel("llama");
  catalogue.metadata.SetString("llama.rope.scaling.type", "yarn");
  catalogue.metadata.SetF32("llama.rope.scaling.factor", 4.0F);
  catalogue.metadata.SetU32("llama.rope.scaling.original_context_length", 77);
  const auto hp = ReadHyperParams(catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(hp->rope.factor, 4.0);
  EXPECT_EQ(hp->rope.n_ctx_original, 77U);
  catalogue.metadata.SetString("llama.rope.scaling.type", "other");
  EXPECT_NE(ReadHyperParams(catalogue).error().message.find("\"other\" is not supported"),
            std::string::npos);
}

TEST(HyperParams, AVocabularyIsNoModel) {
  formats::Catalogue catalogue;
  catalogue.metadata.SetString("general.architecture", "llama");
  EXPECT_NE(ReadHyperParams(catalogue).error().message.find("token_embd.weight"),
            std::string::npos);
}

TEST(Architecture, FamiliesDifferInTheirRouting) {
  const auto routing = [](const std::string& name) {
    auto catalogue = SmallModel(name);
    catalogue.metadata.SetU32(name + ".expert_count", 8);
    catalogue.metadata.SetU32(name + ".expert_used_count", 2);
    catalogue.metadata.SetU32(name + ".expert_shared_feed_forward_length", 32);
    return ReadHyperParams(**FindArchitecture(name), catalogue)->router.normalize;
  };
  EXPECT_TRUE(routing("llama"));
  EXPECT_TRUE(routing("qwen3moe"));
  EXPECT_FALSE(routing("qwen2moe"));
  EXPECT_FALSE(routing("olmoe"));
}

TEST(HyperParams, ExpertGroupsAreEqualAndHaveEnoughExperts) {
  auto catalogue = SmallModel("llama");
  catalogue.metadata.SetU32("llama.expert_count", 8);
  catalogue.metadata.SetU32("llama.expert_used_count", 4);
  const auto read = [&](uint32_t count, uint32_t used) {
    catalogue.metadata.SetU32("llama.expert_group_count", count);
    catalogue.metadata.SetU32("llama.expert_group_used_count", used);
    return ReadHyperParams(catalogue);
  };
  for (const uint32_t none : {0U, 1U}) {
    EXPECT_EQ(read(none, none)->router.n_groups, 1U);
  }
  EXPECT_EQ(read(4, 2)->router.n_groups, 4U);
  EXPECT_EQ(read(4, 2)->router.n_groups_used, 2U);
  EXPECT_FALSE(read(3, 2));  // no equal groups
  EXPECT_FALSE(read(8, 8));  // of one expert each
  EXPECT_FALSE(read(4, 5));  // more than there are
  EXPECT_FALSE(read(4, 0));
  EXPECT_NE(read(4, 1).error().message.find("llama.expert_group_count is 4"), std::string::npos);
}

TEST(Architecture, UnsupportedOnesAreRefusedWithTheList) {
  const auto found = FindArchitecture("mamba");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kBadModel);
  EXPECT_EQ(found.error().message,
            "the architecture \"mamba\" is not supported; supported are deepseek2, dots1, gemma3, "
            "gemma4, glm4moe, gpt-oss, granite, granitemoe, llama, llama4, minimax-m2, mistral3, "
            "olmoe, phi3, "
            "qwen2, qwen2moe, qwen3, qwen35, qwen35moe, qwen3moe, qwen3next");
}

}  // namespace
}  // namespace plimsoll::model
