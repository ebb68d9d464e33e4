#include "tools/random_model/tensor_plan.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace plimsoll::random_model {
namespace {

using tensor::MakeShape;

// What llama.cpp's quantizer takes for rows that are no whole number of super-blocks.
tensor::DType TypeForRows(tensor::DType type, uint32_t row) {
  using tensor::DType;
  if (row % tensor::Traits(type).block_elements == 0) {
    return type;
  }
  switch (type) {
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    case DType::kQ6_K:
      return DType::kQ8_0;
    case DType::kIQ4_XS:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
    case DType::kIQ1_M:
    case DType::kNVFP4:
      return DType::kIQ4_NL;
    default:  // Q2_K, Q3_K and the ternary types
      return DType::kQ4_0;
  }
}

class Planner {
 public:
  explicit Planner(const ModelSpec& spec) : spec_(spec) {}

  std::vector<PlannedTensor> Plan() {
    const double output_rms = Into(spec_.hidden_dim) * spec_.logit_std * spec_.logit_divisor();
    const double embedding_rms = spec_.tied_output ? output_rms : 1 / spec_.embedding_scale();
    Matrix("token_embd.weight", spec_.hidden_dim, spec_.vocab_size, embedding_rms);
    if (spec_.rope_scaling == RopeScaling::kLlama3) {
      RopeFactors();
    }
    if (spec_.rope_scaling == RopeScaling::kLongRope) {
      LongRopeFactors("rope_factors_long.weight", spec_.rope_factor);
      LongRopeFactors("rope_factors_short.weight", 1.2);
    }
    if (spec_.is_gemma4()) {
      FactorsThatStopPairs();
      if (spec_.layer_input_dim != 0) {
        LayerInputs();
      }
    }
    for (uint32_t layer = 0; layer < spec_.n_layers + spec_.n_prediction_layers; ++layer) {
      prefix_ = "blk." + std::to_string(layer) + ".";
      Mixer(layer);
      Norm(std::string(spec_.feed_forward_norm()), spec_.hidden_dim);
      spec_.is_dense_layer(layer) ? Dense() : Experts();
      if (spec_.has_post_norms()) {
        PostNorms();
      }
      if (spec_.is_gemma4()) {
        OwnOfGemma4(layer);
      }
      if (layer >= spec_.n_layers) {
        Prediction();
      }
    }
    prefix_.clear();
    Norm("output_norm.weight", spec_.hidden_dim);
    if (!spec_.tied_output) {
      Matrix("output.weight", spec_.hidden_dim, spec_.vocab_size, output_rms);
    }
    return std::move(tensors_);
  }

 private:
  // Keeps the r.m.s. of what is multiplied.
  static double Into(uint32_t fan_in) { return 1 / std::sqrt(fan_in); }
  // Writes to the residual stream shrink with depth, so that it does not grow without bound.
  double Back(uint32_t fan_in) const {
    return spec_.branch_gain / spec_.residual_scale() * Into(fan_in) *
           std::sqrt(2.0 / std::max(spec_.n_layers, 2U));
  }

  void Add(PlannedTensor tensor) {
    tensor.name = prefix_ + tensor.name;
    tensors_.push_back(std::move(tensor));
  }
  void Matrix(std::string name, uint32_t k, uint32_t rows, double rms) {
    Add({.name = std::move(name), .dtype = spec_.type, .shape = MakeShape(k, rows), .rms = rms});
  }
  void Stack(std::string name, uint32_t k, uint32_t rows, double rms) {
    Add({.name = std::move(name),
         .dtype = spec_.type,
         .shape = MakeShape(k, rows, spec_.n_experts),
         .rms = rms});
  }
  void Norm(std::string name, uint32_t n, double mean = 1) {
    Add({.name = std::move(name), .shape = MakeShape(n), .rms = 0.1, .mean = mean});
  }
  void Bias(std::string name, uint32_t n) {
    Add({.name = std::move(name), .shape = MakeShape(n), .rms = 0.3});
  }

  void ExpertBias(std::string name, uint32_t n) {
    Add({.name = std::move(name), .shape = MakeShape(n, spec_.n_experts), .rms = 0.3});
  }

  void Mixer(uint32_t layer) {
    if (spec_.is_recurrent_layer(layer)) {
      DeltaNet();
    } else if (spec_.has_latent()) {
      LatentAttention();
    } else {
      Attention(layer);
    }
  }

  // Memories fade by a tenth to a half a token.
  void DeltaNet() {
    const uint32_t d = spec_.hidden_dim;
    const uint32_t v_dim = spec_.delta_v_dim();
    const uint32_t conv_dim = 2 * spec_.delta_k_dim() + v_dim;
    Norm("attn_norm.weight", d);
    Matrix("attn_qkv.weight", d, conv_dim, Into(d));
    Matrix("attn_gate.weight", d, v_dim, Into(d));
    Add({.name = "ssm_conv1d.weight", .shape = MakeShape(spec_.conv_width, conv_dim), .rms = 0.7});
    Add({.name = "ssm_dt.bias", .shape = MakeShape(spec_.n_delta_v_heads), .rms = 0.5});
    Add({.name = "ssm_a", .shape = MakeShape(spec_.n_delta_v_heads), .rms = 0.05, .mean = -0.4});
    if (spec_.arch == "qwen3next") {
      Matrix("ssm_ba.weight", d, 2 * spec_.n_delta_v_heads, Into(d));
    } else {
      Matrix("ssm_beta.weight", d, spec_.n_delta_v_heads, Into(d));
      Matrix("ssm_alpha.weight", d, spec_.n_delta_v_heads, Into(d));
    }
    Norm("ssm_norm.weight", spec_.delta_head_dim);
    Matrix("ssm_out.weight", v_dim, d, Back(v_dim));
  }

  void Attention(uint32_t layer) {
    const uint32_t d = spec_.hidden_dim;
    const uint32_t head_dim = spec_.head_dim_of(layer);
    const uint32_t q_dim = spec_.n_heads * head_dim;
    const uint32_t kv_dim = spec_.n_kv_heads_of(layer) * head_dim;
    // Scores are products of queries and keys: each has the root of the wanted spread, which the
    // query and key norms set where there are any.
    const double plain_scale = 1 / std::sqrt(head_dim);
    const double score_root =
        std::sqrt(spec_.attention_std * plain_scale / spec_.attention_scale());
    const bool normed = spec_.has_head_norm() || spec_.has_full_width_norm();
    const double qk_rms = Into(d) * (normed ? 1 : score_root);
    Norm("attn_norm.weight", d);
    if (spec_.has_joined_matrices()) {
      Matrix("attn_qkv.weight", d, q_dim + 2 * kv_dim, qk_rms);
    } else {
      Matrix("attn_q.weight", d, spec_.is_hybrid() ? 2 * q_dim : q_dim, qk_rms);
      if (spec_.makes_keys(layer)) {
        Matrix("attn_k.weight", d, kv_dim, qk_rms);
      }
      if (spec_.makes_values(layer)) {
        Matrix("attn_v.weight", d, kv_dim, Into(d));
      }
    }
    if (spec_.has_qkv_biases()) {
      Bias("attn_q.bias", q_dim);
      Bias("attn_k.bias", kv_dim);
      Bias("attn_v.bias", kv_dim);
    }
    if (normed) {
      Norm("attn_q_norm.weight", spec_.has_head_norm() ? head_dim : q_dim, score_root);
      if (spec_.makes_keys(layer)) {
        Norm("attn_k_norm.weight", spec_.has_head_norm() ? head_dim : kv_dim, score_root);
      }
    }
    Matrix("attn_output.weight", q_dim, d, Back(q_dim));
    if (spec_.has_all_biases()) {
      Bias("attn_output.bias", d);
    }
    if (spec_.has_sinks()) {
      Add({.name = "attn_sinks.weight", .shape = MakeShape(spec_.n_heads), .rms = 1});
    }
  }

  // What is normed adds as much to the stream as it does elsewhere.
  void PostNorms() {
    Norm("post_attention_norm.weight", spec_.hidden_dim, Back(1));
    Norm("post_ffw_norm.weight", spec_.hidden_dim, Back(1));
  }

  // Beside what gemma3 has.
  void OwnOfGemma4(uint32_t layer) {
    const uint32_t d = spec_.hidden_dim;
    if (!spec_.is_dense_layer(layer)) {
      Norm("pre_ffw_norm_2.weight", d);
      Norm("post_ffw_norm_1.weight", d);
      Norm("post_ffw_norm_2.weight", d);
      // The router's input is divided by the root of its width.
      Norm("ffn_gate_inp.scale", d, std::sqrt(d));
      Norm("ffn_down_exps.scale", spec_.n_experts);
    }
    if (const uint32_t n = spec_.layer_input_dim; n != 0) {
      Matrix("inp_gate.weight", d, n, Into(d));
      Matrix("proj.weight", n, d, Into(n));
      Norm("post_norm.weight", d, Back(1));
    }
    Norm("layer_output_scale.weight", 1, 0.8);
  }

  void LayerInputs() {
    const uint32_t n = spec_.layer_input_dim;
    const uint32_t n_inputs = n * spec_.n_layers;
    Matrix("per_layer_token_embd.weight", n_inputs, spec_.vocab_size, Into(n));
    Matrix("per_layer_model_proj.weight", spec_.hidden_dim, n_inputs, 1);
    Norm("per_layer_proj_norm.weight", n);
  }

  // Of heads without a window the first quarter of the pairs turns.
  void FactorsThatStopPairs() {
    const uint32_t n_pairs = spec_.head_dim_of(1) / 2;
    PlannedTensor factors{.name = "rope_freqs.weight", .shape = MakeShape(n_pairs)};
    for (uint32_t i = 0; i < n_pairs; ++i) {
      factors.values.push_back(i < n_pairs / 4 ? 1.0F : 1e30F);
    }
    Add(std::move(factors));
  }

  void LatentAttention() {
    const uint32_t d = spec_.hidden_dim;
    const uint32_t rope = spec_.n_rope_dims();
    const uint32_t q_dim = spec_.n_heads * (spec_.head_dim + rope);
    const double score_root = std::sqrt(spec_.attention_std);
    Norm("attn_norm.weight", d);
    if (spec_.q_rank == 0) {
      Matrix("attn_q.weight", d, q_dim, Into(d) * score_root);
    } else {
      Matrix("attn_q_a.weight", d, spec_.q_rank, Into(d));
      Norm("attn_q_a_norm.weight", spec_.q_rank);
      Matrix("attn_q_b.weight", spec_.q_rank, q_dim, Into(spec_.q_rank) * score_root);
    }
    Matrix("attn_kv_a_mqa.weight", d, spec_.kv_rank + rope, Into(d) * score_root);
    Norm("attn_kv_a_norm.weight", spec_.kv_rank);
    if (spec_.joined_kv) {
      Matrix("attn_kv_b.weight", spec_.kv_rank, 2 * spec_.n_heads * spec_.head_dim,
             Into(spec_.kv_rank));
    } else {
      Add({.name = "attn_k_b.weight",
           .dtype = TypeForRows(spec_.type, spec_.head_dim),
           .shape = MakeShape(spec_.head_dim, spec_.kv_rank, spec_.n_heads),
           .rms = Into(spec_.kv_rank) * score_root});
      Add({.name = "attn_v_b.weight",
           .dtype = spec_.type,
           .shape = MakeShape(spec_.kv_rank, spec_.head_dim, spec_.n_heads),
           .rms = Into(spec_.kv_rank)});
    }
    Matrix("attn_output.weight", spec_.n_heads * spec_.head_dim, d,
           Back(spec_.n_heads * spec_.head_dim));
  }

  void Dense() {
    const uint32_t d = spec_.hidden_dim;
    if (spec_.has_joined_matrices()) {
      Matrix("ffn_up.weight", d, 2 * spec_.ffn_dim, Into(d));
    } else {
      Matrix("ffn_gate.weight", d, spec_.ffn_dim, Into(d));
      Matrix("ffn_up.weight", d, spec_.ffn_dim, Into(d));
    }
    Matrix("ffn_down.weight", spec_.ffn_dim, d, Back(spec_.ffn_dim));
  }

  void Experts() {
    const uint32_t d = spec_.hidden_dim;
    const uint32_t ff = spec_.expert_ffn_dim;
    Add({.name = "ffn_gate_inp.weight",
         .shape = MakeShape(d, spec_.n_experts),
         .rms = spec_.router_std * Into(d),
         .row_spread = spec_.router_spread});
    // Wide enough that the clamped activation of gpt-oss clamps some values; its results are then
    // six times as wide as those of the others.
    const double wide = spec_.arch == "gpt-oss" ? 3 : 1;
    const double narrow = spec_.arch == "gpt-oss" ? 1.0 / 6 : 1;
    if (spec_.joined_experts) {
      Stack("ffn_gate_up_exps.weight", d, 2 * ff, Into(d));
    } else {
      Stack("ffn_gate_exps.weight", d, ff, wide * Into(d));
      Stack("ffn_up_exps.weight", d, ff, wide * Into(d));
    }
    Stack("ffn_down_exps.weight", ff, d, narrow * Back(ff));
    if (spec_.has_all_biases()) {
      Bias("ffn_gate_inp.bias", spec_.n_experts);
      ExpertBias("ffn_gate_exps.bias", ff);
      ExpertBias("ffn_up_exps.bias", ff);
      ExpertBias("ffn_down_exps.bias", d);
    }
    if (spec_.has_selection_bias()) {
      Add({.name = "exp_probs_b.bias", .shape = MakeShape(spec_.n_experts), .rms = 0.05});
    }
    if (spec_.is_gemma4()) {
      Dense();
    } else if (spec_.has_shared_expert()) {
      const uint32_t shared = spec_.shared_dim();
      if (spec_.has_gated_shared_expert()) {
        Add({.name = "ffn_gate_inp_shexp.weight", .shape = MakeShape(d), .rms = Into(d)});
      }
      Matrix("ffn_gate_shexp.weight", d, shared, Into(d));
      Matrix("ffn_up_shexp.weight", d, shared, Into(d));
      Matrix("ffn_down_shexp.weight", shared, d, Back(shared));
    }
  }

  // What joins the last layer's stream and the next token's embedding, before a layer that predicts
  // the token after that.
  void Prediction() {
    const uint32_t d = spec_.hidden_dim;
    Matrix("nextn.eh_proj.weight", 2 * d, d, Into(2 * d));
    Norm("nextn.enorm.weight", d);
    Norm("nextn.hnorm.weight", d);
    Norm("nextn.shared_head_norm.weight", d);
  }

  // Llama 3.1's rule for the divisors of the rotary frequencies (meta-llama/llama-models,
  // models/llama3/model.py): short wavelengths stay, long ones are stretched by the factor, and
  // those between are interpolated.
  void RopeFactors() {
    const double n_ctx = spec_.rope_n_ctx_original;
    const double long_from = n_ctx / 1;  // low_freq_factor
    const double short_to = n_ctx / 4;   // high_freq_factor
    const uint32_t n_dims = spec_.rope_dims == 0 ? spec_.head_dim : spec_.rope_dims;
    PlannedTensor factors{.name = "rope_freqs.weight", .shape = MakeShape(n_dims / 2)};
    for (uint32_t i = 0; i < n_dims / 2; ++i) {
      const double wavelength = 2 * std::numbers::pi * std::pow(spec_.rope_theta, 2.0 * i / n_dims);
      double factor = 1;
      if (wavelength > long_from) {
        factor = spec_.rope_factor;
      } else if (wavelength > short_to) {
        const double smooth = (n_ctx / wavelength - 1) / (4 - 1);
        factor = 1 / ((1 - smooth) / spec_.rope_factor + smooth);
      }
      factors.values.push_back(static_cast<float>(factor));
    }
    Add(std::move(factors));
  }

  // Pairs are slowed down from 1 for the fastest to `last` for the slowest.
  void LongRopeFactors(std::string name, double last) {
    const uint32_t n_pairs = spec_.n_rope_dims() / 2;
    PlannedTensor factors{.name = std::move(name), .shape = MakeShape(n_pairs)};
    for (uint32_t i = 0; i < n_pairs; ++i) {
      factors.values.push_back(static_cast<float>(1 + (last - 1) * i / n_pairs));
    }
    Add(std::move(factors));
  }

  const ModelSpec& spec_;
  std::string prefix_;
  std::vector<PlannedTensor> tensors_;
};

}  // namespace

std::vector<PlannedTensor> PlanTensors(const ModelSpec& spec) { return Planner(spec).Plan(); }

}  // namespace plimsoll::random_model
