#include "formats/safetensors/tensor_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::formats::safetensors {
namespace {

std::vector<std::string> NamesOf(std::string_view family, std::string_view name) {
  std::vector<std::string> names;
  for (const Target& target : Place(*FindFamily(family), 100, name).targets) {
    names.push_back(target.expert ? fmt::format("{} of {}", target.name, *target.expert)
                                  : target.name);
  }
  return names;
}

TEST(TensorNamesTest, ThatAllFamiliesShare) {
  const std::vector<std::pair<std::string_view, std::string_view>> expected = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
      {"model.layers.12.self_attn.q_proj.weight", "blk.12.attn_q.weight"},
      {"model.layers.12.self_attn.k_proj.bias", "blk.12.attn_k.bias"},
      {"model.layers.1.self_attn.o_proj.weight", "blk.1.attn_output.weight"},
      {"model.layers.1.self_attn.q_norm.weight", "blk.1.attn_q_norm.weight"},
      {"model.layers.1.post_attention_layernorm.weight", "blk.1.ffn_norm.weight"},
      {"model.layers.1.mlp.down_proj.weight", "blk.1.ffn_down.weight"},
      {"model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp.weight"},
      {"model.layers.1.mlp.experts.7.up_proj.weight", "blk.1.ffn_up_exps.weight of 7"},
      {"model.layers.1.mlp.shared_expert.up_proj.weight", "blk.1.ffn_up_shexp.weight"},
      {"model.layers.1.mlp.shared_experts.up_proj.weight", "blk.1.ffn_up_shexp.weight"},
      {"model.layers.1.mlp.gate.e_score_correction_bias", "blk.1.exp_probs_b.bias"},
      {"model.layers.1.self_attn.qkv_proj.weight", "blk.1.attn_qkv.weight"},
      {"model.layers.1.mlp.gate_up_proj.weight", "blk.1.ffn_up.weight"},
      {"model.layers.1.mlp.shared_expert_gate.weight", "blk.1.ffn_gate_inp_shexp.weight"},
      {"model.layers.1.block_sparse_moe.gate.weight", "blk.1.ffn_gate_inp.weight"},
      {"model.layers.1.block_sparse_moe.experts.0.w1.weight", "blk.1.ffn_gate_exps.weight of 0"},
      {"model.layers.1.block_sparse_moe.experts.0.w2.weight", "blk.1.ffn_down_exps.weight of 0"},
      {"model.layers.1.block_sparse_moe.experts.0.w3.weight", "blk.1.ffn_up_exps.weight of 0"},
  };
  for (const auto& [name, gguf] : expected) {
    EXPECT_THAT(NamesOf("qwen3_moe", name), testing::ElementsAre(gguf)) << name;
  }
}

TEST(TensorNamesTest, OfAFamilyComeFirst) {
  EXPECT_THAT(NamesOf("gemma3_text", "model.layers.0.post_attention_layernorm.weight"),
              testing::ElementsAre("blk.0.post_attention_norm.weight"));
  EXPECT_THAT(NamesOf("qwen3_next", "model.layers.0.linear_attn.in_proj_qkvz.weight"),
              testing::ElementsAre("blk.0.attn_qkv.weight", "blk.0.attn_gate.weight"));
  EXPECT_THAT(NamesOf("qwen3_next", "model.layers.0.linear_attn.A_log"),
              testing::ElementsAre("blk.0.ssm_a"));
  EXPECT_THAT(NamesOf("gpt_oss", "model.layers.0.self_attn.sinks"),
              testing::ElementsAre("blk.0.attn_sinks.weight"));
  for (const char* name : {"model.language_model.layers.2.experts.down_proj",
                           "language_model.model.layers.2.experts.down_proj"}) {
    EXPECT_THAT(NamesOf("gemma4_text", name), testing::ElementsAre("blk.2.ffn_down_exps.weight"));
  }
}

TEST(TensorNamesTest, NothingElse) {
  for (const char* name :
       {"", "model", "model.layers.", "model.layers.0", "model.layers..mlp.gate.weight",
        "model.layers.x.mlp.gate.weight", "model.layers.-1.mlp.gate.weight",
        "model.layers.01.mlp.gate.weight", "model.layers.123456.mlp.gate.weight",
        "model.layers.0.mlp.gate", "model.layers.0.mlp.gate.scales", "model.layers.0..weight",
        "model.layers.0.mlp.experts.up_proj.weight", "model.layers.0.mlp.experts.1.w1.weight",
        "model.layers.0.block_sparse_moe.experts.1.up_proj.weight",
        "model.layers.0.mlp.experts.1.1.up_proj.weight", "lm_head.bias", "transformer.h.0.attn",
        "model.layers.0.linear_attn.A_log"}) {
    EXPECT_FALSE(Place(*FindFamily("qwen3_moe"), 100, name).is_known()) << name;
  }
}

TEST(TensorNamesTest, WhatIsLeftOutOnPurpose) {
  const Family& family = *FindFamily("glm4_moe");
  EXPECT_EQ(Place(family, 4, "model.layers.4.eh_proj.weight").left_out,
            "layers that predict further tokens");
  EXPECT_EQ(Place(family, 4, "mtp.fc.weight").left_out, "layers that predict further tokens");
  EXPECT_EQ(Place(family, 4, "model.visual.blocks.0.attn.qkv.weight").left_out, "images");
  EXPECT_EQ(Place(family, 4, "vision_tower.encoder.x.weight").left_out, "images");
  EXPECT_EQ(Place(family, 4, "model.audio_tower.x.weight").left_out, "sound");
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
