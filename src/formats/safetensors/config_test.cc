#include "formats/safetensors/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/safetensors/test_files.h"

namespace plimsoll::formats::safetensors {
namespace {

using testing::HasSubstr;

Result<Config> Read(std::string_view json) {
  return ReadConfig(*InMemory("config.json", json), "a-model");
}

constexpr std::string_view kWindow = R"("sliding_window":16)";

// A model of that type with the least that a config says, and `more`.
std::string Json(std::string_view model_type, std::string_view more = "") {
  return fmt::format(
      R"({{"model_type":"{}","num_hidden_layers":4,"hidden_size":64,"intermediate_size":128,)"
      R"("num_attention_heads":8{}{}}})",
      model_type, more.empty() ? "" : ",", more);
}

Metadata MetadataOf(std::string_view json) {
  auto config = Read(json);
  EXPECT_TRUE(config) << config.error().message;
  return config ? config->metadata : Metadata();
}

void ExpectRefused(std::string_view json, std::string_view part) {
  const auto config = Read(json);
  ASSERT_FALSE(config) << json;
  EXPECT_EQ(config.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(config.error().message, HasSubstr("config.json: "));
  EXPECT_THAT(config.error().message, HasSubstr(std::string(part)));
}

TEST(SafetensorsConfigTest, ModelTypesAreArchitectures) {
  for (const auto& [type, architecture] : {std::pair{"llama", "llama"},
                                           {"mistral", "llama"},
                                           {"mixtral", "llama"},
                                           {"qwen2", "qwen2"},
                                           {"qwen2_moe", "qwen2moe"},
                                           {"qwen3", "qwen3"},
                                           {"qwen3_moe", "qwen3moe"},
                                           {"olmoe", "olmoe"},
                                           {"granite", "granite"},
                                           {"phi3", "phi3"},
                                           {"dots1", "dots1"},
                                           {"glm4_moe", "glm4moe"},
                                           {"minimax_m2", "minimax-m2"},
                                           {"granitemoe", "granitemoe"},
                                           {"granitemoeshared", "granitemoe"},
                                           {"gemma4_text", "gemma4"}}) {
    const Metadata m = MetadataOf(Json(type, kWindow));
    EXPECT_EQ(*m.String("general.architecture"), architecture);
    EXPECT_EQ(*m.U32(std::string(architecture) + ".block_count"), 4U);
  }
  ExpectRefused(Json("gpt2"), "\"gpt2\" is not supported; supported are llama, mistral, mixtral");
  ExpectRefused("{}", "key 'model_type'");
  ExpectRefused(R"({"model_type":1})", "key 'model_type': expected a string");
}

TEST(SafetensorsConfigTest, Dimensions) {
  const Metadata m = MetadataOf(
      Json("qwen3", R"("vocab_size":1000,"max_position_embeddings":4096,"num_key_value_heads":2,)"
                    R"("head_dim":16,"rms_norm_eps":1e-5,"rope_theta":1000000)"));
  EXPECT_EQ(*m.String("general.name"), "a-model");
  EXPECT_EQ(*m.U32("qwen3.embedding_length"), 64U);
  EXPECT_EQ(*m.U32("qwen3.feed_forward_length"), 128U);
  EXPECT_EQ(*m.U32("qwen3.attention.head_count"), 8U);
  EXPECT_EQ(*m.U32("qwen3.attention.head_count_kv"), 2U);
  EXPECT_EQ(*m.U32("qwen3.attention.key_length"), 16U);
  EXPECT_EQ(*m.U32("qwen3.attention.value_length"), 16U);
  EXPECT_EQ(*m.U32("qwen3.rope.dimension_count"), 16U);
  EXPECT_EQ(*m.U32("qwen3.vocab_size"), 1000U);
  EXPECT_EQ(*m.U32("qwen3.context_length"), 4096U);
  EXPECT_EQ(*m.F32("qwen3.attention.layer_norm_rms_epsilon"), 1e-5F);
  EXPECT_EQ(*m.F32("qwen3.rope.freq_base"), 1e6F);
}

TEST(SafetensorsConfigTest, WhatIsLeftOutComesFromTheModelType) {
  const Metadata llama = MetadataOf(Json("llama", R"("head_dim":null)"));
  EXPECT_EQ(*llama.F32("llama.attention.layer_norm_rms_epsilon"), 1e-6F);
  EXPECT_EQ(*llama.F32("llama.rope.freq_base"), 10'000.F);
  EXPECT_EQ(*llama.U32("llama.rope.dimension_count"), 8U);
  EXPECT_FALSE(llama.Has("llama.attention.head_count_kv"));
  EXPECT_FALSE(llama.Has("llama.expert_count"));
  const Metadata mixtral = MetadataOf(Json("mixtral"));
  EXPECT_EQ(*mixtral.F32("llama.attention.layer_norm_rms_epsilon"), 1e-5F);
  EXPECT_EQ(*mixtral.F32("llama.rope.freq_base"), 1e6F);
}

TEST(SafetensorsConfigTest, Experts) {
  const Metadata m = MetadataOf(
      Json("qwen2_moe", R"("num_experts":60,"num_experts_per_tok":4,"moe_intermediate_size":32,)"
                        R"("shared_expert_intermediate_size":96,"norm_topk_prob":false)"));
  EXPECT_EQ(*m.U32("qwen2moe.expert_count"), 60U);
  EXPECT_EQ(*m.U32("qwen2moe.expert_used_count"), 4U);
  EXPECT_EQ(*m.U32("qwen2moe.expert_feed_forward_length"), 32U);
  EXPECT_EQ(*m.U32("qwen2moe.expert_shared_feed_forward_length"), 96U);
  EXPECT_FALSE(*m.BoolOr("qwen2moe.expert_weights_norm", true));
  const Metadata mixtral =
      MetadataOf(Json("mixtral", R"("num_local_experts":8,"num_experts_per_tok":2)"));
  EXPECT_EQ(*mixtral.U32("llama.expert_count"), 8U);
  EXPECT_TRUE(*mixtral.BoolOr("llama.expert_weights_norm", false));
  ExpectRefused(Json("olmoe", R"("num_experts":64)"), "key 'num_experts_per_tok': it is missing");
  ExpectRefused(Json("qwen3_moe", R"("decoder_sparse_step":2)"), "key 'decoder_sparse_step'");
  ExpectRefused(Json("qwen3_moe", R"("mlp_only_layers":[0])"), "key 'mlp_only_layers'");
  MetadataOf(Json("qwen3_moe", R"("decoder_sparse_step":1,"mlp_only_layers":[])"));
}

TEST(SafetensorsConfigTest, ExpertsInDeepseeksWords) {
  const Metadata m = MetadataOf(
      Json("dots1", R"("n_routed_experts":16,"num_experts_per_tok":6,"moe_intermediate_size":32,)"
                    R"("n_shared_experts":2,"first_k_dense_replace":1,"norm_topk_prob":true,)"
                    R"("routed_scaling_factor":2.5)"));
  EXPECT_EQ(*m.U32("dots1.expert_count"), 16U);
  EXPECT_EQ(*m.U32("dots1.expert_shared_count"), 2U);
  EXPECT_EQ(*m.U32("dots1.leading_dense_block_count"), 1U);
  EXPECT_EQ(*m.F32("dots1.expert_weights_scale"), 2.5F);
  EXPECT_TRUE(*m.BoolOr("dots1.expert_weights_norm", false));
}

TEST(SafetensorsConfigTest, Scales) {
  const Metadata m =
      MetadataOf(Json("granite", R"("embedding_multiplier":12,"residual_multiplier":0.22,)"
                                 R"("attention_multiplier":0.015625,"logits_scaling":8)"));
  EXPECT_EQ(*m.F32("granite.embedding_scale"), 12.F);
  EXPECT_EQ(*m.F32("granite.residual_scale"), 0.22F);
  EXPECT_EQ(*m.F32("granite.attention.scale"), 0.015625F);
  EXPECT_EQ(*m.F32("granite.logit_scale"), 8.F);
}

TEST(SafetensorsConfigTest, RopeScaling) {
  const Metadata linear =
      MetadataOf(Json("llama", R"("rope_scaling":{"type":"linear","factor":2.0})"));
  EXPECT_EQ(*linear.String("llama.rope.scaling.type"), "linear");
  EXPECT_EQ(*linear.F32("llama.rope.scaling.factor"), 2.F);
  const Metadata dynamic =
      MetadataOf(Json("llama", R"("rope_scaling":{"rope_type":"dynamic","factor":4})"));
  EXPECT_EQ(*dynamic.String("llama.rope.scaling.type"), "dynamic");
  const Metadata yarn = MetadataOf(
      Json("qwen3", R"("rope_scaling":{"type":"yarn","factor":4.0,"attention_factor":1.0,)"
                    R"("beta_fast":32,"beta_slow":1,"original_max_position_embeddings":32768})"));
  EXPECT_EQ(*yarn.String("qwen3.rope.scaling.type"), "yarn");
  EXPECT_NEAR(*yarn.F32("qwen3.rope.scaling.attn_factor"), 1 / (1 + 0.1 * std::log(4.0)), 1e-6);
  EXPECT_EQ(*yarn.F32("qwen3.rope.scaling.yarn_beta_fast"), 32.F);
  const Metadata parameters = MetadataOf(
      Json("llama", R"("rope_parameters":{"rope_type":"default","rope_theta":500000.0})"));
  EXPECT_EQ(*parameters.F32("llama.rope.freq_base"), 500'000.F);
  EXPECT_FALSE(parameters.Has("llama.rope.scaling.type"));
  ExpectRefused(Json("llama", R"("rope_scaling":{"type":"cubic"})"),
                "\"cubic\" is not supported; supported are default, linear, dynamic, yarn");
  ExpectRefused(Json("llama", R"("head_dim":100000)"), "key 'head_dim': it makes heads of 100000");
  ExpectRefused(Json("llama", R"("rope_scaling":[1])"), "key 'rope_scaling': expected an object");
  ExpectRefused(Json("llama", R"("partial_rotary_factor":0)"), "key 'partial_rotary_factor'");
}

TEST(SafetensorsConfigTest, DivisorsOfFrequenciesAreTensors) {
  const auto llama3 =
      Read(Json("llama", R"("head_dim":16,"rope_scaling":{"rope_type":"llama3","factor":8.0,)"
                         R"("low_freq_factor":1.0,"high_freq_factor":4.0,)"
                         R"("original_max_position_embeddings":64})"));
  ASSERT_TRUE(llama3) << llama3.error().message;
  EXPECT_FALSE(llama3->metadata.Has("llama.rope.scaling.type"));
  ASSERT_EQ(llama3->tensors.size(), 1U);
  EXPECT_EQ(llama3->tensors[0].name, "rope_freqs.weight");
  ASSERT_EQ(llama3->tensors[0].values.size(), 8U);
  EXPECT_EQ(llama3->tensors[0].values.front(), 1.F);  // 6 positions a turn
  EXPECT_GT(llama3->tensors[0].values[1], 1.F);       // 20: between a fourth of 64 and 64
  EXPECT_LT(llama3->tensors[0].values[1], 8.F);
  EXPECT_EQ(llama3->tensors[0].values.back(), 8.F);

  const std::string scaling =
      R"("max_position_embeddings":4096,"original_max_position_embeddings":64,)"
      R"("rope_scaling":{"type":"longrope","long_factor":[1,2,3,4],"short_factor":[1,1,1,)";
  const auto phi3 = Read(Json("phi3", scaling + "1.5]}"));
  ASSERT_TRUE(phi3) << phi3.error().message;
  ASSERT_EQ(phi3->tensors.size(), 2U);
  EXPECT_EQ(phi3->tensors[0].name, "rope_factors_long.weight");
  EXPECT_THAT(phi3->tensors[0].values, testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(phi3->tensors[1].values.back(), 1.5F);
  EXPECT_EQ(*phi3->metadata.U32("phi3.rope.scaling.original_context_length"), 64U);
  EXPECT_NEAR(*phi3->metadata.F32("phi3.rope.scaling.attn_factor"), std::sqrt(2.0), 1e-6);
  ExpectRefused(Json("phi3", scaling + "1,1]}"),
                "key 'short_factor': expected a list of 4 numbers, one for each rotated pair");
}

TEST(SafetensorsConfigTest, TheLanguageModelsPartComesFirst) {
  const Metadata m =
      MetadataOf(R"({"model_type":"gemma3","eos_token_id":[1,106],"hidden_size":1,"text_config":{)"
                 R"("model_type":"gemma3_text","num_hidden_layers":6,"hidden_size":64,)"
                 R"("intermediate_size":128,"sliding_window":32}})");
  EXPECT_EQ(*m.String("general.architecture"), "gemma3");
  EXPECT_EQ(*m.U32("gemma3.embedding_length"), 64U);
  EXPECT_EQ(*m.U32("gemma3.attention.head_count"), 8U);
  EXPECT_EQ(*m.U32("gemma3.attention.key_length"), 256U);
  EXPECT_EQ(*m.F32("gemma3.rope.freq_base_swa"), 10'000.F);
  EXPECT_FALSE(m.Has("gemma3.attention.sliding_window_pattern"));
  EXPECT_EQ(*m.U32("tokenizer.ggml.eos_token_id"), 1U);
  ExpectRefused(R"({"model_type":"gemma3","text_config":{"model_type":"gemma9"}})",
                "text_config: key 'model_type': \"gemma9\" is not supported");
  ExpectRefused(R"({"model_type":"gemma3","text_config":1})", "key 'text_config'");
}

TEST(SafetensorsConfigTest, WhatGgufCannotSayIsRefused) {
  const auto layers = [](std::string_view kinds) {
    return fmt::format(R"({},"layer_types":[{}])", kWindow, kinds);
  };
  ExpectRefused(
      Json("gemma3_text", layers(R"("sliding_attention","full_attention","full_attention")")),
      "key 'layer_types': layer 2 breaks the pattern");
  ExpectRefused(Json("gemma3_text", R"("query_pre_attn_scalar":100)"),
                "key 'query_pre_attn_scalar'");
  ExpectRefused(Json("gemma4_text", layers(R"("full_attention")")),
                "key 'layer_types': 1 kinds for 4 layers");
  ExpectRefused(Json("gpt_oss", layers(R"("full_attention")")), "key 'layer_types': layer 0");
  ExpectRefused(Json("gpt_oss"), "key 'sliding_window': it is missing");
  ExpectRefused(Json("llama4_text"), "key 'intermediate_size_mlp': it is missing");
  ExpectRefused(Json("llama4_text", R"("intermediate_size_mlp":8,"no_rope_layers":[1,1,1,1])"),
                "key 'no_rope_layers': layer 3 is not");
  ExpectRefused(Json("llama4_text", R"("intermediate_size_mlp":8,"moe_layers":[0],)"
                                    R"("interleave_moe_layer_step":2)"),
                "key 'moe_layers'");
  ExpectRefused(Json("ministral3"), "key 'rope_parameters': it is missing");
  ExpectRefused(Json("minimax_m2", R"("scoring_func":"softmax")"), "key 'scoring_func'");
  ExpectRefused(Json("qwen3_next"), "key 'linear_conv_kernel_dim': it is missing");
  const std::string_view delta =
      R"("linear_conv_kernel_dim":4,"linear_key_head_dim":32,"linear_num_key_heads":2,)"
      R"("linear_num_value_heads":4,"linear_value_head_dim":)";
  ExpectRefused(Json("qwen3_next", fmt::format("{}64", delta)), "key 'linear_value_head_dim'");
  ExpectRefused(Json("qwen3_next", fmt::format(R"({}32,"full_attention_interval":0)", delta)),
                "key 'full_attention_interval': it is 0");
  ExpectRefused(Json("qwen3_next", fmt::format(R"({}32,"layer_types":["full_attention"])", delta)),
                "key 'layer_types': layer 0");
  ExpectRefused(Json("llama", R"("quantization_config":{"quant_method":"fp8",)"
                              R"("weight_block_size":[128,0]})"),
                "key 'weight_block_size': expected two numbers above 0");
}

TEST(SafetensorsConfigTest, SlidingWindows) {
  EXPECT_EQ(*MetadataOf(Json("mistral", R"("sliding_window":4096)"))
                 .U32("llama.attention.sliding_window"),
            4096U);
  for (const auto& [type, more] :
       {std::pair{"mistral", R"("sliding_window":null)"},
        {"qwen2", R"("sliding_window":4096)"},
        {"qwen2", R"("sliding_window":4096,"use_sliding_window":false)"},
        {"qwen2", R"("sliding_window":4096,"use_sliding_window":true,"max_window_layers":4)"},
        {"mistral", R"("sliding_window":4096,"layer_types":["full_attention"])"}}) {
    const Metadata m = MetadataOf(Json(type, more));
    EXPECT_FALSE(m.Has("qwen2.attention.sliding_window")) << more;
    EXPECT_FALSE(m.Has("llama.attention.sliding_window")) << more;
  }
  ExpectRefused(
      Json("qwen2", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":2)"),
      "a window in some layers only");
  ExpectRefused(Json("mistral", R"("sliding_window":8,)"
                                R"("layer_types":["full_attention","sliding_attention"])"),
                "a window in some layers only");
}

TEST(SafetensorsConfigTest, Tokens) {
  const Metadata m = MetadataOf(Json("llama", R"("bos_token_id":1,"eos_token_id":[2,3])"));
  EXPECT_EQ(*m.U32("tokenizer.ggml.bos_token_id"), 1U);
  EXPECT_EQ(*m.U32("tokenizer.ggml.eos_token_id"), 2U);
  EXPECT_THAT(**m.Integers("plimsoll.eos_token_ids"), testing::ElementsAre(2, 3));
  ExpectRefused(Json("llama", R"("eos_token_id":"</s>")"), "key 'eos_token_id'");
}

TEST(SafetensorsConfigTest, WhatWouldBeComputedWronglyIsRefused) {
  ExpectRefused(Json("llama", R"("hidden_act":"gelu")"), "key 'hidden_act': \"gelu\"");
  ExpectRefused(Json("llama", R"("quantization_config":{"bits":4})"), "quantized safetensors");
  ExpectRefused(R"({"model_type":"llama"})", "key 'num_hidden_layers': it is missing");
  ExpectRefused(R"({"model_type":"llama","num_hidden_layers":-1})", "expected an integer from 0");
  ExpectRefused(Json("llama", R"("vocab_size":4294967296)"), "key 'vocab_size': expected an int");
  ExpectRefused(Json("llama", R"("rms_norm_eps":"small")"), "key 'rms_norm_eps': expected a num");
  ExpectRefused(Json("llama", R"("tie_word_embeddings":"yes")"), "expected true or false");
  ExpectRefused("", "not a JSON object");
  ExpectRefused("[1,2]", "not a JSON object");
  ExpectRefused(Json("llama") + "x", "not a JSON object");
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
