#include "formats/safetensors/tensor_names.h"

#include <gtest/gtest.h>

namespace plimsoll::formats::safetensors {
namespace {

TEST(TensorNamesTest, KnownLayouts) {
  const std::vector<std::pair<std::string_view, GgufName>> expected = {
      {"model.embed_tokens.weight", {"token_embd.weight", {}}},
      {"model.norm.weight", {"output_norm.weight", {}}},
      {"lm_head.weight", {"output.weight", {}}},
      {"model.layers.0.input_layernorm.weight", {"blk.0.attn_norm.weight", {}}},
      {"model.layers.12.self_attn.q_proj.weight", {"blk.12.attn_q.weight", {}}},
      {"model.layers.12.self_attn.k_proj.bias", {"blk.12.attn_k.bias", {}}},
      {"model.layers.1.self_attn.o_proj.weight", {"blk.1.attn_output.weight", {}}},
      {"model.layers.1.self_attn.q_norm.weight", {"blk.1.attn_q_norm.weight", {}}},
      {"model.layers.1.post_attention_layernorm.weight", {"blk.1.ffn_norm.weight", {}}},
      {"model.layers.1.mlp.down_proj.weight", {"blk.1.ffn_down.weight", {}}},
      {"model.layers.1.mlp.gate.weight", {"blk.1.ffn_gate_inp.weight", {}}},
      {"model.layers.1.mlp.experts.7.up_proj.weight", {"blk.1.ffn_up_exps.weight", 7}},
      {"model.layers.1.mlp.shared_expert.up_proj.weight", {"blk.1.ffn_up_shexp.weight", {}}},
      {"model.layers.1.mlp.shared_experts.up_proj.weight", {"blk.1.ffn_up_shexp.weight", {}}},
      {"model.layers.1.mlp.gate.e_score_correction_bias", {"blk.1.exp_probs_b.bias", {}}},
      {"model.layers.1.self_attn.qkv_proj.weight", {"blk.1.attn_qkv.weight", {}}},
      {"model.layers.1.mlp.gate_up_proj.weight", {"blk.1.ffn_up.weight", {}}},
      {"model.layers.1.mlp.shared_expert_gate.weight", {"blk.1.ffn_gate_inp_shexp.weight", {}}},
      {"model.layers.1.block_sparse_moe.gate.weight", {"blk.1.ffn_gate_inp.weight", {}}},
      {"model.layers.1.block_sparse_moe.experts.0.w1.weight", {"blk.1.ffn_gate_exps.weight", 0}},
      {"model.layers.1.block_sparse_moe.experts.0.w2.weight", {"blk.1.ffn_down_exps.weight", 0}},
      {"model.layers.1.block_sparse_moe.experts.0.w3.weight", {"blk.1.ffn_up_exps.weight", 0}},
  };
  for (const auto& [name, gguf] : expected) {
    const auto mapped = ToGgufName(name);
    ASSERT_TRUE(mapped) << name;
    EXPECT_EQ(mapped->name, gguf.name);
    EXPECT_EQ(mapped->expert, gguf.expert) << name;
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
        "model.layers.0.mlp.experts.1.1.up_proj.weight", "lm_head.bias", "transformer.h.0.attn"}) {
    EXPECT_FALSE(ToGgufName(name)) << name;
  }
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
