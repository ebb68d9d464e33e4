// What the architectures have in common whose layers are in part recurrent: Qwen3-Next and those
// that came of it. Gated delta nets, and after each few of them attention whose results are gated.
#pragma once

#include <cstdint>

#include "model/arch/shared.h"

namespace plimsoll::model {

// Value heads that share a key head: neighbours, or as far apart as there are key heads.
enum class ValueHeads { kNeighbours, kTiled };

// Dimensions of the delta net, which layers are recurrent, and that the others' attention is gated.
void ReadHybrid(KeyReader& reader, ValueHeads value_heads, HyperParams& hp);

// Betas and alphas from one matrix, or from two.
enum class BetaAlpha { kJoined, kApart };

// Either a delta net or gated attention.
void DeclareMixer(const HyperParams& hp, uint32_t layer_idx, BetaAlpha beta_alpha,
                  Declarations& declarations, LayerWeights& weights);
// Router, experts, and the shared expert with the gate that scales it.
void DeclareExpertsAndShared(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                             FeedForwardWeights& weights);

// x += delta_net(norm(x)) or attention(norm(x)); x += feed_forward(norm(x))
void RunHybridLayer(LayerPieces& pieces, const LayerWeights& weights);

}  // namespace plimsoll::model
