#include "model/arch/hybrid.h"

#include "kernels/kernels.h"
#include "model/delta_net.h"

namespace plimsoll::model {
namespace {

// Without a key for each layer, the last of every so many has attention.
std::vector<uint32_t> ReadRecurrentLayers(KeyReader& reader, const HyperParams& hp) {
  if (reader.Has("attention.recurrent_layers")) {
    return reader.PerLayer("attention.recurrent_layers", hp.n_layers, 0, 1);
  }
  const uint32_t interval = reader.U32Or("full_attention_interval", 4, 1, kMaxLayers);
  std::vector<uint32_t> recurrent;
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    recurrent.push_back((i + 1) % interval != 0 ? 1 : 0);
  }
  return recurrent;
}

DeltaParams ReadDelta(KeyReader& reader, ValueHeads value_heads) {
  DeltaParams delta;
  delta.conv_width = reader.U32("ssm.conv_kernel", 2, kMaxConvWidth);
  delta.head_dim = reader.U32("ssm.state_size", kernels::kDeltaLanes, kMaxHeadDim);
  delta.n_k_heads = reader.U32("ssm.group_count", 1, kMaxHeads);
  delta.n_v_heads = reader.U32("ssm.time_step_rank", 1, kMaxHeads);
  delta.tiled = value_heads == ValueHeads::kTiled;
  if (delta.head_dim % kernels::kDeltaLanes != 0) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is {}, no multiple of {}", reader.Key("ssm.state_size"),
                             delta.head_dim, kernels::kDeltaLanes)});
  }
  if (delta.n_v_heads % delta.n_k_heads != 0) {
    reader.Note(
        {ErrorKind::kBadModel,
         fmt::format("{} is {}, no multiple of the {} of {}", reader.Key("ssm.time_step_rank"),
                     delta.n_v_heads, delta.n_k_heads, reader.Key("ssm.group_count"))});
  }
  const uint64_t v_dim = uint64_t{delta.n_v_heads} * delta.head_dim;
  const uint32_t inner = reader.U32("ssm.inner_size", 1, kMaxDim);
  if (inner != v_dim || delta.conv_dim() > kMaxDim) {
    reader.Note(
        {ErrorKind::kBadModel,
         fmt::format("{} is {}, not that of {} heads of {} dimensions",
                     reader.Key("ssm.inner_size"), inner, delta.n_v_heads, delta.head_dim)});
  }
  return delta;
}

void DeclareDeltaNet(const HyperParams& hp, uint32_t layer_idx, BetaAlpha beta_alpha,
                     Declarations& declarations, DeltaNetWeights& weights) {
  const DeltaParams& p = hp.delta;
  const auto name = [&](std::string_view n) { return LayerTensor(layer_idx, n); };
  const auto add_small = [&](std::string_view n, uint64_t rows, tensor::Matrix& target) {
    declarations.AddMatrix(name(n), hp.hidden_dim, rows, target);
    declarations.KeepLastResident();
  };
  declarations.AddVector(name("attn_norm"), {hp.hidden_dim}, weights.norm);
  declarations.AddMatrix(name("attn_qkv"), hp.hidden_dim, p.conv_dim(), weights.qkv);
  declarations.AddMatrix(name("attn_gate"), hp.hidden_dim, p.v_dim(), weights.gate);
  if (beta_alpha == BetaAlpha::kJoined) {
    add_small("ssm_ba", uint64_t{2} * p.n_v_heads, weights.joined);
  } else {
    add_small("ssm_beta", p.n_v_heads, weights.beta);
    add_small("ssm_alpha", p.n_v_heads, weights.alpha);
  }
  declarations.AddVectors(name("ssm_conv1d"), p.conv_width, p.conv_dim(), weights.conv);
  declarations.TransposeLast();
  declarations.AddVector(fmt::format("blk.{}.ssm_a", layer_idx), {p.n_v_heads}, weights.decay);
  declarations.AddVector(LayerTensor(layer_idx, "ssm_dt", "bias"), {p.n_v_heads}, weights.dt_bias);
  declarations.AddVector(name("ssm_norm"), {p.head_dim}, weights.head_norm);
  declarations.AddMatrix(name("ssm_out"), p.v_dim(), hp.hidden_dim, weights.output);
}

}  // namespace

void ReadHybrid(KeyReader& reader, ValueHeads value_heads, HyperParams& hp) {
  hp.rope.neox = true;
  hp.delta = ReadDelta(reader, value_heads);
  const std::vector<uint32_t> recurrent = ReadRecurrentLayers(reader, hp);
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    layer.gated = recurrent[i] == 0;
    layer.recurrent = recurrent[i] != 0;
    if (layer.recurrent) {
      layer.n_heads = layer.n_kv_heads = 0;
      layer.head_dim_k = layer.head_dim_v = 0;
    }
  }
}

void DeclareMixer(const HyperParams& hp, uint32_t layer_idx, BetaAlpha beta_alpha,
                  Declarations& declarations, LayerWeights& weights) {
  if (hp.layers[layer_idx].recurrent) {
    DeclareDeltaNet(hp, layer_idx, beta_alpha, declarations, weights.delta_net);
    return;
  }
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
}

void DeclareExpertsAndShared(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                             FeedForwardWeights& weights) {
  DeclareFeedForward(hp, layer_idx, declarations, weights, "post_attention_norm");
  DeclareSharedExpert(hp, layer_idx, declarations, weights.shared);
  declarations.AddMatrix(LayerTensor(layer_idx, "ffn_gate_inp_shexp"), hp.hidden_dim, 1,
                         weights.shared.router);
  declarations.KeepLastResident();
}

void RunHybridLayer(LayerPieces& pieces, const LayerWeights& weights) {
  if (pieces.params().recurrent) {
    pieces.Norm(weights.delta_net.norm);
    pieces.DeltaNet(weights.delta_net);
  } else {
    pieces.Norm(weights.attention.norm);
    pieces.Attention(weights.attention);
  }
  pieces.Norm(weights.feed_forward.norm);
  pieces.FeedForward(weights.feed_forward);
}

}  // namespace plimsoll::model
