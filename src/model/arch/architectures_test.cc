// What the architectures make of a file's metadata beyond the conventions.
#include <cmath>

#include <gmock/gmock.h>

#include "model/architecture.h"
#include "model/test_catalogue.h"

namespace plimsoll::model {
namespace {

using ::testing::HasSubstr;

Result<HyperParams> ReadAs(const std::string& name, const formats::Catalogue& catalogue) {
  return ReadHyperParams(**FindArchitecture(name), catalogue);
}

formats::Catalogue SmallGptOss() {
  auto catalogue = SmallModel("gpt-oss");
  catalogue.metadata.SetU32("gpt-oss.expert_count", 8);
  catalogue.metadata.SetU32("gpt-oss.expert_used_count", 2);
  catalogue.metadata.SetU32("gpt-oss.attention.sliding_window", 16);
  return catalogue;
}

TEST(GptOss, HasTheWindowInEveryOtherLayer) {
  auto catalogue = SmallGptOss();
  const auto hp = ReadAs("gpt-oss", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->layers[0].window, 16U);
  EXPECT_EQ(hp->layers[1].window, 0U);
  EXPECT_EQ(hp->router.score, RouterScore::kSoftmaxOfChosen);
  EXPECT_EQ(hp->activation, Activation::kSwigluClamped);
  EXPECT_TRUE(hp->rope.neox);
  catalogue.metadata.SetU32("gpt-oss.attention.sliding_window", 0);
  EXPECT_THAT(ReadAs("gpt-oss", catalogue).error().message, HasSubstr("sliding_window"));
}

// DeepSeek-V2-Lite's shape in small: heads of 24 + 8, a latent of 48.
formats::Catalogue SmallDeepseek2() {
  auto catalogue = SmallModel("deepseek2");
  const auto set = [&](const char* key, uint32_t value) {
    catalogue.metadata.SetU32(std::string("deepseek2.") + key, value);
  };
  set("attention.head_count_kv", 1);
  set("attention.kv_lora_rank", 48);
  set("attention.key_length", 56);
  set("attention.value_length", 48);
  set("attention.key_length_mla", 32);
  set("attention.value_length_mla", 20);
  set("rope.dimension_count", 8);
  set("leading_dense_block_count", 1);
  set("expert_count", 8);
  set("expert_used_count", 2);
  set("expert_feed_forward_length", 40);
  set("expert_shared_count", 3);
  return catalogue;
}

Result<HyperParams> ReadDeepseek2(const formats::Catalogue& catalogue) {
  return ReadAs("deepseek2", catalogue);
}

TEST(Deepseek2, CachesALatentAndHasDenseLayersFirst) {
  const auto hp = ReadDeepseek2(SmallDeepseek2());
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_FALSE(hp->rope.neox);
  for (const LayerParams& layer : hp->layers) {
    EXPECT_EQ(layer.n_kv_heads, 1U);
    EXPECT_EQ(layer.head_dim_k, 56U);
    EXPECT_EQ(layer.head_dim_v, 48U);
    EXPECT_EQ(layer.latent.nope_dim, 24U);
    EXPECT_EQ(layer.latent.q_rank, 0U);
    EXPECT_FALSE(layer.latent.joined);
    EXPECT_EQ(layer.q_dim(), 4U * 32);
    EXPECT_EQ(layer.attention_dim(), 4U * 20);
  }
  EXPECT_FALSE(hp->layers[0].is_moe());
  EXPECT_EQ(hp->layers[0].expert_ff_dim, 96U);
  EXPECT_EQ(hp->layers[0].shared_ff_dim, 0U);
  EXPECT_EQ(hp->layers[1].n_experts, 8U);
  EXPECT_EQ(hp->layers[1].expert_ff_dim, 40U);
  EXPECT_EQ(hp->layers[1].shared_ff_dim, 120U);
  EXPECT_EQ(hp->attention_scale, static_cast<float>(1 / std::sqrt(32.0)));
}

// Older files name the widths of heads, and as many KV heads as heads.
TEST(Deepseek2, OlderFilesJoinKeysAndValues) {
  formats::Catalogue catalogue = SmallModel("deepseek2");
  catalogue.metadata.SetU32("deepseek2.attention.head_count_kv", 4);
  catalogue.metadata.SetU32("deepseek2.attention.kv_lora_rank", 48);
  catalogue.metadata.SetU32("deepseek2.attention.key_length", 32);
  catalogue.metadata.SetU32("deepseek2.attention.value_length", 20);
  catalogue.metadata.SetU32("deepseek2.rope.dimension_count", 8);
  const auto hp = ReadDeepseek2(catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_TRUE(hp->layers[0].latent.joined);
  EXPECT_EQ(hp->layers[0].latent.nope_dim, 24U);
  EXPECT_EQ(hp->layers[0].latent.v_dim, 20U);
  EXPECT_EQ(hp->layers[0].n_kv_heads, 1U);
  EXPECT_EQ(hp->layers[0].head_dim_k, 56U);
}

// DeepSeek-V2's figures: factor 40, 0.0707 = 0.1 x mscale_all_dim.
TEST(Deepseek2, YarnScalesTheScoresByTheSquareAndLeavesLengths) {
  auto catalogue = SmallDeepseek2();
  catalogue.metadata.SetString("deepseek2.rope.scaling.type", "yarn");
  catalogue.metadata.SetF32("deepseek2.rope.scaling.factor", 40);
  catalogue.metadata.SetF32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707F);
  const auto hp = ReadDeepseek2(catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  const double mscale = 1 + 0.0707 * std::log(40.0);
  EXPECT_NEAR(hp->attention_scale, mscale * mscale / std::sqrt(32.0), 1e-7);
  EXPECT_FALSE(hp->rope.lengthens);
  catalogue.metadata.SetF32("deepseek2.rope.scaling.yarn_log_multiplier", 0);
  const auto without = ReadDeepseek2(catalogue);
  ASSERT_TRUE(without);
  EXPECT_TRUE(without->rope.lengthens);
}

TEST(Deepseek2, LayersThatPredictFurtherTokensAreLeftOut) {
  auto catalogue = SmallDeepseek2();
  catalogue.metadata.SetU32("deepseek2.nextn_predict_layers", 1);
  const auto hp = ReadDeepseek2(catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->n_layers, 1U);
  EXPECT_EQ(hp->layers.size(), 1U);
}

TEST(Deepseek2, RefusesWhatMakesNoSense) {
  const struct {
    const char* key;
    uint32_t value;
  } cases[] = {
      {"attention.kv_lora_rank", 0},       {"attention.kv_lora_rank", 4090},
      {"attention.q_lora_rank", ~0U},      {"attention.key_length_mla", 8},
      {"attention.value_length_mla", 0},   {"expert_shared_count", 65535 * 16},
      {"leading_dense_block_count", 4097}, {"nextn_predict_layers", 2},
      {"expert_shared_count", 65535},
  };
  for (const auto& c : cases) {
    auto catalogue = SmallDeepseek2();
    catalogue.metadata.SetU32("deepseek2.expert_feed_forward_length", 1024);
    catalogue.metadata.SetU32(std::string("deepseek2.") + c.key, c.value);
    const auto hp = ReadDeepseek2(catalogue);
    ASSERT_FALSE(hp) << c.key << " " << c.value;
    EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(hp.error().message, HasSubstr(c.key));
  }
  auto catalogue = SmallDeepseek2();
  catalogue.metadata.SetF32("deepseek2.attention.temperature_scale", 0.1F);
  EXPECT_THAT(ReadDeepseek2(catalogue).error().message, HasSubstr("temperature_scale"));
}

TEST(Granite, HasScalesOnEmbeddingBranchesScoresAndLogits) {
  auto catalogue = SmallModel("granite");
  const auto set = [&](const char* key, float value) {
    catalogue.metadata.SetF32(std::string("granite.") + key, value);
  };
  set("embedding_scale", 12);
  set("residual_scale", 0.22F);
  set("logit_scale", 8);
  set("attention.scale", 0.015625F);
  auto hp = ReadAs("granite", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->embedding_scale, 12.0F);
  EXPECT_EQ(hp->residual_scale, 0.22F);
  EXPECT_EQ(hp->logit_scale, 0.125F);
  EXPECT_EQ(hp->attention_scale, 0.015625F);
  EXPECT_FALSE(hp->rope.neox);

  set("residual_scale", 0);  // none
  hp = ReadAs("granite", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->residual_scale, 1.0F);

  set("logit_scale", 0);
  EXPECT_THAT(ReadAs("granite", catalogue).error().message, HasSubstr("granite.logit_scale"));
  set("logit_scale", 8);
  catalogue.metadata.SetBool("granite.rope.scaling.finetuned", false);
  EXPECT_THAT(ReadAs("granite", catalogue).error().message, HasSubstr("rope.scaling.finetuned"));
}

formats::Catalogue SmallWithSharedExperts(const std::string& name) {
  auto catalogue = SmallModel(name);
  const auto set = [&](const char* key, uint32_t value) {
    catalogue.metadata.SetU32(name + "." + key, value);
  };
  set("leading_dense_block_count", 1);
  set("expert_count", 8);
  set("expert_used_count", 2);
  set("expert_feed_forward_length", 40);
  set("expert_shared_count", 3);
  return catalogue;
}

TEST(Dots1AndGlm4Moe, HaveDenseLayersFirstAndScoreBySigmoidUnlessTheFileSaysOtherwise) {
  for (const std::string name : {"dots1", "glm4moe"}) {
    auto catalogue = SmallWithSharedExperts(name);
    auto hp = ReadAs(name, catalogue);
    ASSERT_TRUE(hp) << hp.error().message;
    EXPECT_TRUE(hp->rope.neox);
    EXPECT_FALSE(hp->layers[0].is_moe());
    EXPECT_EQ(hp->layers[0].shared_ff_dim, 0U);
    EXPECT_EQ(hp->layers[1].n_experts, 8U);
    EXPECT_EQ(hp->layers[1].shared_ff_dim, 120U);
    EXPECT_EQ(hp->router.score, RouterScore::kSigmoid);
    EXPECT_FALSE(hp->router.normalize);
    catalogue.metadata.SetU32(name + ".expert_gating_func", 1);
    hp = ReadAs(name, catalogue);
    ASSERT_TRUE(hp);
    EXPECT_EQ(hp->router.score, RouterScore::kSoftmax);
  }
}

TEST(PredictionLayers, AreLeftOut) {
  for (const std::string name : {"glm4moe", "dots1", "minimax-m2"}) {
    auto catalogue = SmallWithSharedExperts(name);
    catalogue.metadata.SetU32(name + ".nextn_predict_layers", 1);
    const auto hp = ReadAs(name, catalogue);
    ASSERT_TRUE(hp) << hp.error().message;
    EXPECT_EQ(hp->n_layers, 1U);
    EXPECT_EQ(hp->layers.size(), 1U);
  }
}

// The keys that each of them has beside the common ones, with numbers that make no model.
TEST(Architectures, RefuseKeysThatMakeNoSense) {
  const struct {
    const char* architecture;
    const char* key;
    float value;
  } floats[] = {
      {"granite", "embedding_scale", -1},
      {"granite", "residual_scale", -0.5F},
      {"granite", "logit_scale", 0},
      {"granite", "attention.scale", -1},
      {"granitemoe", "embedding_scale", 1e7F},
      {"granitemoe", "logit_scale", -6},
      {"dots1", "expert_weights_scale", 1e7F},
      {"minimax-m2", "rope.freq_base", 0},
      {"glm4moe", "expert_weights_scale", -1e7F},
      {"gemma3", "rope.freq_base_swa", 0.5F},
      {"gemma3", "final_logit_softcapping", -30},
      {"mistral3", "attention.temperature_scale", -1},
      {"mistral3", "rope.scaling.yarn_log_multiplier", -1},
      {"phi3", "rope.scaling.attn_factor", -1},
  };
  const struct {
    const char* architecture;
    const char* key;
    uint32_t value;
  } integers[] = {
      {"granite", "block_count", 0},
      {"granitemoe", "expert_used_count", 9},
      {"granitemoe", "expert_shared_feed_forward_length", 1U << 25},
      {"dots1", "leading_dense_block_count", 4097},
      {"dots1", "expert_shared_count", 65536 * 2},
      {"dots1", "nextn_predict_layers", 2},
      {"minimax-m2", "expert_gating_func", 3},
      {"minimax-m2", "nextn_predict_layers", 2},
      {"glm4moe", "expert_group_count", 9},
      {"glm4moe", "nextn_predict_layers", 3},
      {"gemma3", "attention.sliding_window_pattern", 0},
      {"mistral3", "rope.scaling.original_context_length", 0},
      {"phi3", "rope.dimension_count", 15},
      {"phi3", "expert_count", 8},
  };
  const auto small = [](const std::string& name) {
    const bool is_moe = name.ends_with("moe") || name == "dots1" || name == "minimax-m2";
    return is_moe ? SmallWithSharedExperts(name) : SmallModel(name);
  };
  const auto expect_refused = [](const std::string& name, const formats::Catalogue& catalogue,
                                 std::string_view key) {
    const auto hp = ReadAs(name, catalogue);
    ASSERT_FALSE(hp) << name << " " << key;
    EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(hp.error().message, HasSubstr(std::string(key)));
  };
  for (const auto& c : floats) {
    auto catalogue = small(c.architecture);
    ASSERT_TRUE(ReadAs(c.architecture, catalogue)) << c.architecture;
    catalogue.metadata.SetF32(std::string(c.architecture) + "." + c.key, c.value);
    expect_refused(c.architecture, catalogue, c.key);
  }
  for (const auto& c : integers) {
    auto catalogue = small(c.architecture);
    catalogue.metadata.SetU32(std::string(c.architecture) + ".expert_used_count", 2);
    catalogue.metadata.SetU32(std::string(c.architecture) + "." + c.key, c.value);
    expect_refused(c.architecture, catalogue, c.key);
  }
}

TEST(MinimaxM2, RenormalisesSigmoidScores) {
  auto catalogue = SmallModel("minimax-m2");
  catalogue.metadata.SetU32("minimax-m2.expert_count", 8);
  catalogue.metadata.SetU32("minimax-m2.expert_used_count", 2);
  const auto hp = ReadAs("minimax-m2", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_TRUE(hp->rope.neox);
  EXPECT_TRUE(hp->router.normalize);
  EXPECT_EQ(hp->router.score, RouterScore::kSigmoid);
}

TEST(Gemma3, EverySixthLayerHasNoWindowAndTurnsByAnotherBase) {
  auto catalogue = SmallModel("gemma3");
  catalogue.metadata.SetU32("gemma3.block_count", 7);
  catalogue.metadata.SetU32("gemma3.attention.sliding_window", 16);
  catalogue.metadata.SetF32("gemma3.rope.freq_base", 1e6F);
  catalogue.metadata.SetString("gemma3.rope.scaling.type", "linear");
  catalogue.metadata.SetF32("gemma3.rope.scaling.factor", 8);
  auto hp = ReadAs("gemma3", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->embedding_scale, 8.0F);
  EXPECT_EQ(hp->activation, Activation::kGelu);
  EXPECT_EQ(hp->rope.theta, 1e6);
  EXPECT_EQ(hp->rope.factor, 8);
  EXPECT_EQ(hp->window_rope->theta, 1e4);
  EXPECT_EQ(hp->window_rope->scaling, RopeScaling::kNone);
  for (uint32_t i = 0; i < 7; ++i) {
    EXPECT_EQ(hp->layers[i].window, i == 5 ? 0U : 16U) << i;
    EXPECT_EQ(hp->has_window_rope(i), i != 5) << i;
  }
  EXPECT_EQ(hp->attention_scale, 0.0F);

  catalogue.metadata.SetU32("gemma3.attention.key_length", 32);
  catalogue.metadata.SetU32("gemma3.block_count", 62);  // of 27B, by width / heads
  hp = ReadAs("gemma3", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->attention_scale, 0.25F);

  catalogue.metadata.SetF32("gemma3.final_logit_softcapping", 30);
  hp = ReadAs("gemma3", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->logit_cap, 30.0F);
  catalogue.metadata.SetF32("gemma3.final_logit_softcapping", -1);
  EXPECT_THAT(ReadAs("gemma3", catalogue).error().message, HasSubstr("final_logit_softcapping"));
}

formats::Value PerLayer(std::vector<int64_t> values) {
  return {formats::ValueType::kArray, formats::Array{formats::ValueType::kU32, std::move(values)}};
}

formats::Value WindowOf(std::vector<bool> values) {
  return {formats::ValueType::kArray, formats::Array{formats::ValueType::kBool, std::move(values)}};
}

// E2B's shape in small: six layers, of which every third has no window; the last two share.
formats::Catalogue SmallGemma4() {
  auto catalogue = SmallModel("gemma4");
  const auto set = [&](const char* key, uint32_t value) {
    catalogue.metadata.SetU32(std::string("gemma4.") + key, value);
  };
  set("block_count", 6);
  set("attention.key_length", 32);
  set("attention.value_length", 32);
  set("attention.key_length_swa", 16);
  set("attention.value_length_swa", 16);
  set("attention.sliding_window", 24);
  set("attention.shared_kv_layers", 2);
  set("embedding_length_per_layer_input", 8);
  set("rope.dimension_count", 32);
  catalogue.metadata.Set("gemma4.attention.sliding_window_pattern",
                         WindowOf({true, true, false, true, true, false}));
  catalogue.metadata.Set("gemma4.attention.head_count_kv", PerLayer({2, 2, 1, 2, 2, 1}));
  catalogue.metadata.SetF32("gemma4.final_logit_softcapping", 30);
  return catalogue;
}

TEST(Gemma4, LayersAreOfTwoKindsAndTheLastOnesShare) {
  const auto hp = ReadAs("gemma4", SmallGemma4());
  ASSERT_TRUE(hp) << hp.error().message;
  for (uint32_t i = 0; i < 6; ++i) {
    const LayerParams& layer = hp->layers[i];
    const bool sees_all = i % 3 == 2;
    EXPECT_EQ(layer.window, sees_all ? 0U : 24U) << i;
    EXPECT_EQ(layer.head_dim_k, sees_all ? 32U : 16U) << i;
    EXPECT_EQ(layer.head_dim_v, sees_all ? 32U : 16U) << i;
    EXPECT_EQ(layer.n_kv_heads, sees_all ? 1U : 2U) << i;
    EXPECT_TRUE(layer.has_unit_values);
  }
  EXPECT_FALSE(hp->layers[3].kv_of);
  EXPECT_EQ(hp->layers[4].kv_of, 3U);
  EXPECT_EQ(hp->layers[5].kv_of, 2U);
  EXPECT_EQ(hp->rope.n_dims, 32U);
  EXPECT_TRUE(hp->rope.has_factors);
  EXPECT_EQ(hp->window_rope->n_dims, 16U);
  EXPECT_EQ(hp->attention_scale, 1.0F);
  EXPECT_EQ(hp->embedding_scale, 8.0F);
  EXPECT_EQ(hp->logit_cap, 30.0F);
  EXPECT_EQ(hp->layer_input_dim, 8U);
}

TEST(Gemma4, ExpertsStandBesideADenseFeedForward) {
  auto catalogue = SmallGemma4();
  catalogue.metadata.SetU32("gemma4.expert_count", 8);
  catalogue.metadata.SetU32("gemma4.expert_used_count", 2);
  catalogue.metadata.SetU32("gemma4.expert_feed_forward_length", 40);
  const auto hp = ReadAs("gemma4", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_TRUE(hp->layers[0].shared_is_beside);
  EXPECT_EQ(hp->layers[0].shared_ff_dim, 96U);
  EXPECT_EQ(hp->layers[0].expert_ff_dim, 40U);
  EXPECT_TRUE(hp->router.normalize);
  EXPECT_EQ(hp->router.logit_scale, 0.125F);
}

TEST(Gemma4, RefusesWhatMakesNoSense) {
  const struct {
    const char* key;
    uint32_t value;
  } cases[] = {{"attention.sliding_window", 0},   {"attention.key_length_swa", 0},
               {"attention.value_length_swa", 0}, {"attention.shared_kv_layers", 6},
               {"attention.shared_kv_layers", 4}, {"rope.dimension_count_swa", 15},
               {"rope.dimension_count_swa", 18},  {"embedding_length_per_layer_input", 1U << 25}};
  for (const auto& c : cases) {
    auto catalogue = SmallGemma4();
    catalogue.metadata.SetU32(std::string("gemma4.") + c.key, c.value);
    const auto hp = ReadAs("gemma4", catalogue);
    ASSERT_FALSE(hp) << c.key << " " << c.value;
    EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(hp.error().message, HasSubstr(c.key));
  }
  auto catalogue = SmallGemma4();
  catalogue.metadata.Set("gemma4.attention.sliding_window_pattern", WindowOf({true, false}));
  EXPECT_THAT(ReadAs("gemma4", catalogue).error().message, HasSubstr("sliding_window_pattern"));
}

TEST(Mistral3, QueriesGrowAndTheMultiplierTakesBackYarnsLength) {
  auto catalogue = SmallModel("mistral3");
  const auto set = [&](const char* key, float value) {
    catalogue.metadata.SetF32(std::string("mistral3.") + key, value);
  };
  catalogue.metadata.SetString("mistral3.rope.scaling.type", "yarn");
  catalogue.metadata.SetU32("mistral3.rope.scaling.original_context_length", 64);
  set("rope.scaling.factor", 16);
  set("rope.scaling.yarn_log_multiplier", 1);
  set("attention.temperature_scale", 0.5F);
  auto hp = ReadAs("mistral3", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_EQ(hp->temperature.scale, 0.5);
  EXPECT_EQ(hp->temperature.length, 64U);
  EXPECT_NEAR(hp->rope.attention_factor, 1 / (1 + 0.1 * std::log(16.0)), 1e-12);
  EXPECT_FALSE(hp->rope.neox);
  set("rope.scaling.yarn_log_multiplier", 0);
  hp = ReadAs("mistral3", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->rope.attention_factor, 1.0);
}

TEST(Phi3, HasLongRopeUnlessTheFileNamesAnotherScaling) {
  auto catalogue = SmallModel("phi3");
  catalogue.metadata.SetF32("phi3.rope.scaling.attn_factor", 1.25F);
  auto hp = ReadAs("phi3", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_TRUE(hp->rope.neox);
  EXPECT_EQ(hp->rope.scaling, RopeScaling::kLongRope);
  EXPECT_EQ(hp->rope.attention_factor, 1.25);
  catalogue.metadata.SetString("phi3.rope.scaling.type", "yarn");
  hp = ReadAs("phi3", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_EQ(hp->rope.scaling, RopeScaling::kYarn);
  catalogue.metadata.SetU32("phi3.expert_count", 8);
  catalogue.metadata.SetU32("phi3.expert_used_count", 2);
  EXPECT_THAT(ReadAs("phi3", catalogue).error().message, HasSubstr("expert_count"));
}

formats::Catalogue SmallLlama4() {
  auto catalogue = SmallModel("llama4");
  const auto set = [&](const char* key, uint32_t value) {
    catalogue.metadata.SetU32(std::string("llama4.") + key, value);
  };
  set("block_count", 8);
  set("expert_count", 16);
  set("expert_used_count", 1);
  set("expert_feed_forward_length", 40);
  set("interleave_moe_layer_step", 2);
  return catalogue;
}

TEST(Llama4, EveryFourthLayerSeesEverythingAndEverySecondHasExperts) {
  auto catalogue = SmallLlama4();
  auto hp = ReadAs("llama4", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  for (uint32_t i = 0; i < 8; ++i) {
    const LayerParams& layer = hp->layers[i];
    const bool sees_all = i == 3 || i == 7;
    EXPECT_EQ(layer.chunk, sees_all ? 0U : 8192U) << i;
    EXPECT_EQ(layer.has_rope, !sees_all) << i;
    EXPECT_EQ(layer.has_unit_heads, !sees_all) << i;
    EXPECT_EQ(layer.lengthens_queries, sees_all) << i;
    EXPECT_EQ(layer.n_experts, i % 2 == 1 ? 16U : 1U) << i;
    EXPECT_EQ(layer.expert_ff_dim, i % 2 == 1 ? 40U : 96U) << i;
    EXPECT_EQ(layer.shared_ff_dim, i % 2 == 1 ? 40U : 0U) << i;
  }
  EXPECT_TRUE(hp->router.weighs_input);
  EXPECT_EQ(hp->router.score, RouterScore::kSigmoid);
  EXPECT_EQ(hp->temperature.scale, 0.1);
  EXPECT_EQ(hp->temperature.length, 8192U);

  catalogue.metadata.SetU32("llama4.expert_count", 128);  // Maverick
  hp = ReadAs("llama4", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_FALSE(hp->layers[0].has_unit_heads);
  catalogue.metadata.SetBool("llama4.use_qk_norm", true);
  catalogue.metadata.SetU32("llama4.attention.chunk_size", 64);
  hp = ReadAs("llama4", catalogue);
  ASSERT_TRUE(hp);
  EXPECT_TRUE(hp->layers[0].has_unit_heads);
  EXPECT_EQ(hp->layers[0].chunk, 64U);
}

TEST(LayerParams, AWindowMovesWithThePositionAndAChunkDoesNot) {
  LayerParams layer;
  EXPECT_EQ(layer.FirstSeen(100), 0U);
  EXPECT_FALSE(layer.ForgetsWithin(1000));
  layer.window = 16;
  EXPECT_EQ(layer.FirstSeen(15), 0U);
  EXPECT_EQ(layer.FirstSeen(100), 85U);
  EXPECT_FALSE(layer.ForgetsWithin(16));
  EXPECT_TRUE(layer.ForgetsWithin(17));
  layer.window = 0;
  layer.chunk = 16;
  EXPECT_EQ(layer.FirstSeen(15), 0U);
  EXPECT_EQ(layer.FirstSeen(16), 16U);
  EXPECT_EQ(layer.FirstSeen(31), 16U);
  EXPECT_TRUE(layer.ForgetsWithin(17));
}

TEST(Llama4, RefusesWhatMakesNoSense) {
  const struct {
    const char* key;
    uint32_t value;
  } cases[] = {{"expert_count", 0},
               {"interleave_moe_layer_step", 0},
               {"interleave_moe_layer_step", 9},
               {"attention.sliding_window", 0},
               {"attention.sliding_window_pattern", 6},
               {"attention.chunk_size", 0},
               {"attention.temperature_length", 0}};
  for (const auto& c : cases) {
    auto catalogue = SmallLlama4();
    catalogue.metadata.SetU32(std::string("llama4.") + c.key, c.value);
    const auto hp = ReadAs("llama4", catalogue);
    ASSERT_FALSE(hp) << c.key << " " << c.value;
    EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(hp.error().message, HasSubstr(c.key));
  }
}

formats::Catalogue SmallHybrid(const std::string& name) {
  auto catalogue = SmallModel(name);
  const auto set = [&](const char* key, uint32_t value) {
    catalogue.metadata.SetU32(name + "." + key, value);
  };
  set("block_count", 9);
  set("nextn_predict_layers", 1);
  set("ssm.conv_kernel", 4);
  set("ssm.state_size", 32);
  set("ssm.group_count", 2);
  set("ssm.time_step_rank", 4);
  set("ssm.inner_size", 128);
  set("expert_count", 8);
  set("expert_used_count", 2);
  set("expert_feed_forward_length", 40);
  set("expert_shared_feed_forward_length", 24);
  return catalogue;
}

TEST(Hybrids, EveryFourthLayerHasGatedAttentionAndTheOthersAreRecurrent) {
  for (const std::string name : {"qwen3next", "qwen35moe"}) {
    auto catalogue = SmallHybrid(name);
    auto hp = ReadAs(name, catalogue);
    ASSERT_TRUE(hp) << hp.error().message;
    EXPECT_TRUE(hp->rope.neox);
    EXPECT_TRUE(hp->router.normalize);
    ASSERT_EQ(hp->layers.size(), 8U);  // without the one that predicts further tokens
    for (uint32_t i = 0; i < 8; ++i) {
      const LayerParams& layer = hp->layers[i];
      EXPECT_EQ(layer.recurrent, i % 4 != 3) << i;
      EXPECT_EQ(layer.gated, i % 4 == 3) << i;
      EXPECT_EQ(layer.n_kv_heads, i % 4 == 3 ? 2U : 0U) << i;
      EXPECT_EQ(layer.q_row(), i % 4 == 3 ? 2 * 64U : 0U) << i;
      EXPECT_EQ(layer.shared_ff_dim, 24U);
    }
    EXPECT_EQ(hp->delta.conv_dim(), 2U * 64 + 128);
    // The second of two key heads has the last two of four value heads, or every other one.
    EXPECT_EQ(hp->delta.k_head_of(1), name == "qwen3next" ? 0U : 1U);
    EXPECT_EQ(hp->delta.k_head_of(2), name == "qwen3next" ? 1U : 0U);

    catalogue.metadata.SetU32(name + ".full_attention_interval", 2);
    hp = ReadAs(name, catalogue);
    ASSERT_TRUE(hp);
    EXPECT_TRUE(hp->layers[0].recurrent);
    EXPECT_FALSE(hp->layers[1].recurrent);
  }
}

TEST(Hybrids, RefuseWhatMakesNoSense) {
  const struct {
    const char* key;
    uint32_t value;
  } cases[] = {{"ssm.conv_kernel", 1},
               {"ssm.conv_kernel", 17},
               {"ssm.state_size", 40},
               {"ssm.state_size", 0},
               {"ssm.group_count", 3},
               {"ssm.group_count", 0},
               {"ssm.time_step_rank", 65537},
               {"ssm.inner_size", 64},
               {"full_attention_interval", 0},
               {"expert_shared_feed_forward_length", 0},
               {"expert_count", 0}};
  for (const std::string name : {"qwen3next", "qwen35moe"}) {
    for (const auto& c : cases) {
      auto catalogue = SmallHybrid(name);
      catalogue.metadata.SetU32(name + "." + c.key, c.value);
      const auto hp = ReadAs(name, catalogue);
      ASSERT_FALSE(hp) << c.key << " " << c.value;
      EXPECT_EQ(hp.error().kind, ErrorKind::kBadModel);
      EXPECT_THAT(hp.error().message, HasSubstr(name + "." + c.key));
    }
  }
}

TEST(Qwen35, IsDenseAndItsFilesMayLeaveOutAWidthThatItDoesNotHave) {
  auto catalogue = SmallHybrid("qwen35");
  catalogue.metadata.SetU32("qwen35.expert_count", 0);
  const auto hp = ReadAs("qwen35", catalogue);
  ASSERT_TRUE(hp) << hp.error().message;
  EXPECT_FALSE(hp->layers[0].is_moe());
  EXPECT_EQ(hp->layers[0].expert_ff_dim, 96U);
}

}  // namespace
}  // namespace plimsoll::model
