// Gemma 4: like Gemma 3, but layers with a window have heads of another width and rotation than
// those without; scores are not scaled, values are normed too, and in layers without a window may
// be made of the keys' products. The last layers attend to the keys and values of the last layer of
// their kind that makes some. In the small models every layer is given a part of an embedding of
// its own; in those with experts these stand beside a dense feed-forward, each with norms of its
// own.
//
// Sources: Google's published model code and configurations; keys, names and order of operations
// from llama.cpp (src/models/gemma4.cpp, conversion/gemma.py).
#include <cmath>

#include "model/arch/shared.h"

namespace plimsoll::model {
namespace gemma4 {

// The common keys have the widths of layers without a window.
void SetHeads(KeyReader& reader, HyperParams& hp) {
  const auto has_window = reader.PerLayer("attention.sliding_window_pattern", hp.n_layers, 0, 1);
  const uint32_t head_dim = reader.U32("attention.key_length_swa", 1, kMaxHeadDim);
  const uint32_t head_dim_v = reader.U32("attention.value_length_swa", 1, kMaxHeadDim);
  if (hp.layers[0].window == 0) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is missing or 0", reader.Key("attention.sliding_window"))});
  }
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    layer.has_unit_values = true;
    if (has_window[i] != 0) {
      layer.head_dim_k = head_dim;
      layer.head_dim_v = head_dim_v;
    } else {
      layer.window = 0;
    }
  }
}

void SetRope(KeyReader& reader, HyperParams& hp) {
  hp.rope.neox = true;
  hp.rope.has_factors = true;  // a part of each head does not turn: there they are huge
  RopeParams& window = hp.window_rope.emplace();
  const uint32_t head_dim = reader.U32("attention.key_length_swa", 1, kMaxHeadDim);
  window.n_dims = reader.U32Or("rope.dimension_count_swa", head_dim, 2, head_dim);
  window.theta = reader.F64Or("rope.freq_base_swa", 10000.0, 1.0, 1e12);
  if (window.n_dims % 2 != 0) {
    reader.Note(
        {ErrorKind::kBadModel, fmt::format("{} is {}, an odd number",
                                           reader.Key("rope.dimension_count_swa"), window.n_dims)});
  }
}

// Each of the last layers shares with the last one before them that sees as much.
void ShareKeysAndValues(KeyReader& reader, HyperParams& hp) {
  const uint32_t n_shared = reader.U32Or("attention.shared_kv_layers", 0, 0, hp.n_layers - 1);
  const uint32_t n_own = hp.n_layers - n_shared;
  for (uint32_t i = n_own; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    for (uint32_t own = 0; own < n_own; ++own) {
      if (hp.layers[own].window == layer.window) {
        layer.kv_of = own;
      }
    }
    const uint32_t n_kv_heads = layer.kv_of ? hp.layers[*layer.kv_of].n_kv_heads : 0;
    if (n_kv_heads == 0 || layer.n_heads % n_kv_heads != 0) {
      reader.Note({ErrorKind::kBadModel,
                   fmt::format("{} is {}: layer {} has no layer to share with",
                               reader.Key("attention.shared_kv_layers"), n_shared, i)});
      return;
    }
    layer.n_kv_heads = n_kv_heads;
  }
}

void SetFeedForward(KeyReader& reader, HyperParams& hp) {
  hp.activation = Activation::kGelu;
  hp.router.normalize = true;
  hp.router.logit_scale = 1.0F / std::sqrt(static_cast<float>(hp.hidden_dim));
  const auto dense_ff_dims = reader.PerLayer("feed_forward_length", hp.n_layers, 1, kMaxDim);
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    layer.shared_is_beside = layer.is_moe();
    layer.shared_ff_dim = layer.is_moe() ? dense_ff_dims[i] : 0;
  }
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.attention_scale = 1;
  hp.embedding_scale = std::sqrt(static_cast<float>(hp.hidden_dim));
  hp.logit_cap = static_cast<float>(reader.F64Or("final_logit_softcapping", 0.0, 0.0, 1e6));
  hp.layer_input_dim = reader.U32Or("embedding_length_per_layer_input", 0, 0, kMaxDim);
  SetHeads(reader, hp);
  SetRope(reader, hp);
  ShareKeysAndValues(reader, hp);
  SetFeedForward(reader, hp);
  return reader.status();
}

void DeclareHeads(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  AttentionWeights& weights) {
  const LayerParams& p = hp.layers[layer_idx];
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  declarations.AddVector(name("attn_norm"), {hp.hidden_dim}, weights.norm);
  declarations.AddMatrix(name("attn_q"), hp.hidden_dim, p.q_dim(), weights.q);
  declarations.AddVector(name("attn_q_norm"), {p.head_dim_k}, weights.q_norm);
  if (!p.kv_of) {
    declarations.AddMatrix(name("attn_k"), hp.hidden_dim, p.k_dim(), weights.k);
    declarations.AddVector(name("attn_k_norm"), {p.head_dim_k}, weights.k_norm);
    const bool may_be_keys = p.window == 0 && p.k_dim() == p.v_dim();
    declarations.AddMatrix(name("attn_v"), hp.hidden_dim, p.v_dim(), weights.v,
                           may_be_keys ? Need::kOptional : Need::kRequired);
  }
  declarations.AddMatrix(name("attn_output"), p.attention_dim(), hp.hidden_dim, weights.output);
  declarations.AddVector(name("post_attention_norm"), {hp.hidden_dim}, weights.post_norm);
}

// The dense feed-forward has the names of one that is alone.
void DeclareBeside(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                   FeedForwardWeights& weights) {
  const uint64_t d = hp.hidden_dim;
  const uint64_t ff = hp.layers[layer_idx].shared_ff_dim;
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  declarations.AddVector(name("ffn_norm"), {d}, weights.norm);
  declarations.AddStack(name("ffn_gate"), d, ff, 1, weights.shared.gate);
  declarations.AddStack(name("ffn_up"), d, ff, 1, weights.shared.up);
  declarations.AddStack(name("ffn_down"), ff, d, 1, weights.shared.down);
  declarations.AddVector(name("post_ffw_norm_1"), {d}, weights.post_norm);
}

void DeclareExperts(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    FeedForwardWeights& weights) {
  DeclareFeedForward(hp, layer_idx, declarations, weights, "pre_ffw_norm_2");
  declarations.AddVector(LayerTensor(layer_idx, "ffn_gate_inp", "scale"), {hp.hidden_dim},
                         weights.router_norm);
  declarations.AddVector(LayerTensor(layer_idx, "ffn_down_exps", "scale"),
                         {hp.layers[layer_idx].n_experts}, weights.expert_scales, Need::kOptional);
  declarations.AddVector(LayerTensor(layer_idx, "post_ffw_norm_2"), {hp.hidden_dim},
                         weights.post_norm);
}

void DeclareInput(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerInputWeights& weights) {
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  declarations.AddMatrix(name("inp_gate"), hp.hidden_dim, hp.layer_input_dim, weights.gate);
  declarations.AddMatrix(name("proj"), hp.layer_input_dim, hp.hidden_dim, weights.output);
  declarations.AddVector(name("post_norm"), {hp.hidden_dim}, weights.post_norm);
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareHeads(hp, layer_idx, declarations, weights.attention);
  if (hp.layers[layer_idx].is_moe()) {
    DeclareBeside(hp, layer_idx, declarations, weights.beside);
    DeclareExperts(hp, layer_idx, declarations, weights.feed_forward);
  } else {
    DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
  }
  declarations.AddVector(LayerTensor(layer_idx, "post_ffw_norm"), {hp.hidden_dim},
                         weights.feed_forward_norm);
  if (hp.layer_input_dim != 0) {
    DeclareInput(hp, layer_idx, declarations, weights.input);
  }
  declarations.AddVector(LayerTensor(layer_idx, "layer_output_scale"), {1}, weights.scale,
                         Need::kOptional);
}

void RunBoth(LayerPieces& pieces, const LayerWeights& weights) {
  pieces.Norm(weights.beside.norm);
  pieces.FeedForward(weights.beside);
  pieces.NormBranch(weights.beside.post_norm);
  pieces.KeepBranch();
  pieces.Norm(weights.feed_forward.router_norm);
  pieces.Route(weights.feed_forward);
  pieces.Norm(weights.feed_forward.norm);
  pieces.Experts(weights.feed_forward);
  pieces.NormBranch(weights.feed_forward.post_norm);
  pieces.AddKeptBranch();
}

void RunLayer(LayerPieces& pieces, const LayerWeights& weights) {
  pieces.Norm(weights.attention.norm);
  pieces.Attention(weights.attention);
  pieces.NormBranch(weights.attention.post_norm);
  if (pieces.params().is_moe()) {
    RunBoth(pieces, weights);
  } else {
    pieces.Norm(weights.feed_forward.norm);
    pieces.FeedForward(weights.feed_forward);
  }
  pieces.NormBranch(weights.feed_forward_norm);
  if (!weights.input.gate.empty()) {
    pieces.LayerInput(weights.input);
    pieces.NormBranch(weights.input.post_norm);
  }
  pieces.ScaleStream(weights.scale);
}

}  // namespace gemma4

const Architecture kGemma4 = {"gemma4", gemma4::Adjust, gemma4::DeclareLayer, gemma4::RunLayer};

}  // namespace plimsoll::model
