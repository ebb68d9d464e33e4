// Qwen3-Next: three gated delta nets, then one layer of attention whose results are gated, rotary
// embedding of a quarter of its heads; many small experts, renormalised, and a shared one scaled by
// a gate of its own.
//
// Sources: Gated Delta Networks, arXiv:2412.06464; the published configuration and the model in
// transformers (qwen3_next); keys and names from llama.cpp (src/models/qwen3next.cpp). Its
// converter has added 1 to the weights of all norms but that of the delta net, and made ssm_a of
// the logarithm that is trained.
#include "model/arch/hybrid.h"

namespace plimsoll::model {
namespace qwen3next {

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  ReadHybrid(reader, ValueHeads::kNeighbours, hp);
  RequireSharedExpert(reader, hp);
  hp.router.normalize = reader.BoolOr("expert_weights_norm", true);
  DropPredictionLayers(reader, hp);
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareMixer(hp, layer_idx, BetaAlpha::kJoined, declarations, weights);
  DeclareExpertsAndShared(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace qwen3next

const Architecture kQwen3Next = {"qwen3next", qwen3next::Adjust, qwen3next::DeclareLayer,
                                 RunHybridLayer};

}  // namespace plimsoll::model
