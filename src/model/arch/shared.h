// The architectures, one file each, and what they have in common: tensors declared alike, layers
// built alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/architecture.h"

namespace plimsoll::model {

extern const Architecture kDeepseek2;
extern const Architecture kGptOss;
extern const Architecture kGranite;
extern const Architecture kGraniteMoe;
extern const Architecture kLlama;
extern const Architecture kOlmoe;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;

// "blk.<layer>.<name>.weight", or another suffix.
[[nodiscard]] std::string LayerTensor(uint32_t layer_idx, std::string_view name,
                                      std::string_view suffix = "weight");

// Norm, q, k, v and output projections; biases where the file has them (`qkv_bias` requires those
// of q, k and v).
void DeclareAttention(const HyperParams& hp, uint32_t layer_idx, Need qkv_bias,
                      Declarations& declarations, AttentionWeights& weights);
// Norms of q and k: over each head, or over all heads at once.
enum class QkNorm { kPerHead, kAllHeads };
void DeclareQkNorm(const HyperParams& hp, uint32_t layer_idx, QkNorm kind,
                   Declarations& declarations, AttentionWeights& weights);
// Norm, and either a dense feed-forward or router and experts.
void DeclareFeedForward(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                        FeedForwardWeights& weights, std::string_view norm = "ffn_norm");
// The expert that every token passes; not the gate that scales it in some models.
void DeclareSharedExpert(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         SharedExpertWeights& weights);

// x += attention(norm(x)); x += feed_forward(norm(x))
void RunPreNormLayer(LayerPieces& pieces, const LayerWeights& weights);

}  // namespace plimsoll::model
