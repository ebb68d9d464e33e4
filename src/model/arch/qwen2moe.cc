// Qwen 1.5 and 2 MoE: Qwen 2's attention, routed experts whose weights are not renormalised, and a
// shared expert scaled by a gate of its own.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace qwen2moe {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  for (LayerParams& layer : hp.layers) {
    if (layer.is_moe() && layer.shared_ff_dim == 0) {
      return Fail(ErrorKind::kBadModel,
                  "qwen2moe.expert_shared_feed_forward_length is missing or 0");
    }
  }
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kRequired, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
  SharedExpertWeights& shared = weights.feed_forward.shared;
  DeclareSharedExpert(hp, layer_idx, declarations, shared);
  declarations.AddMatrix(LayerTensor(layer_idx, "ffn_gate_inp_shexp"), hp.hidden_dim, 1,
                         shared.router);
  declarations.KeepLastResident();
}

}  // namespace qwen2moe

const Architecture kQwen2Moe = {"qwen2moe", qwen2moe::Adjust, qwen2moe::DeclareLayer,
                                RunPreNormLayer};

}  // namespace plimsoll::model
