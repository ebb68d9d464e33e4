#include "model/arch/shared.h"

namespace plimsoll::model {

void ReadDenseAndShared(KeyReader& reader, HyperParams& hp) {
  const uint32_t n_dense = reader.U32Or("leading_dense_block_count", 0, 0, kMaxLayers);
  const auto dense_ff_dims = reader.PerLayer("feed_forward_length", hp.n_layers, 1, kMaxDim);
  const uint32_t n_shared = reader.U32Or("expert_shared_count", 0, 0, kMaxExperts);
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    if (i < n_dense) {
      layer.n_experts = layer.n_experts_active = 1;
      layer.expert_ff_dim = dense_ff_dims[i];
      layer.shared_ff_dim = 0;
    } else if (layer.is_moe()) {
      if (uint64_t{n_shared} * layer.expert_ff_dim > kMaxDim) {
        reader.Note(
            {ErrorKind::kBadModel, fmt::format("{} is {}: together these are too wide",
                                               reader.Key("expert_shared_count"), n_shared)});
      }
      layer.shared_ff_dim = n_shared * layer.expert_ff_dim;
    }
  }
}

void RequireSharedExpert(KeyReader& reader, const HyperParams& hp) {
  for (const LayerParams& layer : hp.layers) {
    if (!layer.is_moe()) {
      reader.Note(
          {ErrorKind::kBadModel, fmt::format("{} is missing or 0", reader.Key("expert_count"))});
    } else if (layer.shared_ff_dim == 0) {
      reader.Note(
          {ErrorKind::kBadModel,
           fmt::format("{} is missing or 0", reader.Key("expert_shared_feed_forward_length"))});
    }
  }
}

void DropPredictionLayers(KeyReader& reader, HyperParams& hp) {
  hp.n_layers -= reader.U32Or("nextn_predict_layers", 0, 0, hp.n_layers - 1);
  hp.layers.resize(hp.n_layers);
}

void DefaultToSigmoid(KeyReader& reader, HyperParams& hp) {
  if (reader.U32Or("expert_gating_func", 0, 0, 2) == 0) {
    hp.router.score = RouterScore::kSigmoid;
  }
}

std::string LayerTensor(uint32_t layer_idx, std::string_view name, std::string_view suffix) {
  return fmt::format("blk.{}.{}.{}", layer_idx, name, suffix);
}

void DeclareAttention(const HyperParams& hp, uint32_t layer_idx, Need qkv_bias,
                      Declarations& declarations, AttentionWeights& weights) {
  const LayerParams& p = hp.layers[layer_idx];
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  const auto bias = [&](std::string_view n) { return LayerTensor(layer_idx, n, "bias"); };
  declarations.AddVector(name("attn_norm"), {hp.hidden_dim}, weights.norm);
  declarations.AddMatrix(name("attn_q"), hp.hidden_dim, p.q_row(), weights.q);
  declarations.AddMatrix(name("attn_k"), hp.hidden_dim, p.k_dim(), weights.k);
  declarations.AddMatrix(name("attn_v"), hp.hidden_dim, p.v_dim(), weights.v);
  declarations.AddMatrix(name("attn_output"), p.attention_dim(), hp.hidden_dim, weights.output);
  declarations.AddVector(bias("attn_q"), {p.q_row()}, weights.q_bias, qkv_bias);
  declarations.AddVector(bias("attn_k"), {p.k_dim()}, weights.k_bias, qkv_bias);
  declarations.AddVector(bias("attn_v"), {p.v_dim()}, weights.v_bias, qkv_bias);
  declarations.AddVector(bias("attn_output"), {hp.hidden_dim}, weights.output_bias,
                         Need::kOptional);
}

void DeclareQkNorm(const HyperParams& hp, uint32_t layer_idx, QkNorm kind,
                   Declarations& declarations, AttentionWeights& weights, Need need) {
  const LayerParams& p = hp.layers[layer_idx];
  const bool per_head = kind == QkNorm::kPerHead;
  declarations.AddVector(LayerTensor(layer_idx, "attn_q_norm"),
                         {per_head ? p.head_dim_k : p.q_dim()}, weights.q_norm, need);
  declarations.AddVector(LayerTensor(layer_idx, "attn_k_norm"),
                         {per_head ? p.head_dim_k : p.k_dim()}, weights.k_norm, need);
}

void DeclareFeedForward(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                        FeedForwardWeights& weights, std::string_view norm) {
  const LayerParams& p = hp.layers[layer_idx];
  const std::string_view suffix = p.is_moe() ? "_exps" : "";
  const auto name = [&](std::string_view n) {
    return LayerTensor(layer_idx, fmt::format("{}{}", n, suffix));
  };
  declarations.AddVector(LayerTensor(layer_idx, norm), {hp.hidden_dim}, weights.norm);
  if (p.is_moe()) {
    declarations.AddMatrix(LayerTensor(layer_idx, "ffn_gate_inp"), hp.hidden_dim, p.n_experts,
                           weights.router);
    declarations.KeepLastResident();
  }
  declarations.AddStack(name("ffn_gate"), hp.hidden_dim, p.expert_ff_dim, p.n_experts,
                        weights.gate);
  declarations.AddStack(name("ffn_up"), hp.hidden_dim, p.expert_ff_dim, p.n_experts, weights.up);
  declarations.AddStack(name("ffn_down"), p.expert_ff_dim, hp.hidden_dim, p.n_experts,
                        weights.down);
}

void DeclareSharedExpert(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         SharedExpertWeights& weights) {
  const uint32_t ff = hp.layers[layer_idx].shared_ff_dim;
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  declarations.AddStack(name("ffn_gate_shexp"), hp.hidden_dim, ff, 1, weights.gate);
  declarations.AddStack(name("ffn_up_shexp"), hp.hidden_dim, ff, 1, weights.up);
  declarations.AddStack(name("ffn_down_shexp"), ff, hp.hidden_dim, 1, weights.down);
}

void DeclareSelectionBias(const HyperParams& hp, uint32_t layer_idx, Need need,
                          Declarations& declarations, FeedForwardWeights& weights) {
  declarations.AddVector(LayerTensor(layer_idx, "exp_probs_b", "bias"),
                         {hp.layers[layer_idx].n_experts}, weights.selection_bias, need);
}

void DeclareDeepseekFeedForward(const HyperParams& hp, uint32_t layer_idx, Need selection_bias,
                                Declarations& declarations, FeedForwardWeights& weights,
                                std::string_view norm) {
  DeclareFeedForward(hp, layer_idx, declarations, weights, norm);
  const LayerParams& p = hp.layers[layer_idx];
  if (p.is_moe()) {
    DeclareSelectionBias(hp, layer_idx, selection_bias, declarations, weights);
  }
  if (p.shared_ff_dim != 0) {
    DeclareSharedExpert(hp, layer_idx, declarations, weights.shared);
  }
}

void RunPreNormLayer(LayerPieces& pieces, const LayerWeights& weights) {
  pieces.Norm(weights.attention.norm);
  pieces.Attention(weights.attention);
  pieces.Norm(weights.feed_forward.norm);
  pieces.FeedForward(weights.feed_forward);
}

}  // namespace plimsoll::model
