// DeepSeek-V2 and V3 and models built like them: multi-head latent attention, shared experts, and
// from V3 on a router of sigmoid scores with a selection bias and groups.
//
// Sources: DeepSeek-V2, arXiv:2405.04434; DeepSeek-V3, arXiv:2412.19437; keys, names and the
// meaning of the scalings in files from llama.cpp (conversion/deepseek.py,
// src/models/deepseek2.cpp).
#include <algorithm>
#include <cmath>

#include "kernels/trig.h"
#include "model/arch/shared.h"
#include "model/key_reader.h"

namespace plimsoll::model {
namespace deepseek2 {

LatentParams ReadLatent(KeyReader& reader, const HyperParams& hp) {
  LatentParams latent;
  latent.rope_dim = hp.rope.n_dims;
  latent.q_rank = reader.U32Or("attention.q_lora_rank", 0, 0, kMaxDim);
  latent.kv_rank = reader.U32("attention.kv_lora_rank", 1, kMaxHeadDim - latent.rope_dim);
  // Older files have one matrix for keys and values, and the widths of heads where newer ones have
  // those of the latent.
  latent.joined = !reader.Has("attention.key_length_mla");
  const std::string_view suffix = latent.joined ? "" : "_mla";
  const uint32_t head_dim =
      reader.U32(fmt::format("attention.key_length{}", suffix), latent.rope_dim + 1, kMaxHeadDim);
  latent.nope_dim = head_dim - latent.rope_dim;
  latent.v_dim = reader.U32(fmt::format("attention.value_length{}", suffix), 1, kMaxHeadDim);
  return latent;
}

// YaRN for DeepSeek scales the scores by the square of 1 + m ln(factor), and then leaves the
// rotated vectors their length. The key holds m itself (0.1 times the configuration's
// mscale_all_dim).
void SetScoreScale(KeyReader& reader, const LatentParams& latent, HyperParams& hp) {
  double scale = 1 / std::sqrt(static_cast<double>(latent.nope_dim + latent.rope_dim));
  const double m = reader.F64Or("rope.scaling.yarn_log_multiplier", 0.0, 0.0, 1e3);
  if (hp.rope.scaling == RopeScaling::kYarn) {
    hp.rope.lengthens = m == 0;
    const double log = hp.rope.factor > 1 ? kernels::Log(hp.rope.factor) : 0;
    const double mscale = hp.rope.attention_factor * (1 + (m == 0 ? 0.1 : m) * log);
    scale *= mscale * mscale;
  }
  hp.attention_scale = static_cast<float>(scale);
}

void SetLayers(KeyReader& reader, const LatentParams& latent, HyperParams& hp) {
  ReadDenseAndShared(reader, hp);
  for (LayerParams& layer : hp.layers) {
    layer.latent = latent;
    layer.n_kv_heads = 1;
    layer.head_dim_k = latent.kv_rank + latent.rope_dim;
    layer.head_dim_v = latent.kv_rank;
    layer.window = 0;
  }
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  const LatentParams latent = ReadLatent(reader, hp);
  SetScoreScale(reader, latent, hp);
  SetLayers(reader, latent, hp);
  DropPredictionLayers(reader, hp);
  if (reader.F64Or("attention.temperature_scale", 0.0, -1e6, 1e6) != 0) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is not supported", reader.Key("attention.temperature_scale"))});
  }
  // Early files of GLM-4.7-Flash, known by its vocabulary, do not name its scores.
  if (!reader.Has("expert_gating_func") && hp.vocab_size == 154880) {
    hp.router.score = RouterScore::kSigmoid;
  }
  return reader.status();
}

void DeclareLatentAttention(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                            LatentAttentionWeights& weights) {
  const LayerParams& p = hp.layers[layer_idx];
  const LatentParams& latent = p.latent;
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  declarations.AddVector(name("attn_norm"), {hp.hidden_dim}, weights.norm);
  if (latent.q_rank == 0) {
    declarations.AddMatrix(name("attn_q"), hp.hidden_dim, p.q_dim(), weights.q);
  } else {
    declarations.AddMatrix(name("attn_q_a"), hp.hidden_dim, latent.q_rank, weights.q_down);
    declarations.AddVector(name("attn_q_a_norm"), {latent.q_rank}, weights.q_norm);
    declarations.AddMatrix(name("attn_q_b"), latent.q_rank, p.q_dim(), weights.q);
  }
  declarations.AddMatrix(name("attn_kv_a_mqa"), hp.hidden_dim, p.k_dim(), weights.kv_down);
  declarations.AddVector(name("attn_kv_a_norm"), {latent.kv_rank}, weights.kv_norm);
  if (latent.joined) {
    declarations.AddMatrix(name("attn_kv_b"), latent.kv_rank,
                           uint64_t{p.n_heads} * (latent.nope_dim + latent.v_dim), weights.kv_up);
    declarations.KeepLastNative();
  } else {
    declarations.AddHeads(name("attn_k_b"), latent.nope_dim, latent.kv_rank, p.n_heads,
                          weights.k_up);
    declarations.AddHeads(name("attn_v_b"), latent.kv_rank, latent.v_dim, p.n_heads, weights.v_up);
  }
  declarations.AddMatrix(name("attn_output"), p.attention_dim(), hp.hidden_dim, weights.output);
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareLatentAttention(hp, layer_idx, declarations, weights.latent_attention);
  DeclareDeepseekFeedForward(hp, layer_idx, Need::kOptional, declarations, weights.feed_forward);
}

void RunLayer(LayerPieces& pieces, const LayerWeights& weights) {
  pieces.Norm(weights.latent_attention.norm);
  pieces.LatentAttention(weights.latent_attention);
  pieces.Norm(weights.feed_forward.norm);
  pieces.FeedForward(weights.feed_forward);
}

}  // namespace deepseek2

const Architecture kDeepseek2 = {"deepseek2", deepseek2::Adjust, deepseek2::DeclareLayer,
                                 deepseek2::RunLayer};

}  // namespace plimsoll::model
