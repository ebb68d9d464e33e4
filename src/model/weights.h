// Views of a model's weights in memory, by role. The loader fills them from the declarations.
#pragma once

#include <span>
#include <vector>

#include "tensor/matrix.h"

namespace plimsoll::model {

using Vector = std::span<const float>;  // empty: the model has none

struct AttentionWeights {
  Vector norm;             // [hidden_dim]
  tensor::Matrix q, k, v;  // [hidden_dim -> heads * head_dim]; no v: values are the keys' products
  tensor::Matrix qkv;      // instead of those three: their rows, one behind another
  tensor::Matrix output;   // [n_heads * head_dim_v -> hidden_dim]
  Vector q_bias, k_bias, v_bias, output_bias;
  Vector sinks;  // [n_heads]: a further score of each head that has no value
  // Over one head (head_dim), or over all heads at once (heads * head_dim); by their length.
  Vector q_norm, k_norm;
  Vector post_norm;  // [hidden_dim]: of the result
};

// LatentParams has the dimensions.
struct LatentAttentionWeights {
  Vector norm;            // [hidden_dim]
  tensor::Matrix q_down;  // [hidden_dim -> q_rank], and then q is from q_rank; empty: there is none
  Vector q_norm;          // [q_rank]
  tensor::Matrix q;       // [hidden_dim -> n_heads * (nope_dim + rope_dim)]
  tensor::Matrix kv_down;    // [hidden_dim -> kv_rank + rope_dim]: the latent and the rotated key
  Vector kv_norm;            // [kv_rank]
  tensor::MatrixStack k_up;  // [nope_dim -> kv_rank] x n_heads: takes queries to the latent
  tensor::MatrixStack v_up;  // [kv_rank -> v_dim] x n_heads
  // Instead of those two in older files: [kv_rank -> n_heads * (nope_dim + v_dim)].
  tensor::Matrix kv_up;
  tensor::Matrix output;  // [n_heads * v_dim -> hidden_dim]
};

// DeltaParams has the dimensions.
struct DeltaNetWeights {
  Vector norm;            // [hidden_dim]
  tensor::Matrix qkv;     // [hidden_dim -> conv_dim]: queries, keys and values
  tensor::Matrix gate;    // [hidden_dim -> v_dim], on what is remembered
  tensor::Matrix beta;    // [hidden_dim -> n_v_heads], ...
  tensor::Matrix alpha;   // ... and as many
  tensor::Matrix joined;  // instead of those two: for each key head its betas, then its alphas
  Vector conv;            // [conv_width][conv_dim]
  Vector decay;           // [n_v_heads]: what the softplus of alpha is multiplied by, below 0
  Vector dt_bias;         // [n_v_heads], on alpha
  Vector head_norm;       // [head_dim], of what is remembered
  tensor::Matrix output;  // [v_dim -> hidden_dim]
};

// The projections of one expert.
struct ExpertMatrices {
  tensor::Matrix gate, up, down;
};

struct SharedExpertWeights {
  tensor::Matrix router;               // [hidden_dim -> 1]: its sigmoid scales the output; empty: 1
  tensor::MatrixStack gate, up, down;  // one matrix each
};

struct FeedForwardWeights {
  Vector norm;                   // [hidden_dim]
  Vector router_norm;            // [hidden_dim]: of what the router reads; empty: as the experts
  tensor::Matrix router;         // [hidden_dim -> n_experts]; empty when there is one expert
  Vector router_bias;            // [n_experts], on the logits
  Vector selection_bias;         // [n_experts], on the scores, for the choice alone
  tensor::MatrixStack gate, up;  // [hidden_dim -> expert_ff_dim] x n_experts
  tensor::MatrixStack gate_up;   // instead of those two, of a dense layer: gate's rows, then up's
  tensor::MatrixStack down;      // [expert_ff_dim -> hidden_dim] x n_experts
  // [n_experts][expert_ff_dim] and [n_experts][hidden_dim], on the results of the matrices.
  Vector gate_bias, up_bias, down_bias;
  Vector expert_scales;  // [n_experts], on what they give
  SharedExpertWeights shared;
  Vector post_norm;  // [hidden_dim]: of the result
};

// What a layer makes of its token's input (HyperParams::layer_input_dim).
struct LayerInputWeights {
  tensor::Matrix gate;    // [hidden_dim -> layer_input_dim]
  tensor::Matrix output;  // [layer_input_dim -> hidden_dim]
  Vector post_norm;       // [hidden_dim]: of the result
};

struct LayerWeights {
  AttentionWeights attention;
  LatentAttentionWeights latent_attention;  // instead of `attention`
  DeltaNetWeights delta_net;                // the same
  // A feed-forward of its own beside that of the experts: the shared expert alone.
  FeedForwardWeights beside;
  FeedForwardWeights feed_forward;
  Vector feed_forward_norm;  // [hidden_dim]: of the sum of those two
  LayerInputWeights input;
  Vector scale;  // [1]: of the stream behind the layer; empty: 1
};

struct ModelWeights {
  tensor::Matrix embedding;  // [hidden_dim] x vocab_size
  Vector output_norm;
  tensor::Matrix output;  // [hidden_dim -> vocab_size]; the embedding where it is tied
  Vector rope_factors;    // [n_pairs]: frequencies are divided by these
  // Inputs of all layers, one behind another; n_inputs is n_layers * layer_input_dim.
  tensor::Matrix input_embedding;   // [n_inputs] x vocab_size
  tensor::Matrix input_projection;  // [hidden_dim -> n_inputs]: of the token's embedding
  Vector input_norm;                // [layer_input_dim]: of each layer's part of that
  std::vector<LayerWeights> layers;
};

}  // namespace plimsoll::model
