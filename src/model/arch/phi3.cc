// Phi-3 to Phi-4: queries, keys and values from one matrix, gate and up from one, and LongRoPE in
// models for long contexts.
//
// Sources: Phi-3, arXiv:2404.14219; LongRoPE, arXiv:2402.13753; keys and names from llama.cpp
// (src/models/phi3.cpp), whose files do not name the scaling.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace phi3 {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  if (hp.rope.scaling == RopeScaling::kNone) {
    hp.rope.scaling = RopeScaling::kLongRope;
  }
  if (hp.layers[0].is_moe()) {
    return Fail(ErrorKind::kBadModel, "phi3.expert_count is given: phi3 has no experts");
  }
  return {};
}

// The parts of a matrix are taken as whole groups of rows where these are their bounds.
void KeepLastNativeUnless(bool whole_groups, Declarations& declarations) {
  if (!whole_groups) {
    declarations.KeepLastNative();
  }
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  constexpr uint64_t kGroup = tensor::kRowsPerGroup;
  const LayerParams& p = hp.layers[layer_idx];
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  AttentionWeights& attention = weights.attention;
  declarations.AddVector(name("attn_norm"), {hp.hidden_dim}, attention.norm);
  declarations.AddMatrix(name("attn_qkv"), hp.hidden_dim,
                         uint64_t{p.q_dim()} + p.k_dim() + p.v_dim(), attention.qkv);
  KeepLastNativeUnless(p.q_dim() % kGroup == 0 && p.k_dim() % kGroup == 0, declarations);
  declarations.AddMatrix(name("attn_output"), p.attention_dim(), hp.hidden_dim, attention.output);

  FeedForwardWeights& ff = weights.feed_forward;
  const uint64_t width = p.expert_ff_dim;
  declarations.AddVector(name("ffn_norm"), {hp.hidden_dim}, ff.norm);
  declarations.AddStack(name("ffn_up"), hp.hidden_dim, 2 * width, 1, ff.gate_up);
  KeepLastNativeUnless(width % kGroup == 0, declarations);
  declarations.AddStack(name("ffn_down"), width, hp.hidden_dim, 1, ff.down);
}

}  // namespace phi3

const Architecture kPhi3 = {"phi3", phi3::Adjust, phi3::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
