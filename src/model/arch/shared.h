// The architectures, one file each, and what they have in common: tensors declared alike, layers
// built alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/architecture.h"
#include "model/key_reader.h"

namespace plimsoll::model {

extern const Architecture kDeepseek2;
extern const Architecture kDots1;
extern const Architecture kGemma3;
extern const Architecture kGemma4;
extern const Architecture kGlm4Moe;
extern const Architecture kGptOss;
extern const Architecture kGranite;
extern const Architecture kGraniteMoe;
extern const Architecture kLlama;
extern const Architecture kLlama4;
extern const Architecture kMinimaxM2;
extern const Architecture kMistral3;
extern const Architecture kOlmoe;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen3;
extern const Architecture kQwen35;
extern const Architecture kQwen35Moe;
extern const Architecture kQwen3Moe;
extern const Architecture kQwen3Next;

// The first "leading_dense_block_count" layers have no experts; in the others "expert_shared_count"
// shared ones, each as wide as a routed one, are one shared expert.
void ReadDenseAndShared(KeyReader& reader, HyperParams& hp);
// "expert_shared_feed_forward_length" must be there, and more than 0, and experts beside it.
void RequireSharedExpert(KeyReader& reader, const HyperParams& hp);
// Layers that predict further tokens ("nextn_predict_layers") come last, and are not used.
void DropPredictionLayers(KeyReader& reader, HyperParams& hp);
// Where the file does not say how experts are scored.
void DefaultToSigmoid(KeyReader& reader, HyperParams& hp);

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
                   Declarations& declarations, AttentionWeights& weights,
                   Need need = Need::kRequired);
// Norm, and either a dense feed-forward or router and experts.
void DeclareFeedForward(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                        FeedForwardWeights& weights, std::string_view norm = "ffn_norm");
// The expert that every token passes; not the gate that scales it in some models.
void DeclareSharedExpert(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         SharedExpertWeights& weights);

// The bias on the experts' scores.
void DeclareSelectionBias(const HyperParams& hp, uint32_t layer_idx, Need need,
                          Declarations& declarations, FeedForwardWeights& weights);
// All of these: a dense feed-forward, or router, selection bias, experts, and the shared one where
// there is one.
void DeclareDeepseekFeedForward(const HyperParams& hp, uint32_t layer_idx, Need selection_bias,
                                Declarations& declarations, FeedForwardWeights& weights,
                                std::string_view norm = "ffn_norm");

// x += attention(norm(x)); x += feed_forward(norm(x))
void RunPreNormLayer(LayerPieces& pieces, const LayerWeights& weights);

}  // namespace plimsoll::model
